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

from operators.errors import Unavailable
from operators.model import Clock
from storage.database import async_engine, async_redis
from storage.log import Appended, Log, NewEvent
from storage.meetings import Meetings
from tests.chaos.recordings import CONFIG, Spoken
from tests.harness.lanes import BASE

BATCH = 50
PAUSE = 0.1
"""Seconds before a refused batch is sent again."""
PASSING = (
    Unavailable,
    RedisConnectionError,
    RedisTimeoutError,
    OperationalError,
    InterfaceError,
    PoolTimeoutError,
)
"""What the API answers with 503 (serve/http/problems.py): a client tries again. Anything else is a bug, and ends the feed."""


class Feed:
    """Sends meetings side by side from a thread of its own.

    Args:
        spoken: the meetings.
        seconds: how long that takes where nothing hinders it; each meeting is spread over all of it evenly.

    Attributes:
        ids: the meetings, by title.
        accepted: the ordinal of each event that was taken, by title and event id.
        refusals: how often a batch was refused, by the kind of error.
    """

    def __init__(self, postgres_url: str, redis_url: str, spoken: Sequence[Spoken], seconds: float) -> None:
        self._urls = postgres_url, redis_url
        self._spoken, self._seconds = spoken, seconds
        self._opened, self._stopping = threading.Event(), threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="feed", daemon=True)
        self.ids: dict[str, UUID] = {}
        self.accepted: dict[str, dict[str, int]] = {one.title: {} for one in spoken}
        self.refusals: Counter[str] = Counter()

    def __enter__(self) -> Feed:
        self._thread.start()
        self._opened.wait(120)
        self.check()
        assert self._opened.is_set(), "no meeting could be opened"
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), "the client did not stop"
        self.check()

    def check(self) -> None:
        """Raise what ended the feed before its time, if anything did."""
        if self._failed is not None:
            raise self._failed

    @property
    def done(self) -> bool:
        """Whether everything has been taken."""
        self.check()
        return self.count == sum(len(one.chunks) + 1 for one in self._spoken)

    @property
    def count(self) -> int:
        """How many events have been taken."""
        return sum(len(taken) for taken in self.accepted.values())

    def marks(self) -> dict[UUID, int]:
        """The last ordinal taken of each meeting."""
        return {self.ids[title]: max(taken.values(), default=0) for title, taken in self.accepted.items()}

    async def _run(self) -> None:
        engine, connection = async_engine(self._urls[0]), async_redis(self._urls[1])
        meetings = Meetings(engine, Log(connection))
        try:
            for one in self._spoken:
                record, _ = await meetings.open(
                    "default", external_id=None, title=one.title, clock=Clock.RECORDED, config=CONFIG, at=BASE
                )
                self.ids[one.title] = record.id
            self._opened.set()
            async with asyncio.TaskGroup() as group:
                ledger = group.create_task(meetings.run_ledger())
                await asyncio.gather(*(self._send(meetings, one) for one in self._spoken))
                await self._stay()
                ledger.cancel()
        except BaseException as error:  # noqa: BLE001 - raised again by the test's thread
            self._failed = error
            self._opened.set()
        finally:
            await engine.dispose()
            await connection.aclose()

    async def _stay(self) -> None:
        """The door stays open, and goes on noting what it took."""
        while not self._stopping.is_set():
            await asyncio.sleep(0.05)

    async def _send(self, meetings: Meetings, spoken: Spoken) -> None:
        events = spoken.events()
        clock = asyncio.get_running_loop().time
        began, sent = clock(), 0
        while sent < len(events) and not self._stopping.is_set():
            due = len(events) if not self._seconds else int(len(events) * (clock() - began) / self._seconds)
            batch = events[sent : min(due, sent + BATCH)]
            if not batch:
                await asyncio.sleep(0.02)
                continue
            for answer in await self._append(meetings, spoken.title, batch):
                assert answer.n is not None, f"{answer.event_id} was refused: {answer.reason}"
                self.accepted[spoken.title][answer.event_id] = answer.n
            sent += len(batch)

    async def _append(self, meetings: Meetings, title: str, batch: Sequence[NewEvent]) -> list[Appended]:
        while not self._stopping.is_set():
            try:
                return await meetings.append("default", self.ids[title], batch)
            except PASSING as error:
                self.refusals[type(error).__name__] += 1
                await asyncio.sleep(PAUSE)
        return []
