"""Helpers for tests of lanes: meetings fed by the ingest service, and lanes in threads, all on real stores."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal
from uuid import UUID, uuid4

import redis
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.lane.options import LaneOptions
from flows.lane.runner import Lane
from operators.entries import Chunk, MeetingEnded
from operators.meeting_config import Clock, MeetingConfig
from operators.note_requests import WriteNote
from operators.translation_requests import CaptionStatus, Translate, Translation, TranslationRequest
from storage import redis_keys
from storage.ingest.meeting_service import MeetingService
from storage.postgres.lane_registry import ensure_lane
from storage.redis_log.event_log import AppendResult, NewEvent

RECORDING_START_MS = 1_700_000_000_000
"""Start of the recorded meetings of these tests (Unix ms)."""


async def translate_to_capitals(request: TranslationRequest) -> Translation:
    """Translate to the source text in capitals, with the language as prefix, after 2 ms."""
    await asyncio.sleep(0.002)
    return Translation(CaptionStatus.TRANSLATED, f"{request.language}:{request.text.upper()}", "shout 1")


async def open_lane_meeting(
    meetings: MeetingService,
    aengine: AsyncEngine,
    *,
    targets: Sequence[str] = ("pt",),
    clock: Clock = Clock.RECORDED,
    **config: Any,
) -> UUID:
    """Open a meeting on the live or the batch lane, and return its id.

    Args:
        meetings: the ingest service.
        aengine: engine of the database.
        targets: the target languages.
        clock: live, or recorded for a batch lane.
        config: further fields of the meeting's config.
    """
    async with aengine.begin() as connection:
        await ensure_lane(connection, "live-1", "live")
        await ensure_lane(connection, "batch-1", "batch")
    record, _ = await meetings.open(
        "default",
        external_id=None,
        title="test",
        clock=clock,
        config=MeetingConfig(source_language="en", target_languages=tuple(targets), **config),
        at_ms=RECORDING_START_MS if clock is Clock.RECORDED else None,
    )
    return record.id


def chunk_event(k: int, chunk_id: str, speaker: str, words: str, start: float, end: float, at_s: float) -> NewEvent:
    """Make the event of a recording's chunk that arrives `at_s` seconds after the recording's start."""
    chunk = Chunk(chunk_id=chunk_id, speaker=speaker, text=words, start=start, end=end)
    return NewEvent(f"e{k}", chunk, RECORDING_START_MS + round(at_s * 1000))


def end_event(at_s: float) -> NewEvent:
    """Make the event that ends a recording, `at_s` seconds after its start."""
    return NewEvent("end", MeetingEnded(), RECORDING_START_MS + round(at_s * 1000))


async def append_events(
    meetings: MeetingService, meeting_id: UUID, events: Sequence[NewEvent], batch_size: int = 50
) -> list[AppendResult]:
    """Append a meeting's events in batches, and return the results."""
    appended: list[AppendResult] = []
    for i in range(0, len(events), batch_size):
        appended += await meetings.append("default", meeting_id, events[i : i + batch_size])
    return appended


class ThreadedLane(Lane):
    """A lane for a thread of its own.

    Attributes:
        has_ended: set once the lane has ended, with or without an error.
    """

    def __init__(self, options: LaneOptions, translate: Translate, write_note: WriteNote | None = None) -> None:
        super().__init__(options, translate, write_note)
        self.has_ended = threading.Event()

    def run(self) -> None:
        """Run the lane to its end, and set `has_ended`."""
        try:
            super().run()
        finally:
            self.has_ended.set()


@contextmanager
def running_lane(
    postgres_url: str,
    redis_url: str,
    lane_id: str,
    translate: Translate = translate_to_capitals,
    kind: Literal["live", "batch"] = "batch",
    write_note: WriteNote | None = None,
    **options: Any,
) -> Iterator[ThreadedLane]:
    """Run a lane in a thread during the block.

    Raises:
        BaseException: the error that ended the lane, at the end of the block.
    """
    lane = ThreadedLane(LaneOptions(lane_id, kind, postgres_url, redis_url, **options), translate, write_note)
    errors: list[BaseException] = []

    def run() -> None:
        try:
            lane.run()
        except BaseException as error:  # noqa: BLE001 - raised again by the test
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield lane
    finally:
        lane.stop()
        thread.join(120)
    assert not thread.is_alive(), "the lane did not stop"
    if errors:
        raise errors[0]


async def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until a condition holds, and fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.02)


class LiveSubscriber:
    """Subscriber of a meeting's live channel from its creation on."""

    def __init__(self, connection: redis.Redis, meeting_id: UUID) -> None:
        self._connection, self._name = connection, redis_keys.live_channel(str(meeting_id))
        self._channel: Any = connection.pubsub()
        self._channel.subscribe(self._name)
        assert self._next_message()["type"] == "subscribe"

    def receive_all(self) -> list[dict[str, Any]]:
        """Return the messages that were published since the last call."""
        mark, messages = uuid4().hex, list[dict[str, Any]]()
        # The mark arrives after all earlier messages.
        self._connection.publish(self._name, mark)
        while (data := self._next_message()["data"]) != mark:
            messages.append(json.loads(data))
        return messages

    def _next_message(self) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        # A health check of the connection returns None, too.
        while (message := self._channel.get_message(timeout=1)) is None:
            assert time.monotonic() < deadline, "no message arrived in time"
        return message


def query_rows(engine: Engine, query: str, **values: object) -> list[tuple[Any, ...]]:
    """Run a query, and return its rows."""
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query), values)]


def ended_without_pending(engine: Engine, *meeting_ids: UUID) -> Callable[[], bool]:
    """Make a condition: all these meetings have ended and have no pending captions."""

    def check() -> bool:
        ids = list(meeting_ids)
        unfinished = query_rows(engine, "select 1 from meetings where id = any(:ids) and status <> 'ended'", ids=ids)
        pending = query_rows(
            engine,
            "select 1 from captions c join sentences s on s.meeting_id = c.meeting_id and s.id = c.sentence_id"
            " where c.meeting_id = any(:ids) and c.status = 'pending' and not s.retracted",
            ids=ids,
        )
        return not unfinished and not pending

    return check
