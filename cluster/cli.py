"""The `parley` command: its subcommands, which are in `cluster.commands`, and its error handling."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.markup import escape

from cluster.commands import (
    ask,
    bench,
    config,
    database,
    dead_letters,
    demo,
    doctor,
    fireflies,
    fireflies_sim,
    insights,
    lanes,
    mcp,
    meetings,
    models,
    notes,
    openapi,
    recording_import,
    replay,
    search,
    sources,
    up,
    usage,
    webhooks,
)
from cluster.commands.terminal import console, results
from operators.errors import ParleyError

RUN_PANEL, USE_PANEL, CHECK_PANEL = "Run it", "Use it", "Check it"

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog="Start with `parley demo`. All settings are in docs/settings.md.",
)
app.command(rich_help_panel=RUN_PANEL, epilog=demo.EXAMPLES)(demo.demo)
app.command(rich_help_panel=RUN_PANEL, epilog=up.EXAMPLES)(up.up)
app.command(rich_help_panel=USE_PANEL, epilog=recording_import.EXAMPLES, name="import")(recording_import.import_files)
app.add_typer(meetings.app, rich_help_panel=USE_PANEL, name="meetings")
app.command(rich_help_panel=USE_PANEL, epilog=search.EXAMPLES)(search.search)
app.command(rich_help_panel=USE_PANEL, epilog=notes.EXAMPLES)(notes.notes)
app.command(rich_help_panel=USE_PANEL, epilog=insights.EXAMPLES)(insights.insights)
app.command(rich_help_panel=USE_PANEL, epilog=ask.EXAMPLES)(ask.ask)
app.command(rich_help_panel=CHECK_PANEL, epilog=usage.EXAMPLES)(usage.usage)
app.command(rich_help_panel=USE_PANEL, epilog=mcp.EXAMPLES)(mcp.mcp)
app.add_typer(fireflies.app, rich_help_panel=USE_PANEL, name="fireflies")
app.add_typer(config.app, rich_help_panel=RUN_PANEL, name="config")
app.add_typer(database.app, rich_help_panel=RUN_PANEL, name="database")
app.add_typer(lanes.app, rich_help_panel=RUN_PANEL, name="lanes")
app.add_typer(models.app, rich_help_panel=RUN_PANEL, name="models")
app.command(rich_help_panel=USE_PANEL, epilog=openapi.EXAMPLES)(openapi.openapi)
app.add_typer(sources.app, rich_help_panel=USE_PANEL, name="sources")
app.command(rich_help_panel=USE_PANEL, epilog=replay.EXAMPLES)(replay.replay)
app.command(rich_help_panel=CHECK_PANEL, epilog=doctor.EXAMPLES)(doctor.doctor)
app.command(rich_help_panel=CHECK_PANEL, epilog=fireflies_sim.EXAMPLES)(fireflies_sim.fireflies_sim)
app.add_typer(bench.app, rich_help_panel=CHECK_PANEL, name="bench")
app.add_typer(webhooks.app, rich_help_panel=USE_PANEL, name="webhooks")
app.add_typer(dead_letters.app, rich_help_panel=CHECK_PANEL, name="dead-letters")


def _print_version(is_requested: bool) -> None:
    if is_requested:
        from importlib.metadata import version

        results.out(f"parley {version('parley')}")
        raise typer.Exit


@app.callback()
def parley(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Live meeting translation on your own machines."""


def main() -> None:
    """Run the command. An error of Parley is printed as one line on standard error, with exit code 1."""
    try:
        app(prog_name="parley")
    except ParleyError as error:
        console.print(f"[red]parley:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
