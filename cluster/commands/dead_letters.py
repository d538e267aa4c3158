"""`parley dead-letters`: lists, shows and resubmits entries that could not be processed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from cluster.commands.api_call import call_api
from cluster.commands.shared_options import JsonOption, ServerOption, find_running_server
from cluster.commands.terminal import console, format_time, print_json, results, sanitize_for_terminal
from operators.errors import InvalidInputError

if TYPE_CHECKING:
    from rich.table import Table

    from cluster.api_client import ApiClient

MAX_PAGE_COUNT = 200
"""Maximum number of dead letters in one request."""

MeetingOption = Annotated[
    UUID | None, typer.Option(metavar="ID", show_default="all", help="Only dead letters of this meeting.")
]

app = typer.Typer(
    no_args_is_help=True,
    help="List and resubmit dead letters: entries of meetings that could not be processed.",
)


@app.command(
    "list",
    epilog="""
Examples:

- `parley dead-letters list`

- `parley dead-letters list --meeting 0198c5f0-7d1e-7a2b-8c3d-4e5f60718293 --json`
""",
)
def list_dead_letters(
    meeting: MeetingOption = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_PAGE_COUNT, help="Maximum number of dead letters.")] = 20,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """List the dead letters, newest first, with meeting, kind and reason. Transcript text is not shown."""
    meeting_id = None if meeting is None else str(meeting)
    dead_letters = call_api(find_running_server(server), lambda client: client.dead_letters(meeting_id, limit))[
        "dead_letters"
    ]
    if as_json:
        print_json(dead_letters)
    elif dead_letters:
        results.print(_dead_letter_table(dead_letters))
    else:
        results.out("There are no dead letters.")


@app.command(
    epilog="""
Examples:

- `parley dead-letters show 17`
"""
)
def show(
    dead_letter_id: Annotated[
        int, typer.Argument(min=1, metavar="ID", help="The dead letter's id, from `parley dead-letters list`.")
    ],
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Show a dead letter with all its fields, transcript text included."""
    dead_letter = call_api(find_running_server(server), lambda client: client.dead_letter(dead_letter_id))
    if as_json:
        print_json(dead_letter)
    else:
        results.print(_dead_letter_details(dead_letter))


@app.command(
    epilog="""
Examples:

- `parley dead-letters retry 17 18`

- `parley dead-letters retry --all --meeting 0198c5f0-7d1e-7a2b-8c3d-4e5f60718293`
"""
)
def retry(
    dead_letter_ids: Annotated[
        list[int] | None, typer.Argument(min=1, metavar="ID", show_default=False, help="Ids of dead letters.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All dead letters that were not resubmitted yet.")] = False,
    meeting: MeetingOption = None,
    server: ServerOption = None,
) -> None:
    """Resubmit dead letters, oldest first. Resubmitting a dead letter twice changes nothing.

    The content becomes the newest revision of its chunk. A late revision can't correct the sentences of its chunk any more, so its
    content becomes new sentences beside them. It is refused if they have the same text, or if it is empty. A meeting that is over
    accepts none. The exit code is 1 if any could not be resubmitted.
    """
    if bool(dead_letter_ids) == everything:
        raise InvalidInputError("ID", "give the ids of dead letters, or --all")
    if meeting is not None and not everything:
        raise InvalidInputError("--meeting", "is valid only with --all")

    async def resubmit_all(client: ApiClient) -> tuple[int, int]:
        from cluster.api_client import ApiError

        resubmitted_count = refused_count = 0
        # Listed before the first is resubmitted, because one that fails again becomes a new dead letter.
        for dead_letter_id in sorted(set(dead_letter_ids or await _find_unresubmitted(client, meeting))):
            try:
                result = await client.resubmit(dead_letter_id)
            except ApiError as error:
                refused_count += 1
                console.print(f"{dead_letter_id}: {error}", markup=False, soft_wrap=True)
            else:
                resubmitted_count += 1
                note = ", as new sentences beside those that it has" if result["adds_sentences"] else ""
                chunk_id = sanitize_for_terminal(result["chunk_id"])
                results.out(f"{dead_letter_id}: chunk {chunk_id} of meeting {result['meeting_id']}{note}")
        return resubmitted_count, refused_count

    resubmitted_count, refused_count = call_api(find_running_server(server), resubmit_all)
    if not resubmitted_count and not refused_count:
        console.print("There are no dead letters to resubmit.")
    else:
        console.print(f"Resubmitted: {resubmitted_count}." + (f" Refused: {refused_count}." if refused_count else ""))
    if refused_count:
        raise typer.Exit(1)


async def _find_unresubmitted(client: ApiClient, meeting: UUID | None) -> list[int]:
    """Return the ids of all dead letters that were not resubmitted yet."""
    dead_letter_ids: list[int] = []
    before: int | None = None
    while True:
        page = await client.dead_letters(None if meeting is None else str(meeting), MAX_PAGE_COUNT, before)
        dead_letter_ids += [letter["id"] for letter in page["dead_letters"] if letter["resubmitted_at"] is None]
        before = page["before"]
        if before is None:
            return dead_letter_ids


def _dead_letter_table(dead_letters: list[dict[str, Any]]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("id", no_wrap=True, justify="right")
    table.add_column("since", no_wrap=True)
    # Never truncated, so that the id can be copied.
    table.add_column("meeting", no_wrap=True, min_width=36)
    table.add_column("kind", no_wrap=True)
    table.add_column("ordinal", no_wrap=True, justify="right")
    table.add_column("reason", overflow="fold", min_width=10)
    for dead_letter in dead_letters:
        resubmission_note = " (resubmitted)" if dead_letter["resubmitted_at"] else ""
        table.add_row(
            str(dead_letter["id"]),
            format_time(dead_letter["created_at"]),
            dead_letter["meeting_id"] or "",
            dead_letter["kind"] or "",
            "" if dead_letter["ordinal"] is None else str(dead_letter["ordinal"]),
            sanitize_for_terminal(dead_letter["reason"]) + resubmission_note,
        )
    return table


def _dead_letter_details(dead_letter: dict[str, Any]) -> Table:
    from rich.table import Table

    rows = {
        "id": str(dead_letter["id"]),
        "meeting": dead_letter["meeting_id"] or "",
        "reason": dead_letter["reason"],
        "since": format_time(dead_letter["created_at"]),
        "resubmitted": format_time(dead_letter["resubmitted_at"]),
        "lane": f"{dead_letter['lane_id']}, at {dead_letter['log_id']}",
    }
    rows |= {f"field {name}": str(value) for name, value in dead_letter["fields"].items()}
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows.items():
        if value:
            grid.add_row(sanitize_for_terminal(name), sanitize_for_terminal(value))
    return grid
