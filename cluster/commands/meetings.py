"""`parley meetings`: the meetings of a running system, from the terminal."""

from __future__ import annotations

import sys
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

import typer

from cluster.commands.api_call import call_api
from cluster.commands.shared_options import JsonOption, ServerOption, find_running_server
from cluster.commands.terminal import console, print_json, results, sanitize_for_terminal
from operators.errors import InvalidInputError

if TYPE_CHECKING:
    from rich.table import Table

    from cluster.api_client import ApiClient
    from cluster.recordings.caption_summary import CaptionSummary

MeetingIdArgument = Annotated[
    UUID, typer.Argument(metavar="ID", help="The meeting's id; `parley meetings list` gives it.")
]


class MeetingStatusOption(StrEnum):
    """How a meeting stands."""

    CREATED = "created"
    LIVE = "live"
    PAUSED = "paused"
    ENDED = "ended"
    TIMED_OUT = "timed_out"
    FAILED = "failed"


COUNTER_DESCRIPTIONS = {
    "translated": "translations were made, over all revisions of the sentences",
    "same": "times a sentence was in the language already",
    "untranslated": "times a sentence could not be translated",
    "pending": "translations did not come in time: their captions became pending",
    "warned": "translations may not have kept a number, a name, a term or an emoji",
    "cached": "translations were those of the same few words before",
    "superseded": "translations were of no use any more: the sentence had changed",
    "late": "revisions came after their chunk was closed; they changed nothing",
    "outdated": "interims came after the final of their chunk; they changed nothing",
    "repeated": "events were sent again; they changed nothing",
    "refused:ended": "events were refused: the meeting was over",
    "refused:failed": "events were refused: the meeting had failed",
    "refused:paused": "events were refused: the meeting was paused",
    "refused:no_time": "events were refused: those of a recorded meeting must say when they were",
    "refused:invalid": "events were refused: they were not as they must be",
    "refused:lag": "events were refused for the moment: the meeting's lane was too far behind",
    "dead": "entries could not be used; they are kept as dead letters",
    "lost": "entries were accepted, and then lost by Redis",
    "timed_out": "times nobody had spoken for 30 minutes",
}
"""What a meeting counts, in words that follow the number."""

WIDE_COLUMN_COUNT = 110
"""Columns of a window that has room for all there is to list."""

app = typer.Typer(no_args_is_help=True, help="Look at the meetings of a running system, export them and end them.")


@app.command(
    "list",
    epilog="""
Examples:

- `parley meetings list`

- `parley meetings list --status live --status paused`

- `parley meetings list --limit 200 --json`
""",
)
def list_meetings(
    status: Annotated[
        list[MeetingStatusOption] | None,
        typer.Option(show_default="all", help="Only those of this status; may be given again."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="At most so many, the newest.")] = 20,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """List the meetings, newest first.

    `behind` is how many of the accepted entries are still to be worked off, as noted about once a second.
    A narrow window has no room for it, nor for when a meeting began.
    """
    url = find_running_server(server)
    meetings = call_api(url, lambda client: client.meetings([each.value for each in status or []], limit))
    if as_json:
        print_json(meetings)
    elif meetings:
        results.print(_meeting_table(meetings))
    elif status:
        results.out(f"There is no meeting that is {' or '.join(status)}.")
    else:
        results.out(
            f"There is no meeting yet. Begin one at {url}, with `parley import FILE`, or as {url}/docs describes."
        )


@app.command(
    epilog="""
Examples:

- `parley meetings show 0198c5f0-7d1e-7a2b-8c3d-4e5f60718293`
"""
)
def show(meeting: MeetingIdArgument, as_json: JsonOption = False, server: ServerOption = None) -> None:
    """Show all there is to know of a meeting, but for what was said."""
    url = find_running_server(server)

    async def load(client: ApiClient) -> tuple[dict[str, Any], CaptionSummary]:
        from cluster.recordings.caption_summary import summarize_captions

        record = await client.meeting(str(meeting))
        sentences, captions = await client.sentences(str(meeting)), await client.captions(str(meeting))
        return record, summarize_captions(sentences, captions, record["config"]["target_languages"])

    record, summary = call_api(url, load)
    if as_json:
        print_json(record | {"sentences": summary.sentence_count, "captions": summary.status_counts})
    else:
        results.print(_meeting_details(record, summary, f"{url}/meetings/{meeting}"))


@app.command(
    epilog="""
Examples:

- `parley meetings export ID --format srt --text target --language pt`

- `parley meetings export ID --format md --text both --language pt --out minutes.md`

- `parley meetings export ID | jq .text`
"""
)
def export(
    meeting: MeetingIdArgument,
    form: Annotated[
        Literal["jsonl", "vtt", "srt", "md"],
        typer.Option("--format", help="Data, subtitles of two kinds, or a page to be read."),
    ] = "jsonl",
    text: Annotated[
        Literal["source", "target", "both"] | None,
        typer.Option(
            show_default="both where the meeting is translated", help="What was said, its translation, or both."
        ),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(
            metavar="TAG",
            show_default="the only one; in jsonl all",
            help="The translation's language.",
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            show_default="a file named by the system, or standard output where that is no terminal",
            help="Where it goes; `-` is standard output.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it is there.")] = False,
    server: ServerOption = None,
) -> None:
    """Export a meeting: what was said, its translations, or both."""
    parameters = {"format": form, "text": text, "language": language}
    transcript = call_api(
        find_running_server(server),
        lambda client: client.export(str(meeting), {k: v for k, v in parameters.items() if v}),
    )
    if out == "-" or (out is None and not sys.stdout.isatty()):
        sys.stdout.buffer.write(transcript.content)
        return
    # Only a name: where it goes is not for a server to say.
    path = Path(out or Path(transcript.name or "").name or f"{meeting}.{form}")
    try:
        with path.open("wb" if force else "xb") as file:
            file.write(transcript.content)
    except FileExistsError:
        raise InvalidInputError(
            "--out", f"{path} is there already: name another, or overwrite it with --force"
        ) from None
    except OSError as error:
        raise InvalidInputError("--out", f"{path} can't be written: {error.strerror}") from error
    console.print(f"Written to {path}.", markup=False, soft_wrap=True)


@app.command(
    epilog="""
Examples:

- `parley meetings end ID --reason "everybody left"`
"""
)
def end(
    meeting: MeetingIdArgument,
    reason: Annotated[str | None, typer.Option(show_default="ended by request", help="Why it ends.")] = None,
    server: ServerOption = None,
) -> None:
    """End a meeting. Pending captions follow; a meeting that is over stays so."""

    async def end_meeting(client: ApiClient) -> tuple[str, dict[str, Any]]:
        previous_status = (await client.meeting(str(meeting)))["status"]
        return previous_status, await client.end_meeting(str(meeting), reason)

    previous_status, updated = call_api(find_running_server(server), end_meeting)
    if previous_status in ("ended", "failed"):
        console.print(
            f"It had {previous_status} before: {sanitize_for_terminal(updated['end_reason'])}.", soft_wrap=True
        )
    else:
        console.print(
            "The meeting ends."
            + (f" Captions pending: {updated['pending_captions']}." if updated["pending_captions"] else "")
        )


def _meeting_table(meetings: list[dict[str, Any]]) -> Table:
    from rich import box
    from rich.table import Table

    is_wide = results.width >= WIDE_COLUMN_COUNT
    table = Table(box=box.SIMPLE, pad_edge=False)
    # Whole, so that it can be copied.
    table.add_column("id", no_wrap=True, min_width=36)
    table.add_column("status", no_wrap=True)
    if is_wide:
        table.add_column("began", no_wrap=True)
    table.add_column("languages")
    if is_wide:
        table.add_column("behind", no_wrap=True, justify="right")
    table.add_column("title", overflow="fold", min_width=10)
    for meeting in meetings:
        began = [_format_time(meeting["began_at"] or meeting["created_at"])] if is_wide else []
        behind = [str(meeting["last_accepted"] - meeting["last_committed"])] if is_wide else []
        languages = _format_languages(meeting["config"])
        table.add_row(
            meeting["id"], meeting["status"], *began, languages, *behind, sanitize_for_terminal(meeting["title"])
        )
    return table


def _meeting_details(meeting: dict[str, Any], summary: CaptionSummary, page: str) -> Table:
    from rich.table import Table

    pending = f" ({meeting['pending_captions']} pending)" if meeting["pending_captions"] else ""
    without_caption = f"{summary.without_caption}: {summary.describe_reasons()}" if summary.without_caption else ""
    ended = f"{_format_time(meeting['ended_at'])}: {meeting['end_reason']}" if meeting["ended_at"] else ""
    behind = meeting["last_accepted"] - meeting["last_committed"]
    rows = {
        "id": meeting["id"],
        "page": page,
        "title": meeting["title"],
        "external id": meeting["external_id"] or "",
        "status": meeting["status"],
        "began": _format_time(meeting["began_at"]),
        "ended": ended,
        "clock": meeting["clock"],
        "languages": _format_languages(meeting["config"]),
        "sentences": str(summary.sentence_count),
        "captions": f"{summary.describe_statuses()}{pending}",
        "sentences without": without_caption,
        "accepted": f"{meeting['last_accepted']} entries, {'all' if not behind else meeting['last_committed']} processed",
        "lane": f"{meeting['lane_id']}, generation {meeting['generation']}, last event {meeting['seq']}",
    }
    rows |= {
        name: f"{count} {COUNTER_DESCRIPTIONS.get(name, '')}".rstrip()
        for name, count in sorted(meeting["counters"].items())
        if count
    }
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows.items():
        if value:
            grid.add_row(name, sanitize_for_terminal(value))
    return grid


def _format_time(instant: str | None) -> str:
    return datetime.fromisoformat(instant).astimezone().strftime("%Y-%m-%d %H:%M") if instant else ""


def _format_languages(config: dict[str, Any]) -> str:
    return f"{config['source_language']} > {', '.join(config['target_languages']) or 'none'}"
