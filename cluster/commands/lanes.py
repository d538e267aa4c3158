"""`parley lanes`: lists, adds and drains lanes, moves meetings between them, and runs them on a cluster."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cluster.commands.api_call import call_api
from cluster.commands.shared_options import JsonOption, ServerOption, find_running_server, read_settings
from cluster.commands.terminal import ShutdownSignals, console, print_json, print_status, results

if TYPE_CHECKING:  # Showing a command's help doesn't need it.
    from cluster.api_client import ApiClient

EXAMPLES = """
Examples:

- `parley lanes list`

- `parley lanes add` and, when the load is lower, `parley lanes drain live-2`

- `ray job submit --working-dir . -- parley lanes run`
"""

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="List, add and drain lanes, and move meetings between them. A lane is one partition of the log and its worker.",
    epilog=EXAMPLES,
)
_KIND_LABELS = {"live": "live meetings", "batch": "recorded meetings"}


@app.command("list")
def list_lanes(server: ServerOption = None, as_json: JsonOption = False) -> None:
    """List the lanes with state, lag, open meetings, node, and epoch (the number of processes that have owned the lane)."""
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
        Literal["live", "batch"], typer.Argument(help="The kind of its meetings: `live` or `batch` (recorded).")
    ] = "live",
    server: ServerOption = None,
) -> None:
    """Add a lane. It starts within seconds and accepts new meetings. PARLEY_LIVE_LANES sets the number at the start."""
    lane = call_api(find_running_server(server), lambda client: client.add_lane(kind))
    console.print(f"Lane {lane['id']} was added.")


@app.command()
def drain(
    lane: Annotated[str, typer.Argument(help="The lane's id.")],
    wait: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Maximum wait until its meetings have moved.")
    ] = 30.0,
    server: ServerOption = None,
) -> None:
    """Drain a lane: its open meetings move to other lanes once their calls are answered, and the lane stops."""

    async def drain_and_wait(client: ApiClient) -> int:
        lane_status = await client.drain_lane(lane)
        deadline = asyncio.get_running_loop().time() + wait
        while lane_status["open_meetings"] and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.5)
            lane_status = next(status for status in await client.lanes() if status["id"] == lane)
        return lane_status["open_meetings"]

    remaining = call_api(find_running_server(server), drain_and_wait)
    if remaining:
        console.print(
            f"[yellow]Lane {lane} accepts no more meetings. Still open: {remaining}. See `parley lanes list`.[/]"
        )
        raise typer.Exit(1)
    console.print(f"Lane {lane} is drained.")


@app.command()
def move(
    meeting: Annotated[str, typer.Argument(help="The meeting's id.")],
    lane: Annotated[str, typer.Argument(help="The id of the lane to move it to.")],
    server: ServerOption = None,
) -> None:
    """Move a meeting to another lane, once its calls are answered. No caption is lost or emitted twice."""
    result = call_api(find_running_server(server), lambda client: client.move_meeting(meeting, lane))
    console.print(f"The meeting continues in {lane}." if result["moved"] else f"The meeting is in {lane} already.")


@app.command()
def run() -> None:
    """Run the lanes and the maintenance actor on the current Ray cluster until SIGTERM, which stops them in order.

    Deploy the Serve applications with `serve deploy` first. On one machine, `parley up` runs everything. The stores are those
    of PARLEY_POSTGRES_URL and PARLEY_REDIS_URL.
    """
    from cluster.runtime import run_lanes

    settings = read_settings()
    with ShutdownSignals() as signals, run_lanes(settings, on_status=signals.print_status):
        stopping = signals.mark_started()
        print_status("The lanes are running.")
        stopping.wait()
        print_status("Stopping: captions in progress are finished or stay pending.")
    print_status("Stopped.")


def _display_state(lane: dict[str, Any]) -> str:
    if not lane["draining"]:
        return str(lane["state"])
    return "draining" if lane["open_meetings"] else "drained"
