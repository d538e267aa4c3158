"""A good client: it sends what is said through the real door, and sends it again, under the same ids, until that took it."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from operators.errors import UnavailableError
from operators.meeting_config import Clock
from storage.connections import async_engine, async_redis
from storage.ingest.meeting_service import MeetingService
from storage.redis_log.event_log import AppendResult, LogWriter, NewEvent
from tests.chaos.workload.recorded_meetings import CONFIG, RecordedMeeting
from tests.harness.lane.threaded_lane import RECORDING_START_MS

MAX_BATCH_EVENTS = 50
RETRY_PAUSE_S = 0.1
"""Seconds before a refused batch is sent again."""
TRANSIENT_ERRORS = (
    UnavailableError,
    RedisConnectionError,
    RedisTimeoutError,
    OperationalError,
    InterfaceError,
    PoolTimeoutError,
)
"""What the API answers with 503 (serve/http/problems.py): a client tries again. Anything else is a bug, and ends the feed."""


class MeetingClient:
    """Sends meetings side by side from a thread of its own.

    Args:
        spoken: the meetings.
        seconds: how long that takes where nothing hinders it; each meeting is spread over all of it evenly.

    Attributes:
        ids: the meetings, by title.
        accepted: the ordinal of each event that was taken, by title and event id.
        refusals: how often a batch was refused, by the kind of error.
    """

    def __init__(
        self, postgres_url: str, redis_url: str, recordings: Sequence[RecordedMeeting], seconds: float
    ) -> None:
        self._urls = postgres_url, redis_url
        self._recordings, self._seconds = recordings, seconds
        self._opened, self._stopping = threading.Event(), threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="feed", daemon=True)
        self.ids: dict[str, UUID] = {}
        self.ordinals: dict[str, dict[str, int]] = {recording.title: {} for recording in recordings}
        self.refusals: Counter[str] = Counter()

    def __enter__(self) -> MeetingClient:
        self._thread.start()
        self._opened.wait(120)
        self.raise_if_failed()
        assert self._opened.is_set(), "no meeting could be opened"
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), "the client did not stop"
        self.raise_if_failed()

    def raise_if_failed(self) -> None:
        """Raise what ended the feed before its time, if anything did."""
        if self._error is not None:
            raise self._error

    @property
    def is_finished(self) -> bool:
        """Whether everything has been taken."""
        self.raise_if_failed()
        return self.accepted_count == sum(len(recording.chunks) + 1 for recording in self._recordings)

    @property
    def accepted_count(self) -> int:
        """How many events have been taken."""
        return sum(len(taken) for taken in self.ordinals.values())

    def last_ordinals(self) -> dict[UUID, int]:
        """The last ordinal taken of each meeting."""
        return {self.ids[title]: max(taken.values(), default=0) for title, taken in self.ordinals.items()}

    async def _run(self) -> None:
        engine, connection = async_engine(self._urls[0]), async_redis(self._urls[1])
        meetings = MeetingService(engine, LogWriter(connection))
        try:
            for recording in self._recordings:
                record, _ = await meetings.open(
                    "default",
                    external_id=None,
                    title=recording.title,
                    clock=Clock.RECORDED,
                    config=CONFIG,
                    at_ms=RECORDING_START_MS,
                )
                self.ids[recording.title] = record.id
            self._opened.set()
            async with asyncio.TaskGroup() as group:
                ledger = group.create_task(meetings.run_ledger())
                await asyncio.gather(*(self._send(meetings, one) for one in self._recordings))
                await self._wait_for_stop()
                ledger.cancel()
        except BaseException as error:  # noqa: BLE001 - raised again by the test's thread
            self._error = error
            self._opened.set()
        finally:
            await engine.dispose()
            await connection.aclose()

    async def _wait_for_stop(self) -> None:
        """The door stays open, and goes on noting what it took."""
        while not self._stopping.is_set():
            await asyncio.sleep(0.05)

    async def _send(self, meetings: MeetingService, recording: RecordedMeeting) -> None:
        events = recording.events()
        clock = asyncio.get_running_loop().time
        started_at, sent_count = clock(), 0
        while sent_count < len(events) and not self._stopping.is_set():
            due = len(events) if not self._seconds else int(len(events) * (clock() - started_at) / self._seconds)
            batch = events[sent_count : min(due, sent_count + MAX_BATCH_EVENTS)]
            if not batch:
                await asyncio.sleep(0.02)
                continue
            for appended in await self._append(meetings, recording.title, batch):
                assert appended.ordinal is not None, f"{appended.event_id} was refused: {appended.reason}"
                self.ordinals[recording.title][appended.event_id] = appended.ordinal
            sent_count += len(batch)

    async def _append(self, meetings: MeetingService, title: str, batch: Sequence[NewEvent]) -> list[AppendResult]:
        while not self._stopping.is_set():
            try:
                return await meetings.append("default", self.ids[title], batch)
            except TRANSIENT_ERRORS as error:
                self.refusals[type(error).__name__] += 1
                await asyncio.sleep(RETRY_PAUSE_S)
        return []
