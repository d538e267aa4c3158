"""Replays recordings through the HTTP API of a running system, waits for all captions, and writes the results to files."""

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
from cluster.recordings.reader import Recording
from operators.fields import MAX_NAME_CHARS, MAX_TITLE_CHARS
from operators.meeting_config import Clock, MeetingConfig, Term
from operators.transcripts import RecordedEvent
from storage.records import CLOSED_STATUSES

BATCH_COUNT = 200
"""Events in one request if they are sent without pacing."""
LEASE_RENEWAL_S = 60.0
"""Seconds without an event after which an empty batch renews the meeting's lease."""
MAX_FILE_NAME_BYTES = 255
"""Maximum number of bytes of a file's name."""
LONGEST_RESULT_SUFFIX = ".sentences.jsonl"
"""The longest suffix of the result files."""
POLL_S = 0.3
"""Seconds between two polls of a meeting that is not finished."""


@dataclass(frozen=True)
class ReplayOptions:
    """Options of a replay.

    Attributes:
        speed: factor of the recording's own speed; None sends as fast as the API accepts.
        clock: `recorded` uses the recording's times, `live` the times of acceptance.
        language: the language spoken, or `auto`.
        targets: the languages to translate into.
        glossary: required translations of terms.
        style: the wanted style of translations, such as "formal".
    """

    speed: float | None
    clock: Clock
    language: str
    targets: tuple[str, ...]
    glossary: tuple[Term, ...] = ()
    style: str = ""

    def meeting_config(self) -> MeetingConfig:
        """Return the configuration of the meetings."""
        return MeetingConfig(
            source_language=self.language, target_languages=self.targets, glossary=self.glossary, style=self.style
        )

    def fingerprint(self) -> str:
        """Return an identifier of the options, without the speed. It is part of the meeting's external id."""
        targets = "+".join(self.targets) or "none"
        preferences = "".join(term.model_dump_json() for term in self.glossary) + self.style
        preferences_hash = f"-{hashlib.sha256(preferences.encode()).hexdigest()[:12]}" if preferences else ""
        return f"{self.clock}-{self.language}-{targets}{preferences_hash}"


@dataclass
class ReplayResult:
    """The result of a replayed recording.

    Attributes:
        name: the recording's name.
        meeting_id: the meeting's id.
        send_result: number of accepted, repeated and refused events.
        duration_s: seconds from opening the meeting until the files were written.
        counters: the meeting's counters.
        sentences: the rows of the sentence file.
        captions: the rows of the caption file.
    """

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
    """Replay recordings concurrently, and write `NAME.sentences.jsonl` and `NAME.captions.jsonl` for each.

    Args:
        client: a client of the running system.
        recordings: the recordings to replay.
        options: the options for all of them.
        out: the folder for the files.
        progress: shows the progress of each recording.

    Returns:
        The result of each recording, in their order.

    Raises:
        ApiError: the server rejected a request, or a meeting failed.
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
    """Open the meeting of a recording, or find it if the recording was replayed with the same options before.

    Args:
        client: a client of the running system.
        recording: the recording.
        options: the options of the replay.
        title: the meeting's title; by default the recording's name.

    Returns:
        The meeting, as the API returns it.
    """
    return await client.open_meeting(meeting_request(recording, options, title))


def meeting_request(recording: Recording, options: ReplayOptions, title: str | None = None) -> dict[str, Any]:
    """Return the request body that opens the meeting of a recording; arguments as for `open_meeting_for`."""
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
    """Return an id for a recording and its replay options, within the length that the API accepts."""
    fingerprint, max_length = options.fingerprint(), MAX_NAME_CHARS - len(f"replay--{recording.digest}-")
    if len(fingerprint) > max_length // 2:
        fingerprint = hashlib.sha256(fingerprint.encode()).hexdigest()
    return f"replay-{recording.name[: max_length - len(fingerprint)]}-{recording.digest}-{fingerprint}"


def result_file_stem(name: str) -> str:
    """Truncate a recording's name so that a result file's name, with its suffix, is not too long."""
    return name.encode()[: MAX_FILE_NAME_BYTES - len(LONGEST_RESULT_SUFFIX)].decode(errors="ignore")


def missing_event_count(recording: Recording, meeting: dict[str, Any]) -> int:
    """Return how many events of a recording its ended meeting lacks.

    The function compares numbers of events, because the ids of events are forgotten a day after the meeting's end.
    """
    # The start of each generation and the end of the meeting are entries too.
    processed_count = meeting["last_committed"] - meeting["generation"] - 1
    return max(0, len(recording.events) - processed_count)


async def replay_meeting(
    client: ApiClient, recording: Recording, options: ReplayOptions, meeting_id: str, progress: Progress
) -> SendResult:
    """Send a recording to its meeting, end the meeting and wait for its captions, with a progress bar.

    Raises:
        ApiError: the server rejected a request, or the meeting failed.
        UnavailableError: the server could not be reached.
    """
    bar = progress.add_task(f"{recording.name}: sending", total=len(recording.events))
    send_result = await send_recording(
        client, recording, options, meeting_id, lambda count: progress.update(bar, completed=count)
    )
    progress.update(bar, description=f"{recording.name}: captions", total=None)

    def show_progress(meeting: dict[str, Any]) -> None:
        pending_text = f"{meeting['pending_captions']} captions pending" if meeting["pending_captions"] else "captions"
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
    """Send the events of a recording to its meeting, and end the meeting.

    Args:
        client: a client of the running system.
        recording: the recording.
        options: the options of the replay.
        meeting_id: the meeting's id.
        on_progress: called with the number of events sent so far.

    Returns:
        The number of accepted, repeated and refused events.

    Raises:
        ApiError: the server rejected a request.
        UnavailableError: the server could not be reached.
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
    """Yield the start and end index of each batch of simultaneous events, and the seconds after which it is due."""
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
    """Wait until a meeting is over and none of its captions is pending.

    Args:
        client: a client of the running system.
        meeting_id: the meeting's id.
        on_state: called with the meeting after each poll.

    Raises:
        ApiError: the meeting failed, or the server rejected a request.
        UnavailableError: the server could not be reached.
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
    # With the live clock and speed N, each second of the meeting is N seconds of the recording.
    return {name: row[name] for name in names} | {"first_emitted": round(row["first_emitted"] * time_scale, 3)}


def _caption_row(row: dict[str, Any]) -> dict[str, Any]:
    names = ("sentence_id", "revision", "language", "text", "status", "engine", "version", "attempts")
    return {name: row[name] for name in names}


def _write_jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
