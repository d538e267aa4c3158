"""`parley models`: lists the models on this machine, and downloads more."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.commands.shared_options import JsonOption, read_settings
from cluster.commands.terminal import console, print_json, print_status, results, sanitize_for_terminal

if TYPE_CHECKING:
    from rich.table import Table

    from cluster.model_store.local_models import InstalledModel
    from cluster.settings import Settings
    from serve.engines.model_presets import ModelPreset

EXAMPLES = """
Examples:

- `parley models list`

- `parley models pull en-de`

- `parley models pull qwen3-4b`
"""

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="List the models on this machine, and download more. docs/models.md describes them.",
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
def list_models(as_json: JsonOption = False) -> None:
    """List the models on this machine, and the presets with their availability. The command uses no network."""
    from cluster.model_store.local_models import find_installed_models
    from serve.engines.model_presets import PRESETS

    folder = _models_dir(read_settings())
    local_models = find_installed_models(folder if folder.is_dir() else None)
    preset_paths = [(preset, _preset_path(preset, local_models)) for preset in PRESETS]
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "models": [
                    {"name": model.name, "kind": model.kind, "path": str(model.path), "bytes": model.size_bytes}
                    for model in local_models
                ],
                "presets": [_preset_json(preset, path) for preset, path in preset_paths],
            }
        )
    else:
        results.print(_models_table(local_models))
        results.print(_presets_table(preset_paths))
        print_status(
            f"The models folder is {folder}. `parley models pull NAME` downloads a preset, or a Firefox pair such as en-de."
        )


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
            metavar="NAME", help="A preset, a Firefox pair (en-de), a hub model (org/name), or one file of it."
        ),
    ],
    to: Annotated[
        Path | None, typer.Option(metavar="FOLDER", show_default="PARLEY_MODELS", help="The models folder.")
    ] = None,
) -> None:
    """Download a model from the Hugging Face hub, or a Firefox translation model from Mozilla.

    An interrupted download is resumed. HF_TOKEN is the token for models that require one, HF_ENDPOINT a mirror of the hub. The
    path of the model's folder or file is printed last.
    """
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    from cluster.model_store.local_models import plan_download
    from cluster.model_store.local_models import pull_model as fetch

    settings = read_settings()
    folder = to or _models_dir(settings)
    download = plan_download(name)
    print_status(f"{download.name}: {download.size_bytes / 1e9:.2f} GB in {len(download.files)} files, to {folder}")
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(download.name, total=download.size_bytes)
        path = fetch(download, folder, lambda count: progress.advance(task, count))
    results.out(str(path))
    if settings.models != folder:
        print_status(f"Set PARLEY_MODELS={folder}, so that the Firefox engine finds the models in it.")


def _models_dir(settings: Settings) -> Path:
    from storage.embedded_servers.embedded_stores import default_data_dir

    return settings.models or (settings.data_dir or default_data_dir()) / "models"


def _preset_path(preset: ModelPreset, local_models: list[InstalledModel]) -> Path | None:
    name = preset.model if preset.file is None else f"{preset.model}:{preset.file}"
    return next((model.path for model in local_models if model.name == name), None)


def _preset_json(preset: ModelPreset, path: Path | None) -> dict[str, Any]:
    return {
        "name": preset.name,
        "roles": preset.roles,
        "default_for": preset.default_for,
        "engine": preset.engine,
        "model": preset.model,
        "file": preset.file,
        "licence": preset.licence,
        "parameters": preset.parameter_count,
        "bytes": preset.weight_bytes,
        "memory": preset.memory_bytes,
        "context": preset.context_tokens,
        "languages": preset.language_count,
        "gated": preset.gated,
        "path": None if path is None else str(path),
    }


def _models_table(local_models: list[InstalledModel]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table("model", "kind", "size", "path", box=box.SIMPLE, pad_edge=False)
    for model in local_models:
        table.add_row(
            sanitize_for_terminal(model.name),
            model.kind,
            f"{model.size_bytes / 1e9:.2f} GB",
            sanitize_for_terminal(str(model.path)),
        )
    return table


def _presets_table(preset_paths: list[tuple[ModelPreset, Path | None]]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table("preset", "installed", "for", "engine", "size", "memory", "licence", box=box.SIMPLE, pad_edge=False)
    for preset, path in preset_paths:
        is_installed = "[green]yes[/]" if path else "[dim]no[/]"
        sizes = (f"{preset.weight_bytes / 1e9:.1f} GB", f"{preset.memory_bytes / 1e9:.1f} GB")
        table.add_row(preset.name, is_installed, ", ".join(preset.roles), preset.engine, *sizes, preset.licence)
    return table
