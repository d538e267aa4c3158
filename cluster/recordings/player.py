"""Replays recordings through the HTTP door of a running system, waits until every caption is there, and writes what it stored."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import Progress

from cluster.api_client import ApiClient, ApiError, SendResult
from cluster.recordings.reader import RecordedEvent, Recording
from operators.model import MAX_NAME_CHARS, MAX_TITLE_CHARS, Clock, MeetingConfig, Term
from storage.records import CLOSED_STATUSES

BATCH_COUNT = 200
"""Events sent at once where nothing has to be on time."""
LEASE_RENEWAL_S = 60.0
"""Seconds of silence after which an empty batch says that the importer still lives."""
MAX_FILE_NAME_BYTES = 255
"""Bytes that a file's name may have."""
LONGEST_RESULT_SUFFIX = ".sentences.jsonl"
"""The longer one of the endings of the files that are written."""
POLL_S = 0.3
"""Seconds between two looks at a meeting that is being finished."""


@dataclass(frozen=True)
class ReplayOptions:
    """How recordings are replayed.

    Attributes:
        speed: times the recording's own; None sends as fast as the door takes it.
        clock: `recorded` orders the meeting by the recording's times, `live` by the time of acceptance.
        language: what is spoken.
        targets: what it is translated into.
        glossary: how terms are to be translated.
        style: how translations should sound.
    """

    speed: float | None
    clock: Clock
    language: str
    targets: tuple[str, ...]
    glossary: tuple[Term, ...] = ()
    style: str = ""

    def meeting_config(self) -> MeetingConfig:
        """What the meetings are to be turned into."""
        return MeetingConfig(
            source_language=self.language, target_languages=self.targets, glossary=self.glossary, style=self.style
        )

    def fingerprint(self) -> str:
        """What tells this way of replaying a recording from others."""
        targets = "+".join(self.targets) or "none"
        preferences = "".join(term.model_dump_json() for term in self.glossary) + self.style
        preferences_hash = f"-{hashlib.sha256(preferences.encode()).hexdigest()[:12]}" if preferences else ""
        return f"{self.clock}-{self.language}-{targets}{preferences_hash}"


@dataclass
class ReplayResult:
    """What became of a recording."""

    name: str
    meeting_id: str
    send_result: SendResult
    duration_s: float
    counters: dict[str, int]
    sentences: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    captions: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


async def replay_recordings(
    client: ApiClient, recordings: Sequence[Recording], options: ReplayOptions, out: Path, progress: Progress
) -> list[ReplayResult]:
    """Replay recordings side by side and write `NAME.sentences.jsonl` and `NAME.captions.jsonl` for each into a folder.

    Raises:
        Rejected: the server refused something.
        UnavailableError: the server could not be reached.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_replay_recording(client, r, options, out, progress)) for r in recordings]
    return [task.result() for task in tasks]


async def _replay_recording(
    client: ApiClient, recording: Recording, options: ReplayOptions, out: Path, progress: Progress
) -> ReplayResult:
    started_at = time.monotonic()
    meeting = await open_meeting_for(client, recording, options)
    send_result = await replay_meeting(client, recording, options, meeting["id"], progress)
    final_state = await client.meeting(meeting["id"])
    time_scale = options.speed or 1.0 if options.clock is Clock.LIVE else 1.0
    result = ReplayResult(recording.name, meeting["id"], send_result, 0.0, final_state["counters"])
    result.sentences = [_sentence_row(row, time_scale) for row in await client.sentences(meeting["id"])]
    result.captions = [_caption_row(row) for row in await client.captions(meeting["id"])]
    _write_jsonl(out / f"{result_file_stem(recording.name)}.sentences.jsonl", result.sentences)
    _write_jsonl(out / f"{result_file_stem(recording.name)}.captions.jsonl", result.captions)
    result.duration_s = time.monotonic() - started_at
    return result


async def open_meeting_for(
    client: ApiClient, recording: Recording, options: ReplayOptions, title: str | None = None
) -> dict[str, Any]:
    """Begin the meeting of a recording, or find it: the same recording in the same way is the same meeting.

    Args:
        title: the recording's name where it is None.
    """
    return await client.open_meeting(meeting_request(recording, options, title))


def meeting_request(recording: Recording, options: ReplayOptions, title: str | None = None) -> dict[str, Any]:
    """What the meeting of a recording is opened with; `title` as for `open_recording`."""
    body: dict[str, Any] = {
        "external_id": _external_id(recording, options),
        "title": recording.name[:MAX_TITLE_CHARS] if title is None else title,
        "clock": str(options.clock),
        "config": options.meeting_config().model_dump(mode="json", exclude_unset=True),
    }
    if options.clock is Clock.RECORDED:
        body["began_at"] = recording.began_at
    return body


def _external_id(recording: Recording, options: ReplayOptions) -> str:
    """What tells a recording that is replayed in one way from all others, within what the API takes."""
    fingerprint, max_length = options.fingerprint(), MAX_NAME_CHARS - len(f"replay--{recording.digest}-")
    if len(fingerprint) > max_length // 2:
        fingerprint = hashlib.sha256(fingerprint.encode()).hexdigest()
    return f"replay-{recording.name[: max_length - len(fingerprint)]}-{recording.digest}-{fingerprint}"


def result_file_stem(name: str) -> str:
    """The beginning of a recording's name that leaves room for the ending of a file of results."""
    return name.encode()[: MAX_FILE_NAME_BYTES - len(LONGEST_RESULT_SUFFIX)].decode(errors="ignore")


def missing_event_count(recording: Recording, meeting: dict[str, Any]) -> int:
    """How many events of a recording its meeting ended without.

    It is told by their number: a day after its end nobody knows any more which they were.
    """
    # Beside them, each generation's start is an entry, and the end is.
    processed_count = meeting["last_committed"] - meeting["generation"] - 1
    return max(0, len(recording.events) - processed_count)


async def replay_meeting(
    client: ApiClient, recording: Recording, options: ReplayOptions, meeting_id: str, progress: Progress
) -> SendResult:
    """Send a recording into its meeting, end it and wait for its captions, with a bar that shows how far that is."""
    bar = progress.add_task(f"{recording.name}: sending", total=len(recording.events))
    send_result = await send_recording(
        client, recording, options, meeting_id, lambda count: progress.update(bar, completed=count)
    )
    progress.update(bar, description=f"{recording.name}: captions", total=None)

    def show_progress(meeting: dict[str, Any]) -> None:
        pending_text = f"{meeting['pending_captions']} captions to come" if meeting["pending_captions"] else "captions"
        progress.update(
            bar,
            description=f"{recording.name}: {pending_text}",
            completed=meeting["last_committed"],
            total=meeting["last_accepted"],
        )

    await await_captions(client, meeting_id, show_progress)
    progress.update(bar, description=f"{recording.name}: done", total=1, completed=1)
    return send_result


async def send_recording(
    client: ApiClient, recording: Recording, options: ReplayOptions, meeting_id: str, on_progress: Callable[[int], None]
) -> SendResult:
    """Send the events of a recording into its meeting, and end it.

    Args:
        tell: called with how many events were sent.
    """
    began_at = recording.began_at if options.clock is Clock.RECORDED else None
    accepted = repeated = refused = 0
    events = [_event_body(index, recorded_event, began_at) for index, recorded_event in enumerate(recording.events)]
    end: dict[str, Any] = {"event_id": "end", "kind": "ended", "payload": {"reason": "the recording ended"}}
    if began_at is not None:
        end["at"] = events[-1]["at"]
    batches = _paced_batches(recording.events, options.speed) if options.speed else _unpaced_batches(len(events))
    started = time.monotonic()
    for first, last, due in batches:
        while (wait := started + due - time.monotonic()) > LEASE_RENEWAL_S:
            await asyncio.sleep(LEASE_RENEWAL_S)
            await client.send(meeting_id, [])
        await asyncio.sleep(max(0.0, wait))
        batch_result = await client.send(meeting_id, events[first:last])
        accepted, repeated = accepted + batch_result.accepted, repeated + batch_result.repeated
        refused += batch_result.refused
        on_progress(last)
    await client.send(meeting_id, [end])
    return SendResult(accepted, repeated, refused)


def _unpaced_batches(count: int) -> Iterator[tuple[int, int, float]]:
    for first in range(0, count, BATCH_COUNT):
        yield first, min(first + BATCH_COUNT, count), 0.0


def _paced_batches(events: Sequence[RecordedEvent], speed: float) -> Iterator[tuple[int, int, float]]:
    """Each event at its time; those of one instant together. Gives the slice, and when it is due in seconds."""
    first = 0
    for k in range(1, len(events) + 1):
        if k == len(events) or events[k].at > events[first].at:
            yield first, k, events[first].at / speed
            first = k


def _event_body(index: int, recorded_event: RecordedEvent, began_at: int | None) -> dict[str, Any]:
    event: dict[str, Any] = {
        "event_id": f"line-{index + 1}",
        "payload": recorded_event.chunk.model_dump(mode="json", exclude_none=True),
    }
    if began_at is not None:
        event["at"] = began_at + round(recorded_event.at * 1000)
    return event


async def await_captions(client: ApiClient, meeting_id: str, on_state: Callable[[dict[str, Any]], None]) -> None:
    """Wait until a meeting is over and no caption is pending.

    Args:
        tell: called with how the meeting stands, again and again.

    Raises:
        Rejected: the meeting failed.
    """
    while True:
        meeting = await client.meeting(meeting_id)
        on_state(meeting)
        if meeting["status"] == "failed":
            raise ApiError(f"the meeting {meeting_id} failed: {meeting['end_reason']}")
        if meeting["status"] in CLOSED_STATUSES and not meeting["pending_captions"]:
            return
        await asyncio.sleep(POLL_S)


def _sentence_row(row: dict[str, Any], time_scale: float) -> dict[str, Any]:
    names = ("id", "revision", "speaker", "text", "start", "end", "boundary", "first_emitted", "first_text")
    # A recording played N times as fast by a live clock spoke N seconds of its own in each.
    return {name: row[name] for name in names} | {"first_emitted": round(row["first_emitted"] * time_scale, 3)}


def _caption_row(row: dict[str, Any]) -> dict[str, Any]:
    names = ("sentence_id", "revision", "language", "text", "status", "engine", "version", "attempts")
    return {name: row[name] for name in names}


def _write_jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
