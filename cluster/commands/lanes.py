"""`parley lanes`: how they do, adding, draining, moving meetings between them, and running them on a cluster."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cluster.commands.api_call import call_api
from cluster.commands.shared_options import JsonOption, ServerOption, find_running_server, read_settings
from cluster.commands.terminal import ShutdownSignals, console, print_json, print_status, results

if TYPE_CHECKING:  # A command that shows its help needs none of it.
    from cluster.api_client import ApiClient

EXAMPLES = """
Examples:

- `parley lanes list`

- `parley lanes add` and, when it's quiet again, `parley lanes drain live-2`

- `ray job submit --working-dir . -- parley lanes run`
"""

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="See, add and drain lanes, and move meetings between them.",
    epilog=EXAMPLES,
)
_KIND_LABELS = {"live": "live meetings", "batch": "recorded meetings"}


@app.command("list")
def list_lanes(server: ServerOption = None, as_json: JsonOption = False) -> None:
    """List the lanes: their state, how far each is behind, its open meetings, and how many processes have had it."""
    from rich.table import Table

    lanes = call_api(find_running_server(server), lambda client: client.lanes())
    if as_json:
        print_json(lanes)
        return
    table = Table("lane", "for", "state", "lag", "meetings", "epoch", "node")
    for lane in lanes:
        table.add_row(
            lane["id"],
            _KIND_LABELS[lane["kind"]],
            _display_state(lane),
            f"{lane['lag']:.1f} s",
            str(lane["open_meetings"]),
            str(lane["epoch"]),
            lane["node"] or "",
        )
    results.print(table)


@app.command()
def add(
    kind: Annotated[
        Literal["live", "batch"], typer.Argument(help="What it is for: `live` or `batch` (recorded) meetings.")
    ] = "live",
    server: ServerOption = None,
) -> None:
    """Add a lane. It starts within seconds and takes new meetings; PARLEY_LIVE_LANES has more from the start."""
    lane = call_api(find_running_server(server), lambda client: client.add_lane(kind))
    console.print(f"Lane {lane['id']} is added.")


@app.command()
def drain(
    lane: Annotated[str, typer.Argument(help="The lane's id.")],
    wait: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How long to wait until its meetings are elsewhere.")
    ] = 30.0,
    server: ServerOption = None,
) -> None:
    """Drain a lane: its open meetings go on in others, once their calls are answered, and it stops."""

    async def drain_and_wait(client: ApiClient) -> int:
        lane_status = await client.drain_lane(lane)
        deadline = asyncio.get_running_loop().time() + wait
        while lane_status["open_meetings"] and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.5)
            lane_status = next(each for each in await client.lanes() if each["id"] == lane)
        return lane_status["open_meetings"]

    remaining = call_api(find_running_server(server), drain_and_wait)
    if remaining:
        console.print(
            f"[yellow]Lane {lane} takes no more meetings, and still has {remaining}: `parley lanes list` says more.[/]"
        )
        raise typer.Exit(1)
    console.print(f"Lane {lane} is drained.")


@app.command()
def move(
    meeting: Annotated[str, typer.Argument(help="The meeting's id.")],
    lane: Annotated[str, typer.Argument(help="The lane it is to go on in.")],
    server: ServerOption = None,
) -> None:
    """Have a meeting go on in another lane, once its calls are answered. Nothing of it is lost or said twice."""
    result = call_api(find_running_server(server), lambda client: client.move_meeting(meeting, lane))
    console.print(f"It goes on in {lane}." if result["moved"] else f"It is in {lane} already.")


@app.command()
def run() -> None:
    """Run lanes and the maintenance actor on the Ray cluster that this is started in, until SIGTERM: then they are drained.

    For a cluster whose Serve applications were deployed by `serve deploy`; on one machine `parley up` does it all. The
    stores are those of PARLEY_POSTGRES_URL and PARLEY_REDIS_URL.
    """
    from cluster.runtime import run_lanes

    settings = read_settings()
    with ShutdownSignals() as signals, run_lanes(settings, on_status=signals.print_status):
        stopping = signals.mark_started()
        print_status("The lanes run.")
        stopping.wait()
        print_status("Stopping: what is under way is finished or stays pending.")
    print_status("Stopped.")


def _display_state(lane: dict[str, Any]) -> str:
    if not lane["draining"]:
        return str(lane["state"])
    return "draining" if lane["open_meetings"] else "drained"
