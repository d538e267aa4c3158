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

from cluster.client import Client, Rejected, Sent
from cluster.recording import Recorded, Recording
from operators.model import MAX_NAME, MAX_TITLE, Clock, MeetingConfig, Term
from storage.records import OVER_STATUSES

BATCH = 200
"""Events sent at once where nothing has to be on time."""
RENEW = 60.0
"""Seconds of silence after which an empty batch says that the importer still lives."""
MAX_FILE_NAME = 255
"""Bytes that a file's name may have."""
RESULTS = ".sentences.jsonl"
"""The longer one of the endings of the files that are written."""
POLL = 0.3
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

    def config(self) -> MeetingConfig:
        """What the meetings are to be turned into."""
        return MeetingConfig(
            source_language=self.language, target_languages=self.targets, glossary=self.glossary, style=self.style
        )

    def way(self) -> str:
        """What tells this way of replaying a recording from others."""
        targets = "+".join(self.targets) or "none"
        asked = "".join(term.model_dump_json() for term in self.glossary) + self.style
        wishes = f"-{hashlib.sha256(asked.encode()).hexdigest()[:12]}" if asked else ""
        return f"{self.clock}-{self.language}-{targets}{wishes}"


@dataclass
class Replayed:
    """What became of a recording."""

    name: str
    meeting_id: str
    sent: Sent
    seconds: float
    counters: dict[str, int]
    sentences: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    captions: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


async def replay(
    client: Client, recordings: Sequence[Recording], options: ReplayOptions, out: Path, progress: Progress
) -> list[Replayed]:
    """Replay recordings side by side and write `NAME.sentences.jsonl` and `NAME.captions.jsonl` for each into a folder.

    Raises:
        Rejected: the server refused something.
        Unavailable: the server could not be reached.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_replay(client, r, options, out, progress)) for r in recordings]
    return [task.result() for task in tasks]


async def _replay(
    client: Client, recording: Recording, options: ReplayOptions, out: Path, progress: Progress
) -> Replayed:
    began = time.monotonic()
    meeting = await open_recording(client, recording, options)
    sent = await play(client, recording, options, meeting["id"], progress)
    done = await client.meeting(meeting["id"])
    scale = options.speed or 1.0 if options.clock is Clock.LIVE else 1.0
    result = Replayed(recording.name, meeting["id"], sent, 0.0, done["counters"])
    result.sentences = [_sentence(row, scale) for row in await client.sentences(meeting["id"])]
    result.captions = [_caption(row) for row in await client.captions(meeting["id"])]
    _write(out / f"{file_name(recording.name)}.sentences.jsonl", result.sentences)
    _write(out / f"{file_name(recording.name)}.captions.jsonl", result.captions)
    result.seconds = time.monotonic() - began
    return result


async def open_recording(
    client: Client, recording: Recording, options: ReplayOptions, title: str | None = None
) -> dict[str, Any]:
    """Begin the meeting of a recording, or find it: the same recording in the same way is the same meeting.

    Args:
        title: the recording's name where it is None.
    """
    return await client.open_meeting(opening_body(recording, options, title))


def opening_body(recording: Recording, options: ReplayOptions, title: str | None = None) -> dict[str, Any]:
    """What the meeting of a recording is opened with; `title` as for `open_recording`."""
    body: dict[str, Any] = {
        "external_id": _external_id(recording, options),
        "title": recording.name[:MAX_TITLE] if title is None else title,
        "clock": str(options.clock),
        "config": options.config().model_dump(mode="json", exclude_unset=True),
    }
    if options.clock is Clock.RECORDED:
        body["began_at"] = recording.began_at
    return body


def _external_id(recording: Recording, options: ReplayOptions) -> str:
    """What tells a recording that is replayed in one way from all others, within what the API takes."""
    way, room = options.way(), MAX_NAME - len(f"replay--{recording.digest}-")
    if len(way) > room // 2:
        way = hashlib.sha256(way.encode()).hexdigest()
    return f"replay-{recording.name[: room - len(way)]}-{recording.digest}-{way}"


def file_name(name: str) -> str:
    """The beginning of a recording's name that leaves room for the ending of a file of results."""
    return name.encode()[: MAX_FILE_NAME - len(RESULTS)].decode(errors="ignore")


def untaken(recording: Recording, meeting: dict[str, Any]) -> int:
    """How many events of a recording its meeting ended without.

    It is told by their number: a day after its end nobody knows any more which they were.
    """
    # Beside them, each generation's start is an entry, and the end is.
    taken = meeting["last_committed"] - meeting["generation"] - 1
    return max(0, len(recording.events) - taken)


async def play(
    client: Client, recording: Recording, options: ReplayOptions, meeting_id: str, progress: Progress
) -> Sent:
    """Send a recording into its meeting, end it and wait for its captions, with a bar that shows how far that is."""
    bar = progress.add_task(f"{recording.name}: sending", total=len(recording.events))
    sent = await send(client, recording, options, meeting_id, lambda count: progress.update(bar, completed=count))
    progress.update(bar, description=f"{recording.name}: captions", total=None)

    def show(meeting: dict[str, Any]) -> None:
        to_come = f"{meeting['pending_captions']} captions to come" if meeting["pending_captions"] else "captions"
        progress.update(
            bar,
            description=f"{recording.name}: {to_come}",
            completed=meeting["last_committed"],
            total=meeting["last_accepted"],
        )

    await await_captions(client, meeting_id, show)
    progress.update(bar, description=f"{recording.name}: done", total=1, completed=1)
    return sent


async def send(
    client: Client, recording: Recording, options: ReplayOptions, meeting_id: str, tell: Callable[[int], None]
) -> Sent:
    """Send the events of a recording into its meeting, and end it.

    Args:
        tell: called with how many events were sent.
    """
    base = recording.began_at if options.clock is Clock.RECORDED else None
    accepted = repeated = refused = 0
    events = [_event(k, recorded, base) for k, recorded in enumerate(recording.events)]
    end: dict[str, Any] = {"event_id": "end", "kind": "ended", "payload": {"reason": "the recording ended"}}
    if base is not None:
        end["at"] = events[-1]["at"]
    batches = _on_time(recording.events, options.speed) if options.speed else _at_once(len(events))
    started = time.monotonic()
    for first, last, due in batches:
        while (wait := started + due - time.monotonic()) > RENEW:
            await asyncio.sleep(RENEW)
            await client.send(meeting_id, [])
        await asyncio.sleep(max(0.0, wait))
        became = await client.send(meeting_id, events[first:last])
        accepted, repeated = accepted + became.accepted, repeated + became.repeated
        refused += became.refused
        tell(last)
    await client.send(meeting_id, [end])
    return Sent(accepted, repeated, refused)


def _at_once(count: int) -> Iterator[tuple[int, int, float]]:
    for first in range(0, count, BATCH):
        yield first, min(first + BATCH, count), 0.0


def _on_time(events: Sequence[Recorded], speed: float) -> Iterator[tuple[int, int, float]]:
    """Each event at its time; those of one instant together. Gives the slice, and when it is due in seconds."""
    first = 0
    for k in range(1, len(events) + 1):
        if k == len(events) or events[k].at > events[first].at:
            yield first, k, events[first].at / speed
            first = k


def _event(k: int, recorded: Recorded, base: int | None) -> dict[str, Any]:
    event: dict[str, Any] = {
        "event_id": f"line-{k + 1}",
        "payload": recorded.chunk.model_dump(mode="json", exclude_none=True),
    }
    if base is not None:
        event["at"] = base + round(recorded.at * 1000)
    return event


async def await_captions(client: Client, meeting_id: str, tell: Callable[[dict[str, Any]], None]) -> None:
    """Wait until a meeting is over and no caption is pending.

    Args:
        tell: called with how the meeting stands, again and again.

    Raises:
        Rejected: the meeting failed.
    """
    while True:
        meeting = await client.meeting(meeting_id)
        tell(meeting)
        if meeting["status"] == "failed":
            raise Rejected(f"the meeting {meeting_id} failed: {meeting['end_reason']}")
        if meeting["status"] in OVER_STATUSES and not meeting["pending_captions"]:
            return
        await asyncio.sleep(POLL)


def _sentence(row: dict[str, Any], scale: float) -> dict[str, Any]:
    names = ("id", "revision", "speaker", "text", "start", "end", "boundary", "first_emitted", "first_text")
    # A recording played N times as fast by a live clock spoke N seconds of its own in each.
    return {name: row[name] for name in names} | {"first_emitted": round(row["first_emitted"] * scale, 3)}


def _caption(row: dict[str, Any]) -> dict[str, Any]:
    names = ("sentence_id", "revision", "language", "text", "status", "engine", "version", "attempts")
    return {name: row[name] for name in names}


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
