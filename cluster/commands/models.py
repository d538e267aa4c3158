"""`parley models`: which models are on this machine, and how more get there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.commands.options import AsJson, read_settings
from cluster.commands.terminal import console, print_json, results, say, shown

if TYPE_CHECKING:
    from rich.table import Table

    from cluster.models import Found
    from cluster.settings import Settings
    from serve.presets import Preset

EXAMPLES = """
Examples:

- `parley models list`

- `parley models pull en-de`

- `parley models pull qwen3-4b`
"""

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="List the models of this machine, and pull more from their makers. docs/models.md tells which.",
    epilog=EXAMPLES,
)


@app.command(
    "list",
    epilog="""
Examples:

- `parley models list`

- `PARLEY_MODELS=/srv/models parley models list --json`
""",
)
def list_models(as_json: AsJson = False) -> None:
    """List the models on this machine, and the presets, with whether they are here. It asks nobody else."""
    from cluster.models import installed
    from serve.presets import PRESETS

    folder = _folder(read_settings())
    found = installed(folder if folder.is_dir() else None)
    proposed = [(preset, _path(preset, found)) for preset in PRESETS]
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "models": [
                    {"name": each.name, "kind": each.kind, "path": str(each.path), "bytes": each.size} for each in found
                ],
                "presets": [_facts(preset, path) for preset, path in proposed],
            }
        )
    else:
        results.print(_models(found))
        results.print(_presets(proposed))
        say(f"The models folder is {folder}. `parley models pull NAME` pulls a preset, or en-de and its like.")


@app.command(
    epilog="""
Examples:

- `parley models pull en-de`

- `parley models pull qwen3-4b`

- `parley models pull bartowski/Qwen_Qwen3-4B-GGUF:Qwen_Qwen3-4B-Q4_K_M.gguf --to /srv/models`
"""
)
def pull(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A preset, a Firefox pair (en-de), a hub model (org/name), or a file of one."
        ),
    ],
    to: Annotated[
        Path | None, typer.Option(metavar="FOLDER", show_default="PARLEY_MODELS", help="The models folder.")
    ] = None,
) -> None:
    """Pull a model from the Hugging Face hub, or a translation model from Mozilla. What was cut off goes on where it was.

    HF_TOKEN is the token for models that ask for one, HF_ENDPOINT a mirror of the hub. The folder or file that came is
    printed last.
    """
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    from cluster.models import plan
    from cluster.models import pull as fetch

    settings = read_settings()
    folder = to or _folder(settings)
    wanted = plan(name)
    say(f"{wanted.name}: {wanted.size / 1e9:.2f} GB in {len(wanted.files)} files, to {folder}")
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(wanted.name, total=wanted.size)
        path = fetch(wanted, folder, lambda count: progress.advance(task, count))
    results.out(str(path))
    if settings.models != folder:
        say(f"Name the folder with PARLEY_MODELS={folder}, so that Firefox's engine finds what is in it.")


def _folder(settings: Settings) -> Path:
    from storage.embedded import default_data_dir

    return settings.models or (settings.data_dir or default_data_dir()) / "models"


def _path(preset: Preset, found: list[Found]) -> Path | None:
    name = preset.model if preset.file is None else f"{preset.model}:{preset.file}"
    return next((each.path for each in found if each.name == name), None)


def _facts(preset: Preset, path: Path | None) -> dict[str, Any]:
    return {
        "name": preset.name,
        "roles": preset.roles,
        "default_for": preset.default_for,
        "engine": preset.engine,
        "model": preset.model,
        "file": preset.file,
        "licence": preset.licence,
        "parameters": preset.dimensions.parameters,
        "bytes": preset.weights,
        "memory": preset.memory,
        "context": preset.context,
        "languages": preset.languages,
        "gated": preset.gated,
        "path": None if path is None else str(path),
    }


def _models(found: list[Found]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table("model", "kind", "size", "where", box=box.SIMPLE, pad_edge=False)
    for each in found:
        table.add_row(shown(each.name), each.kind, f"{each.size / 1e9:.2f} GB", shown(str(each.path)))
    return table


def _presets(proposed: list[tuple[Preset, Path | None]]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table("preset", "here", "for", "engine", "size", "memory", "licence", box=box.SIMPLE, pad_edge=False)
    for preset, path in proposed:
        here = "[green]yes[/]" if path else "[dim]no[/]"
        sizes = (f"{preset.weights / 1e9:.1f} GB", f"{preset.memory / 1e9:.1f} GB")
        table.add_row(preset.name, here, ", ".join(preset.roles), preset.engine, *sizes, preset.licence)
    return table
