"""`parley config`: which models do what, in a running system: see it, change it, and go back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cluster.commands.api_call import call_api
from cluster.commands.shared_options import JsonOption, ServerOption, find_running_server
from cluster.commands.terminal import console, print_json, results
from operators.errors import InvalidInputError

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
_ORIGIN_LABELS = {"settings": "from the settings", "request": "by request", "rollback": "rolled back"}


@app.command()
def show(server: ServerOption = None, as_json: JsonOption = False) -> None:
    """Show the configuration in force, and how each engine stands."""
    models = call_api(find_running_server(server), lambda client: client.models())
    if as_json:
        print_json(models)
        return
    _print_config(models)


@app.command()
def history(
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many versions.")] = 20,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the versions, the newest first."""
    from rich.table import Table

    response = call_api(find_running_server(server), lambda client: client.model_versions(limit))
    if as_json:
        print_json(response)
        return
    table = Table("version", "since", "came", "translation", "insight", "chat", "note")
    for version in response["versions"]:
        roles = [", ".join(version["config"][role]) or "off" for role in ("translation", "insight", "chat")]
        table.add_row(
            str(version["version"]),
            version["created_at"][:19].replace("T", " "),
            _ORIGIN_LABELS[version["origin"]],
            *roles,
            version["note"],
        )
    results.print(table)
    if response["unreadable"]:
        results.print(
            f"Of a newer release, and not readable here: {', '.join(map(str, response['unreadable']))}", markup=False
        )


@app.command("set")
def set_models(
    file: Annotated[Path, typer.Argument(help="The configuration as JSON; `-` reads standard input.")],
    note: Annotated[str, typer.Option(help="Why, for the history.")] = "",
    expected_version: Annotated[
        int | None, typer.Option(metavar="VERSION", help="Only if this version is still in force.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only say whether it could be taken.")] = False,
    server: ServerOption = None,
) -> None:
    """Put a configuration in force. What can't be one is refused, and the one before stays."""
    from operators.engine_config import parse_models_config

    config = parse_models_config(_read_file(file)).model_dump(mode="json")
    if check:
        console.print("It can be taken.")
        return
    _print_config(
        call_api(find_running_server(server), lambda client: client.change_models(config, note, expected_version))
    )


@app.command()
def rollback(
    version: Annotated[int | None, typer.Argument(help="The version; the one before where none is named.")] = None,
    server: ServerOption = None,
) -> None:
    """Put an older version in force again, as a new one."""
    _print_config(call_api(find_running_server(server), lambda client: client.roll_back_models(version)))


def _read_file(file: Path) -> str:
    if str(file) == "-":
        return typer.get_text_stream("stdin").read()
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError("FILE", f"{file} can't be read: {type(error).__name__}") from None


def _print_config(models: dict[str, Any]) -> None:
    from rich.table import Table

    note = f": {models['note']}" if models["note"] else ""
    results.print(f"Version {models['version']}, {_ORIGIN_LABELS[models['origin']]}{note}", markup=False)
    table = Table("role", "engine", "what", "state", "problem")
    for engine_status in models["engines"]:
        table.add_row(
            engine_status["role"],
            engine_status["engine"],
            engine_status["description"],
            engine_status["state"],
            engine_status["problem"],
        )
    for role in ("translation", "insight", "chat"):
        if not models["config"][role]:
            table.add_row(role, "", "off", "", "")
    results.print(table)
    unused = set(models["config"]["engines"]) - {each["engine"] for each in models["engines"]}
    if unused:
        results.print(f"Not in use: {', '.join(sorted(unused))}", markup=False)
    results.print(json.dumps(models["config"], indent=2), markup=False, soft_wrap=True)
