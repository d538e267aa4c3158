"""A well-behaved client: it sends events to the real ingest API, and retries them under the same ids until accepted."""

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
"""Seconds before a refused batch is retried."""
TRANSIENT_ERRORS = (
    UnavailableError,
    RedisConnectionError,
    RedisTimeoutError,
    OperationalError,
    InterfaceError,
    PoolTimeoutError,
)
"""Errors that the API answers with 503 (serve/http/problems.py), which a client retries. Any other error ends the client."""


class MeetingClient:
    """Sends meetings concurrently from its own thread.

    Args:
        postgres_url: the URL of Postgres.
        redis_url: the URL of Redis.
        recordings: the meetings to send.
        seconds: the duration of sending without faults. Each meeting is spread evenly over it. 0 sends as fast as possible.

    Attributes:
        ids: the meetings' ids, by title.
        ordinals: the ordinal of each accepted event, by title and event id.
        refusals: the number of refused batches, by error class.
    """

    def __init__(
        self, postgres_url: str, redis_url: str, recordings: Sequence[RecordedMeeting], seconds: float
    ) -> None:
        self._urls = postgres_url, redis_url
        self._recordings, self._seconds = recordings, seconds
        self._opened, self._stopping = threading.Event(), threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="client", daemon=True)
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
        """Raise the error that ended the client early, if there is one."""
        if self._error is not None:
            raise self._error

    @property
    def is_finished(self) -> bool:
        """Whether every event has been accepted."""
        self.raise_if_failed()
        return self.accepted_count == sum(len(recording.chunks) + 1 for recording in self._recordings)

    @property
    def accepted_count(self) -> int:
        """The number of accepted events."""
        return sum(len(ordinals) for ordinals in self.ordinals.values())

    def last_ordinals(self) -> dict[UUID, int]:
        """Return the last accepted ordinal of each meeting."""
        return {self.ids[title]: max(ordinals.values(), default=0) for title, ordinals in self.ordinals.items()}

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
                await asyncio.gather(*(self._send(meetings, recording) for recording in self._recordings))
                await self._wait_for_stop()
                ledger.cancel()
        except BaseException as error:  # noqa: BLE001 - raised again by the test's thread
            self._error = error
            self._opened.set()
        finally:
            await engine.dispose()
            await connection.aclose()

    async def _wait_for_stop(self) -> None:
        """Keep the service open, so that its ledger keeps recording accepted events."""
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
