"""`parley up`: runs the whole system on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cluster.commands.shared_options import PortOption, TranslatorOption, read_settings
from cluster.commands.terminal import ShutdownSignals, console

EXAMPLES = """
Examples:

- `parley up`

- `parley up --port 8080 --data ~/meetings`

- `PARLEY_POSTGRES_URL=postgresql://me@db/parley PARLEY_REDIS_URL=redis://cache/0 parley up`
"""


def up(
    port: PortOption = None,
    data: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            show_default="PARLEY_DATA_DIR or the user's data folder",
            help="Folder for the data of the embedded stores.",
        ),
    ] = None,
    translator: TranslatorOption = None,
) -> None:
    """Run everything on this machine: stores, translation, lanes and the HTTP API, on loopback. Ctrl-C stops it.

    Stores are embedded unless PARLEY_POSTGRES_URL and PARLEY_REDIS_URL are set. Stopping loses no accepted event: the next
    start continues where this one ended.
    """
    from cluster.runtime import LocalSystem

    settings = read_settings(port=port, translator=translator)
    with ShutdownSignals() as signals, LocalSystem(settings, data, on_status=signals.print_status) as system:
        stopping = signals.mark_started()
        console.print(f"[green]Parley is up at {system.url}[/] (API description: {system.url}/docs). Ctrl-C stops it.")
        stopping.wait()
        console.print("Stopping: captions in progress are finished or stay pending.")
    console.print("Stopped.")
