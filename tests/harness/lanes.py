"""Helpers for tests of lanes: meetings opened and fed through the real door, lanes run in threads on the real stores."""

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
from operators.model import Chunk, Clock, Ended, MeetingConfig
from operators.translation import CaptionStatus, Translate, Translation, TranslationRequest
from storage import keys
from storage.log import Appended, NewEvent
from storage.meetings import Meetings
from storage.placement import ensure_lane

BASE = 1_700_000_000_000
"""When recorded meetings of these tests began (ms)."""


async def shout(request: TranslationRequest) -> Translation:
    """A translation service whose answers can be told from the source."""
    await asyncio.sleep(0.002)
    return Translation(CaptionStatus.TRANSLATED, f"{request.language}:{request.text.upper()}", "shout 1")


async def open_recorded(
    meetings: Meetings, aengine: AsyncEngine, *, targets: Sequence[str] = ("pt",), clock: Clock = Clock.RECORDED
) -> UUID:
    """A meeting on the lane of its kind."""
    async with aengine.begin() as connection:
        await ensure_lane(connection, "live-1", "live")
        await ensure_lane(connection, "batch-1", "batch")
    record, _ = await meetings.open(
        "default",
        external_id=None,
        title="test",
        clock=clock,
        config=MeetingConfig(source_language="en", target_languages=tuple(targets)),
        at=BASE if clock is Clock.RECORDED else None,
    )
    return record.id


def said(k: int, chunk_id: str, speaker: str, words: str, start: float, end: float, at: float) -> NewEvent:
    """A chunk of a recording, `at` seconds after its beginning."""
    chunk = Chunk(chunk_id=chunk_id, speaker=speaker, text=words, start=start, end=end)
    return NewEvent(f"e{k}", chunk, BASE + round(at * 1000))


def ending(at: float) -> NewEvent:
    """The end of a recording."""
    return NewEvent("end", Ended(), BASE + round(at * 1000))


async def feed(meetings: Meetings, meeting_id: UUID, events: Sequence[NewEvent], size: int = 50) -> list[Appended]:
    """Append events in batches."""
    out: list[Appended] = []
    for i in range(0, len(events), size):
        out += await meetings.append("default", meeting_id, events[i : i + size])
    return out


class Running(Lane):
    """A lane in a thread of its own. `over` is set once it has ended, whatever it ended of."""

    def __init__(self, options: LaneOptions, translate: Translate) -> None:
        super().__init__(options, translate)
        self.over = threading.Event()

    def run(self) -> None:
        try:
            super().run()
        finally:
            self.over.set()


@contextmanager
def running(
    postgres_url: str,
    redis_url: str,
    lane_id: str,
    translate: Translate = shout,
    kind: Literal["live", "batch"] = "batch",
    **options: Any,
) -> Iterator[Running]:
    """A lane that runs for as long as the block; what it died of is raised at its end."""
    lane = Running(LaneOptions(lane_id, kind, postgres_url, redis_url, **options), translate)
    died: list[BaseException] = []

    def run() -> None:
        try:
            lane.run()
        except BaseException as error:  # noqa: BLE001 - raised again by the test
            died.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield lane
    finally:
        lane.stop()
        thread.join(120)
    assert not thread.is_alive(), "the lane did not stop"
    if died:
        raise died[0]


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        await asyncio.sleep(0.02)


class Listener:
    """Hears what is published of a meeting from now on."""

    def __init__(self, connection: redis.Redis, meeting_id: UUID) -> None:
        self._connection, self._name = connection, keys.live(str(meeting_id))
        self._channel: Any = connection.pubsub()
        self._channel.subscribe(self._name)
        assert self._next()["type"] == "subscribe"

    def heard(self) -> list[dict[str, Any]]:
        """What was published since this was asked last."""
        mark, found = uuid4().hex, list[dict[str, Any]]()
        # It comes after all that was published before it.
        self._connection.publish(self._name, mark)
        while (data := self._next()["data"]) != mark:
            found.append(json.loads(data))
        return found

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + 60
        # Nothing comes of a look at whether the connection is sound, too.
        while (message := self._channel.get_message(timeout=1)) is None:
            assert time.monotonic() < end, "nothing came in time"
        return message


def rows(engine: Engine, query: str, **values: object) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query), values)]


def over_and_paid(engine: Engine, *meeting_ids: UUID) -> Callable[[], bool]:
    """Whether meetings are over and nothing of them is owed."""

    def check() -> bool:
        ids = list(meeting_ids)
        still = rows(engine, "select 1 from meetings where id = any(:ids) and status <> 'ended'", ids=ids)
        owed = rows(
            engine,
            "select 1 from captions c join sentences s on s.meeting_id = c.meeting_id and s.id = c.sentence_id"
            " where c.meeting_id = any(:ids) and c.status = 'pending' and not s.retracted",
            ids=ids,
        )
        return not still and not owed

    return check
