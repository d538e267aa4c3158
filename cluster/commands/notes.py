"""`parley notes`: shows the notes of a meeting, and adds one."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cluster.commands.api_call import call_api
from cluster.commands.meetings import MeetingIdArgument
from cluster.commands.shared_options import JsonOption, ServerOption, find_running_server
from cluster.commands.terminal import console, format_offset, print_json, results, sanitize_for_terminal

EXAMPLES = """
Examples:

- `parley notes ID`

- `parley notes ID --add "Ask legal about clause 4." --pin`
"""


def notes(
    meeting: MeetingIdArgument,
    add: Annotated[
        str | None, typer.Option(metavar="TEXT", show_default="none", help="Add a note of your own.")
    ] = None,
    pin: Annotated[bool, typer.Option("--pin", help="Pin the added note.")] = False,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """Show the notes of a meeting, in the order of the speech, or add one.

    Running notes need an engine that serves insights: see `parley config`.
    """
    url = find_running_server(server)
    if add is not None:
        note = call_api(url, lambda client: client.add_note(str(meeting), add, pinned=pin))
        if as_json:
            print_json(note)
        else:
            console.print("The note is added.")
        return
    listed = call_api(url, lambda client: client.notes(str(meeting)))
    if as_json:
        print_json(listed)
    elif listed:
        results.out("\n\n".join(map(_describe, listed)))
    else:
        results.out("The meeting has no notes.")


def _describe(note: dict[str, Any]) -> str:
    place = "" if not note["sentences"] else f"{format_offset(note['start'])}-{format_offset(note['end'])}"
    marks = [name for name in ("pinned", "edited", "outdated") if note[name] and note["kind"] != "manual"]
    if note["kind"] == "manual":
        marks = ["own note", *(["pinned"] if note["pinned"] else [])]
    if note["text"] is None:
        marks.append(note["status"])
    heading = " ".join(filter(None, (place, f"({', '.join(marks)})" if marks else "")))
    task = [sanitize_for_terminal(note["task"])] if note["task"] else []
    text = note["text"] if note["text"] is not None else note["reason"] or "to be written"
    lines = [sanitize_for_terminal(line) for line in text.splitlines()]
    return "\n".join([heading, *task, *lines]).strip()
