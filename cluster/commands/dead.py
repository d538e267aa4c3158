"""`parley dead-letters`: the entries that could not be used, to be looked at and put in again."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from cluster.commands.asking import ask
from cluster.commands.options import AsJson, Server, running_server
from cluster.commands.terminal import console, print_json, results, shown
from operators.errors import Invalid

if TYPE_CHECKING:
    from rich.table import Table

    from cluster.client import Client

PAGE = 200
"""Letters asked for at once."""

Meeting = Annotated[UUID | None, typer.Option(metavar="ID", show_default="all", help="Only those of this meeting.")]

app = typer.Typer(
    no_args_is_help=True,
    help="Look at the entries of meetings that could not be used (dead letters), and put them in again.",
)


@app.command(
    "list",
    epilog="""
Examples:

- `parley dead-letters list`

- `parley dead-letters list --meeting 0198c5f0-7d1e-7a2b-8c3d-4e5f60718293 --json`
""",
)
def list_letters(
    meeting: Meeting = None,
    limit: Annotated[int, typer.Option(min=1, max=PAGE, help="At most so many, the newest.")] = 20,
    as_json: AsJson = False,
    server: Server = None,
) -> None:
    """List the dead letters, newest first: of which meeting, what kind, and why. What was said is not shown."""
    wanted = None if meeting is None else str(meeting)
    letters = ask(running_server(server), lambda client: client.dead_letters(wanted, limit))["dead_letters"]
    if as_json:
        print_json(letters)
    elif letters:
        results.print(_table(letters))
    else:
        results.out("There is no dead letter.")


@app.command(
    epilog="""
Examples:

- `parley dead-letters show 17`
"""
)
def show(
    letter: Annotated[
        int, typer.Argument(min=1, metavar="ID", help="The letter's id; `parley dead-letters list` gives it.")
    ],
    as_json: AsJson = False,
    server: Server = None,
) -> None:
    """Show a dead letter whole, with what was said in it."""
    found = ask(running_server(server), lambda client: client.dead_letter(letter))
    if as_json:
        print_json(found)
    else:
        results.print(_details(found))


@app.command(
    epilog="""
Examples:

- `parley dead-letters retry 17 18`

- `parley dead-letters retry --all --meeting 0198c5f0-7d1e-7a2b-8c3d-4e5f60718293`
"""
)
def retry(
    letters: Annotated[
        list[int] | None, typer.Argument(min=1, metavar="ID", show_default=False, help="The letters' ids.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that were not put in again before.")] = False,
    meeting: Meeting = None,
    server: Server = None,
) -> None:
    """Put what dead letters hold in again, the oldest first. The same letter twice changes nothing.

    A chunk becomes the newest revision of what it was. One that came too late becomes sentences of its own, beside what
    was put out of it before. A meeting that is over takes none. The exit code is 1 if any could not be put in.
    """
    if bool(letters) == everything:
        raise Invalid("ID", "give the ids of letters, or --all")
    if meeting is not None and not everything:
        raise Invalid("--meeting", "goes with --all")

    async def put_in(client: Client) -> tuple[int, int]:
        from cluster.client import Rejected

        done = refused = 0
        # Known before the first one goes in: a letter that fails again leaves a new one.
        for letter in sorted(set(letters or await _waiting(client, meeting))):
            try:
                answer = await client.resubmit(letter)
            except Rejected as error:
                refused += 1
                console.print(f"{letter}: {error}", markup=False, soft_wrap=True)
            else:
                done += 1
                results.out(f"{letter}: chunk {shown(answer['chunk_id'])} of meeting {answer['meeting_id']}")
        return done, refused

    done, refused = ask(running_server(server), put_in)
    if not done and not refused:
        console.print("There is no dead letter to put in again.")
    else:
        console.print(f"Put in again: {done}." + (f" Not possible: {refused}." if refused else ""))
    if refused:
        raise typer.Exit(1)


async def _waiting(client: Client, meeting: UUID | None) -> list[int]:
    """The letters that were not put in again yet."""
    found: list[int] = []
    before: int | None = None
    while True:
        page = await client.dead_letters(None if meeting is None else str(meeting), PAGE, before)
        found += [letter["id"] for letter in page["dead_letters"] if letter["resubmitted_at"] is None]
        before = page["before"]
        if before is None:
            return found


def _table(letters: list[dict[str, Any]]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("id", no_wrap=True, justify="right")
    table.add_column("since", no_wrap=True)
    # Whole, so that it can be copied.
    table.add_column("meeting", no_wrap=True, min_width=36)
    table.add_column("kind", no_wrap=True)
    table.add_column("ordinal", no_wrap=True, justify="right")
    table.add_column("why", overflow="fold", min_width=10)
    for letter in letters:
        again = " (put in again)" if letter["resubmitted_at"] else ""
        table.add_row(
            str(letter["id"]),
            _when(letter["created_at"]),
            letter["meeting_id"] or "",
            letter["kind"] or "",
            "" if letter["ordinal"] is None else str(letter["ordinal"]),
            shown(letter["reason"]) + again,
        )
    return table


def _details(letter: dict[str, Any]) -> Table:
    from rich.table import Table

    rows = {
        "id": str(letter["id"]),
        "meeting": letter["meeting_id"] or "",
        "why": letter["reason"],
        "since": _when(letter["created_at"]),
        "put in again": _when(letter["resubmitted_at"]),
        "lane": f"{letter['lane_id']}, at {letter['log_id']}",
    }
    rows |= {f"its {name}": str(value) for name, value in letter["fields"].items()}
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows.items():
        if value:
            grid.add_row(shown(name), shown(value))
    return grid


def _when(instant: str | None) -> str:
    return datetime.fromisoformat(instant).astimezone().strftime("%Y-%m-%d %H:%M") if instant else ""
