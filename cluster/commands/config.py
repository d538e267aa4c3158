"""`parley config`: which models do what, in a running system: see it, change it, and go back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cluster.commands.asking import ask
from cluster.commands.options import AsJson, Server, running_server
from cluster.commands.terminal import console, print_json, results
from operators.errors import Invalid

EXAMPLES = """
Examples:

- `parley config show`

- `parley config show --json | jq .config > models.json`, and when it's edited `parley config set models.json`

- `parley config rollback`
"""

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="See and change which models do what. A change reaches every lane within a second; docs/models.md says more.",
    epilog=EXAMPLES,
)
_ORIGINS = {"settings": "from the settings", "request": "by request", "rollback": "rolled back"}


@app.command()
def show(server: Server = None, as_json: AsJson = False) -> None:
    """Show the configuration in force, and how each engine stands."""
    models = ask(running_server(server), lambda client: client.models())
    if as_json:
        print_json(models)
        return
    _print(models)


@app.command()
def history(
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many versions.")] = 20,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """List the versions, the newest first."""
    from rich.table import Table

    found = ask(running_server(server), lambda client: client.model_versions(limit))
    if as_json:
        print_json(found)
        return
    table = Table("version", "since", "came", "translation", "insight", "chat", "note")
    for each in found["versions"]:
        roles = [", ".join(each["config"][role]) or "off" for role in ("translation", "insight", "chat")]
        table.add_row(
            str(each["version"]),
            each["created_at"][:19].replace("T", " "),
            _ORIGINS[each["origin"]],
            *roles,
            each["note"],
        )
    results.print(table)
    if found["unreadable"]:
        results.print(
            f"Of a newer release, and not readable here: {', '.join(map(str, found['unreadable']))}", markup=False
        )


@app.command("set")
def set_models(
    file: Annotated[Path, typer.Argument(help="The configuration as JSON; `-` reads standard input.")],
    note: Annotated[str, typer.Option(help="Why, for the history.")] = "",
    expected_version: Annotated[
        int | None, typer.Option(metavar="VERSION", help="Only if this version is still in force.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only say whether it could be taken.")] = False,
    server: Server = None,
) -> None:
    """Put a configuration in force. What can't be one is refused, and the one before stays."""
    from operators.models import parse_models

    config = parse_models(_read(file)).model_dump(mode="json")
    if check:
        console.print("It can be taken.")
        return
    _print(ask(running_server(server), lambda client: client.change_models(config, note, expected_version)))


@app.command()
def rollback(
    version: Annotated[int | None, typer.Argument(help="The version; the one before where none is named.")] = None,
    server: Server = None,
) -> None:
    """Put an older version in force again, as a new one."""
    _print(ask(running_server(server), lambda client: client.roll_back_models(version)))


def _read(file: Path) -> str:
    if str(file) == "-":
        return typer.get_text_stream("stdin").read()
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid("FILE", f"{file} can't be read: {type(error).__name__}") from None


def _print(models: dict[str, Any]) -> None:
    from rich.table import Table

    note = f": {models['note']}" if models["note"] else ""
    results.print(f"Version {models['version']}, {_ORIGINS[models['origin']]}{note}", markup=False)
    table = Table("role", "engine", "what", "state", "problem")
    for each in models["engines"]:
        table.add_row(each["role"], each["engine"], each["description"], each["state"], each["problem"])
    for role in ("translation", "insight", "chat"):
        if not models["config"][role]:
            table.add_row(role, "", "off", "", "")
    results.print(table)
    unused = set(models["config"]["engines"]) - {each["engine"] for each in models["engines"]}
    if unused:
        results.print(f"Not in use: {', '.join(sorted(unused))}", markup=False)
    results.print(json.dumps(models["config"], indent=2), markup=False, soft_wrap=True)
