"""`parley meetings`: lists, shows, exports and ends meetings, renames their speakers, and corrects their sentences."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

import typer

from cluster.commands.api_call import call_api
from cluster.commands.shared_options import JsonOption, ServerOption, find_running_server
from cluster.commands.terminal import console, format_time, print_json, results, sanitize_for_terminal
from operators.errors import InvalidInputError

if TYPE_CHECKING:
    from rich.table import Table

    from cluster.api_client import ApiClient
    from cluster.recordings.caption_summary import CaptionSummary

MeetingIdArgument = Annotated[UUID, typer.Argument(metavar="ID", help="The meeting's id, from `parley meetings list`.")]


class MeetingStatusOption(StrEnum):
    """Status of a meeting, as an option's value."""

    CREATED = "created"
    LIVE = "live"
    PAUSED = "paused"
    ENDED = "ended"
    TIMED_OUT = "timed_out"
    FAILED = "failed"


class ExportPartOption(StrEnum):
    """What an export can have beside the transcript, as an option's value."""

    NOTES = "notes"
    INSIGHTS = "insights"


COUNTER_DESCRIPTIONS = {
    "translated": "translations were made, over all revisions of the sentences",
    "same": "times a sentence was in the target language already",
    "untranslated": "times a sentence could not be translated",
    "pending": "translations were not ready in time: their captions became pending",
    "warned": "translations may have lost a number, a name, a term or an emoji",
    "cached": "translations came from the cache of short sentences",
    "superseded": "translations were discarded: the sentence had changed",
    "late": "revisions arrived after their chunk was closed; they changed nothing",
    "outdated": "interims arrived after the final of their chunk; they changed nothing",
    "repeated": "events were sent again; they changed nothing",
    "refused:ended": "events were refused: the meeting was over",
    "refused:failed": "events were refused: the meeting had failed",
    "refused:paused": "events were refused: the meeting was paused",
    "refused:no_time": "events were refused: an event of a recorded meeting needs a time",
    "refused:invalid": "events were refused: they were invalid",
    "refused:lag": "events were refused temporarily: the meeting's lane was too far behind",
    "dead": "entries could not be processed; they are kept as dead letters",
    "lost": "entries were accepted, and then lost by Redis",
    "timed_out": "times the meeting timed out after 30 minutes of silence",
}
"""Description of each counter of a meeting. The number precedes it."""

WIDE_COLUMN_COUNT = 110
"""Columns of a terminal that is wide enough for the whole table."""

app = typer.Typer(no_args_is_help=True, help="List, show, export and end the meetings of a running system.")


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
        typer.Option(show_default="all", help="Only meetings with this status; may be repeated."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Maximum number of meetings.")] = 20,
    as_json: JsonOption = False,
    server: ServerOption = None,
) -> None:
    """List the meetings, newest first.

    `behind` is the number of accepted entries that are not processed yet. It is updated about once a second.
    A narrow terminal shows neither this column nor the start time.
    """
    url = find_running_server(server)
    meetings = call_api(url, lambda client: client.meetings([option.value for option in status or []], limit))
    if as_json:
        print_json(meetings)
    elif meetings:
        results.print(_meeting_table(meetings))
    elif status:
        results.out(f"There is no meeting that is {' or '.join(status)}.")
    else:
        results.out(
            f"There is no meeting yet. Open one at {url}, with `parley import FILE`, or by the API ({url}/docs)."
        )


@app.command(
    epilog="""
Examples:

- `parley meetings show 0198c5f0-7d1e-7a2b-8c3d-4e5f60718293`
"""
)
def show(meeting: MeetingIdArgument, as_json: JsonOption = False, server: ServerOption = None) -> None:
    """Show a meeting: its state, lane, captions by status, and counters. Transcript text is not shown."""
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

- `parley meetings export ID --format docx --include notes --include insights`

- `parley meetings export ID | jq .text`
"""
)
def export(
    meeting: MeetingIdArgument,
    form: Annotated[
        Literal["jsonl", "vtt", "srt", "md", "txt", "docx", "zip"],
        typer.Option(
            "--format", help="JSON lines, subtitles (VTT, SRT), a document (Markdown, TXT, DOCX), or all in a ZIP."
        ),
    ] = "jsonl",
    text: Annotated[
        Literal["source", "target", "both"] | None,
        typer.Option(show_default="both if the meeting is translated", help="Source text, translation, or both."),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(
            metavar="TAG",
            show_default="the only one, or all with jsonl and zip",
            help="The translation's language.",
        ),
    ] = None,
    include: Annotated[
        list[ExportPartOption] | None,
        typer.Option(
            show_default="both with zip, none with others",
            help="Add notes or insights to md, txt, docx or zip; may be repeated.",
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            show_default="a file named by the system, or standard output if that is no terminal",
            help="The output file; `-` is standard output.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    server: ServerOption = None,
) -> None:
    """Export the transcript of a meeting: source text, translations, or both, with notes and insights if wanted."""
    parameters = {"format": form, "text": text, "language": language, "include": [part.value for part in include or []]}
    transcript = call_api(
        find_running_server(server),
        lambda client: client.export(str(meeting), {k: v for k, v in parameters.items() if v}),
    )
    if out == "-" or (out is None and not sys.stdout.isatty()):
        sys.stdout.buffer.write(transcript.content)
        return
    # Only the name is used, because a server must not choose the folder.
    path = Path(out or Path(transcript.name or "").name or f"{meeting}.{form}")
    try:
        with path.open("wb" if force else "xb") as file:
            file.write(transcript.content)
    except FileExistsError:
        raise InvalidInputError("--out", f"{path} exists already: name another, or overwrite it with --force") from None
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
    reason: Annotated[str | None, typer.Option(show_default="ended by request", help="Reason of the end.")] = None,
    server: ServerOption = None,
) -> None:
    """End a meeting. Pending captions are still completed. A meeting that is over does not change."""

    async def end_meeting(client: ApiClient) -> tuple[str, dict[str, Any]]:
        previous_status = (await client.meeting(str(meeting)))["status"]
        return previous_status, await client.end_meeting(str(meeting), reason)

    previous_status, updated = call_api(find_running_server(server), end_meeting)
    if previous_status in ("ended", "failed"):
        console.print(
            f"The meeting had {previous_status} before: {sanitize_for_terminal(updated['end_reason'])}.", soft_wrap=True
        )
    else:
        console.print(
            "The meeting is ending."
            + (f" Captions pending: {updated['pending_captions']}." if updated["pending_captions"] else "")
        )


@app.command(
    epilog="""
Examples:

- `parley meetings rename-speaker ID "Speaker 1" Ann`
"""
)
def rename_speaker(
    meeting: MeetingIdArgument,
    speaker: Annotated[str, typer.Argument(metavar="FROM", help="The speaker's present name.")],
    name: Annotated[str, typer.Argument(metavar="TO", help="The new name.")],
    speaker_id: Annotated[
        str | None,
        typer.Option(
            "--speaker-id", metavar="ID", show_default="none", help="Needed if several speakers have the name."
        ),
    ] = None,
    server: ServerOption = None,
) -> None:
    """Rename a speaker, in earlier sentences too. If another speaker has the new name, the two become one."""
    result = call_api(
        find_running_server(server), lambda client: client.rename_speaker(str(meeting), speaker, name, speaker_id)
    )
    new_name = sanitize_for_terminal(result["speaker"])
    done = "The speaker was merged into" if result["merged"] else "The speaker's name is now"
    console.print(f"{done} {new_name}.", markup=False, soft_wrap=True)


@app.command(
    epilog="""
Examples:

- `parley meetings correct ID 12.0 "Ask legal about clause 4."`
"""
)
def correct(
    meeting: MeetingIdArgument,
    sentence: Annotated[
        str, typer.Argument(metavar="SENTENCE", help="The sentence's id. The export as JSONL has the ids.")
    ],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The sentence's new text.")],
    server: ServerOption = None,
) -> None:
    """Correct a sentence. The source's text is kept; to go back to it, give it as the new text."""
    result = call_api(find_running_server(server), lambda client: client.correct_sentence(str(meeting), sentence, text))
    console.print(f"The sentence is now: {sanitize_for_terminal(result['text'])}", markup=False, soft_wrap=True)


def _meeting_table(meetings: list[dict[str, Any]]) -> Table:
    from rich import box
    from rich.table import Table

    is_wide = results.width >= WIDE_COLUMN_COUNT
    table = Table(box=box.SIMPLE, pad_edge=False)
    # Never truncated, so that the id can be copied.
    table.add_column("id", no_wrap=True, min_width=36)
    table.add_column("status", no_wrap=True)
    if is_wide:
        table.add_column("began", no_wrap=True)
    table.add_column("languages")
    if is_wide:
        table.add_column("behind", no_wrap=True, justify="right")
    table.add_column("title", overflow="fold", min_width=10)
    for meeting in meetings:
        began = [format_time(meeting["began_at"] or meeting["created_at"])] if is_wide else []
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
    ended = f"{format_time(meeting['ended_at'])}: {meeting['end_reason']}" if meeting["ended_at"] else ""
    behind = meeting["last_accepted"] - meeting["last_committed"]
    rows = {
        "id": meeting["id"],
        "page": page,
        "title": meeting["title"],
        "external id": meeting["external_id"] or "",
        "status": meeting["status"],
        "began": format_time(meeting["began_at"]),
        "ended": ended,
        "clock": meeting["clock"],
        "languages": _format_languages(meeting["config"]),
        "sentences": str(summary.sentence_count),
        "captions": f"{summary.describe_statuses()}{pending}",
        "without a caption": without_caption,
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


def _format_languages(config: dict[str, Any]) -> str:
    return f"{config['source_language']} > {', '.join(config['target_languages']) or 'none'}"
