"""`parley config`: shows, changes and rolls back the engine configuration of a running system."""

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

- `parley config show --json | jq .config > models.json`, and after editing it `parley config set models.json`

- `parley config rollback`
"""

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Show and change the engine configuration. A change reaches every lane within a second. See docs/models.md.",
    epilog=EXAMPLES,
)
_ORIGIN_LABELS = {"settings": "from the settings", "request": "by request", "rollback": "rolled back"}


@app.command()
def show(server: ServerOption = None, as_json: JsonOption = False) -> None:
    """Show the current configuration and the state of each engine."""
    models = call_api(find_running_server(server), lambda client: client.models())
    if as_json:
        print_json(models)
        return
    _print_config(models)


@app.command()
def history(
    limit: Annotated[int, typer.Option(min=1, max=200, help="Maximum number of versions.")] = 20,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the versions, newest first."""
    from rich.table import Table

    from operators.engine_config import ROLES

    response = call_api(find_running_server(server), lambda client: client.model_versions(limit))
    if as_json:
        print_json(response)
        return
    table = Table("version", "since", "origin", *ROLES, "note")
    for version in response["versions"]:
        roles = [", ".join(version["config"].get(role, ())) or "off" for role in ROLES]
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
            f"Written by a newer release, not readable: {', '.join(map(str, response['unreadable']))}", markup=False
        )


@app.command("set")
def set_models(
    file: Annotated[Path, typer.Argument(help="The configuration as JSON; `-` reads standard input.")],
    note: Annotated[str, typer.Option(help="Why, for the history.")] = "",
    expected_version: Annotated[
        int | None, typer.Option(metavar="VERSION", help="Fail unless this version is the current one.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only check whether the file is valid.")] = False,
    server: ServerOption = None,
) -> None:
    """Activate a configuration. An invalid one is rejected, and the current one stays active."""
    from operators.engine_config import parse_engines_config

    config = parse_engines_config(_read_file(file)).model_dump(mode="json")
    if check:
        console.print("The configuration is valid.")
        return
    _print_config(
        call_api(find_running_server(server), lambda client: client.change_models(config, note, expected_version))
    )


@app.command()
def rollback(
    version: Annotated[int | None, typer.Argument(help="The version; by default the previous one.")] = None,
    server: ServerOption = None,
) -> None:
    """Activate an older version again, as a new version."""
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

    from operators.engine_config import ROLES

    note = f": {models['note']}" if models["note"] else ""
    results.print(f"Version {models['version']}, {_ORIGIN_LABELS[models['origin']]}{note}", markup=False)
    table = Table("role", "engine", "description", "state", "problem")
    for engine_status in models["engines"]:
        table.add_row(
            engine_status["role"],
            engine_status["engine"],
            engine_status["description"],
            engine_status["state"],
            engine_status["problem"],
        )
    for role in ROLES:
        if not models["config"].get(role):
            table.add_row(role, "", "off", "", "")
    results.print(table)
    unused = set(models["config"]["engines"]) - {engine_status["engine"] for engine_status in models["engines"]}
    if unused:
        results.print(f"Not in use: {', '.join(sorted(unused))}", markup=False)
    results.print(json.dumps(models["config"], indent=2), markup=False, soft_wrap=True)
