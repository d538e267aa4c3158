"""`parley import`: imports transcript files into a running system."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.commands.recording_report import print_reading, summarize_reading
from cluster.commands.shared_options import (
    GlossaryOption,
    ServerOption,
    StyleOption,
    TargetsOption,
    find_running_server,
    read_glossary_and_style,
    read_language,
    read_targets,
)
from cluster.commands.terminal import console, results
from operators.errors import ConflictError, InvalidInputError, ParleyError

if TYPE_CHECKING:
    from rich.progress import Progress

    from cluster.api_client import ApiClient
    from cluster.recordings.player import ReplayOptions
    from cluster.recordings.reader import Recording

EXAMPLES = """
Examples:

- `parley import talk.vtt`

- `parley import monday.srt tuesday.srt --language en --targets pt,es --no-wait`

- `parley import talk.vtt --targets pt --glossary terms.csv --style "formal"`

- `parley import talk.vtt --strict`

- `parley import meet.json fireflies.json otter.txt --targets de`

- `parley import board.vtt --title "Board, 4 May" --server http://127.0.0.1:8080`
"""


def import_files(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", exists=True, dir_okay=False, help="Transcript files."),
    ],
    targets: TargetsOption = "pt",
    language: Annotated[str, typer.Option(metavar="TAG", help="The language spoken, or `auto`.")] = "auto",
    title: Annotated[
        str | None, typer.Option(show_default="the file's name", help="The meeting's title; for one file only.")
    ] = None,
    glossary: GlossaryOption = None,
    style: StyleOption = "",
    strict: Annotated[bool, typer.Option("--strict", help="Reject a file of which speech would be left out.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Don't wait for the captions.")] = False,
    server: ServerOption = None,
) -> None:
    """Import transcript files into a running system, one meeting for each file, and wait for their captions.

    The content decides the format: VTT or SRT (Zoom, Teams, YouTube), text with names or times (Otter, `Ann: Hi`), JSON of Google
    Meet, Fireflies or Recall.ai, or Parley's own JSONL.

    Unreadable parts of a file are left out. They are listed with their lines or JSON paths, as are repaired parts. If a file
    doesn't name each speaker and the import guessed them, the summary shows `speakers: guessed`. If a file lacks times, they are
    estimated from the number of words, and the summary shows `times: estimated`.

    Importing a file again with the same options adds nothing.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from cluster.api_client import ApiClient
    from cluster.recordings.player import ReplayOptions
    from cluster.recordings.reader import read_recording
    from operators.meeting_config import Clock

    if title is not None and len(files) > 1:
        raise InvalidInputError("--title", "is for one meeting: give only one file with it")
    glossary_and_style = read_glossary_and_style(glossary, style)
    options = ReplayOptions(None, Clock.RECORDED, read_language(language), read_targets(targets), *glossary_and_style)
    recordings = [read_recording(path, options.language, strict=strict) for path in files]
    for recording in recordings:
        print_reading(recording)
    url = find_running_server(server)

    async def import_all() -> int:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        async with ApiClient(url) as client:
            # Opened before the progress bars are shown, because this prints lines.
            meetings = [await _open_meeting(client, url, recording, options, title) for recording in recordings]
            with Progress(*columns, console=console) as progress:
                async with asyncio.TaskGroup() as group:
                    tasks = [
                        group.create_task(_send_events(client, recording, options, meeting, progress, wait=not no_wait))
                        for recording, meeting in zip(recordings, meetings, strict=True)
                    ]
            if not no_wait:
                for recording, meeting in zip(recordings, meetings, strict=True):
                    await _print_summary(client, recording, meeting, options)
        return sum(task.result() for task in tasks)

    try:
        refused = asyncio.run(import_all())
    except* ParleyError as group:
        raise group.exceptions[0] from None
    if refused:
        raise ConflictError(
            "incomplete", f"{refused} events were refused: their meetings had ended or failed, or were paused"
        )


async def _open_meeting(
    client: ApiClient, url: str, recording: Recording, options: ReplayOptions, title: str | None
) -> dict[str, Any]:
    from cluster.recordings.player import missing_event_count, open_meeting_for

    meeting = await open_meeting_for(client, recording, options, title)
    note = ""
    if meeting["status"] == "failed":
        note = f" (failed: {meeting['end_reason']})"
    elif meeting["status"] == "ended":
        missing_count = missing_event_count(recording, meeting)
        note = (
            f" (ended before: {missing_count} of its events are missing)"
            if missing_count
            else " (imported before: nothing is added)"
        )
    results.out(f"{recording.name}: {meeting['id']} {url}/meetings/{meeting['id']}{note}")
    return meeting


async def _send_events(
    client: ApiClient,
    recording: Recording,
    options: ReplayOptions,
    meeting: dict[str, Any],
    progress: Progress,
    *,
    wait: bool,
) -> int:
    """Send a recording, unless its meeting is over.

    Returns:
        The number of events that the meeting refused or lacks.
    """
    from cluster.recordings.player import await_captions, missing_event_count, replay_meeting, send_recording

    if meeting["status"] in ("ended", "failed"):
        if wait:
            await await_captions(client, meeting["id"], lambda _: None)
        return missing_event_count(recording, meeting)
    if wait:
        return (await replay_meeting(client, recording, options, meeting["id"], progress)).refused
    return (await send_recording(client, recording, options, meeting["id"], lambda _: None)).refused


async def _print_summary(
    client: ApiClient, recording: Recording, meeting: dict[str, Any], options: ReplayOptions
) -> None:
    from cluster.recordings.caption_summary import summarize_captions

    caption_summary = summarize_captions(
        await client.sentences(meeting["id"]), await client.captions(meeting["id"]), options.targets
    )
    missing_text = (
        f"; sentences without caption: {caption_summary.without_caption}: {caption_summary.describe_reasons()}"
        if caption_summary.without_caption
        else ""
    )
    reading_text = f"; {summary}" if (summary := summarize_reading(recording)) else ""
    console.print(
        f"{recording.name}: sentences: {caption_summary.sentence_count};"
        f" captions: {caption_summary.describe_statuses()}{missing_text}{reading_text}",
        markup=False,
        soft_wrap=True,
    )
