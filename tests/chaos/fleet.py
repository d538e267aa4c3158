"""A small Parley with several lanes, which are started and stopped as the supervisor does, and meetings that move."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from cluster.demand import Demand
from flows.jobs import LaneAutoscaler, rebalance_lanes
from flows.lane.options import LaneOptions
from operators.errors import Unavailable
from operators.model import Ended
from storage.database import async_engine, async_redis, sync_redis
from storage.log import Appended, Log, NewEvent
from storage.meetings import Meetings
from storage.placement import add_lane, retire_lane
from tests.chaos.feed import Feed
from tests.chaos.keeper import Keeper
from tests.chaos.outcome import Outcome
from tests.chaos.recordings import Spoken, place
from tests.chaos.report import Row
from tests.chaos.scene import DEADLINE, LANE, Scene
from tests.harness.lanes import rows

T = TypeVar("T")
LOOK = 0.2
"""Seconds between two looks at which lanes are to run."""
ROUND = 1.0
"""Seconds between two rounds that balance the lanes, as in the steward."""


class Patient(Feed):
    """A client whose meetings go on until they may end."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.may_end = threading.Event()

    async def _append(self, meetings: Meetings, title: str, batch: Sequence[NewEvent]) -> list[Appended]:
        # All but the end is sent in its time.
        said = [event for event in batch if not isinstance(event.payload, Ended)]
        answers = await super()._append(meetings, title, said) if said else []
        if len(said) < len(batch):
            while not (self.may_end.is_set() or self._stopping.is_set()):
                await asyncio.sleep(0.02)
            answers += await super()._append(meetings, title, batch[len(said) :])
        return answers


class Fleet(Scene):
    """A scene whose lanes come and go, with meetings that stay open. The first lane stays for as long as the scene."""

    client = Patient
    feed: Patient

    def __init__(self, folder: Path, spoken: Sequence[Spoken], seconds: float) -> None:
        super().__init__(folder, spoken, seconds)
        self._balancing: Future[None] | None = None
        self._keepers: dict[str, Keeper] = {}
        self._all: list[Keeper] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._failed: BaseException | None = None
        self._loop = asyncio.new_event_loop()
        self.moves = 0

    def __enter__(self) -> Fleet:
        super().__enter__()
        self._keepers[LANE] = self.lane
        self._all.append(self.lane)
        self._threads = [
            threading.Thread(target=self._keep, name="lanes", daemon=True),
            threading.Thread(target=self._loop.run_forever, name="fleet", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        self._database: AsyncEngine = async_engine(self.urls.postgres)
        self._redis = async_redis(self.urls.redis)
        self._meetings = Meetings(self._database, Log(self._redis))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        try:
            self._stopping.set()
            self._threads[0].join(60)
            if self._balancing is not None:
                self._balancing.result(60)
            for keeper in self._keepers.values():
                if keeper is not self.lane:
                    keeper.__exit__(None)
            self._begin(self._close()).result(60)
            self._loop.call_soon_threadsafe(self._loop.stop)
        finally:
            super().__exit__(kind, error, trace)
        if self._failed is not None:
            raise self._failed

    def finish(self) -> tuple[Outcome, float | None]:
        """Let the meetings end; see `Scene`."""
        self.feed.may_end.set()
        return super().finish()

    def balance(self) -> None:
        """Have the lanes balanced from now on, once a second, as the steward does."""
        self._balancing = self._begin(self._balance())

    def add(self) -> str:
        """Add a lane, as `parley lanes add` does."""

        async def add() -> str:
            async with self._database.begin() as connection:
                return await add_lane(connection, "batch")

        return self._begin(add()).result(60)

    def retire(self, lane_id: str) -> None:
        """Have a lane drained, as `parley lanes drain` does."""

        async def retire() -> None:
            async with self._database.begin() as connection:
                await retire_lane(connection, lane_id)

        self._begin(retire()).result(60)

    def move(self, title: str, lane_id: str) -> bool:
        """Move a meeting, as `parley lanes move` does."""
        moved = self._begin(self._meetings.move("default", self.feed.ids[title], lane_id)).result(60)
        self.moves += moved
        return moved

    def open_on(self, *lane_ids: str) -> set[str]:
        """The titles of the open meetings of these lanes, at one moment."""
        query = "select title from meetings where lane_id = any(:lanes) and status <> 'ended'"
        return {title for (title,) in rows(self.engine, query, lanes=list(lane_ids))}

    def running(self) -> list[str]:
        """The lanes that have a process at this moment."""
        with self._lock:
            return [lane_id for lane_id, keeper in self._keepers.items() if keeper.lives()]

    def kill(self, lane_id: str) -> bool:
        """SIGKILL of a lane's process. False where it has none."""
        with self._lock:
            keeper = self._keepers.get(lane_id)
        if keeper is None or not keeper.lives():
            return False
        keeper.kill()
        self.healed()
        return True

    def told(self, scenario: str, outcome: Outcome, recovery: float | None, **detail: float) -> Row:
        """The scenario's row in the table, over all lanes."""
        peak = max(keeper.peak for keeper in self._all)
        deaths = sum(len(keeper.deaths) for keeper in self._all)
        moves = rows(self.engine, "select sum(moves) from meetings")[0][0]
        told = {"moves": int(moves), "lane deaths": deaths, "peak MB": round(peak)}
        return self.row(scenario, outcome, recovery, told | detail, by_title)

    def deaths(self) -> list[int]:
        """Exit statuses of processes that nobody asked to end, over all lanes."""
        return [status for keeper in self._all for status in keeper.deaths]

    def _begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _close(self) -> None:
        await self._database.dispose()
        await self._redis.aclose()

    async def _balance(self) -> None:
        balance = LaneAutoscaler()
        while not self._stopping.is_set():
            await _while_it_passes(lambda: rebalance_lanes(self._database, self._redis, self._meetings, balance))
            await asyncio.sleep(ROUND)

    def _keep(self) -> None:
        """Have a process for each lane that needs one, by the rule that the supervisor goes by."""
        demands: dict[str, Demand] = {}
        with sync_redis(self.urls.redis) as connection:
            while not self._stopping.wait(LOOK):
                try:
                    for (lane_id,) in rows(self.engine, "select id from lanes where id <> :first", first=LANE):
                        demand = demands.setdefault(lane_id, Demand(self.engine, connection, lane_id))
                        self._set(lane_id, demand())
                except (SQLAlchemyError, RedisError):
                    continue
                except BaseException as error:  # noqa: BLE001 - raised again at the end
                    self._failed = error
                    return

    def _set(self, lane_id: str, wanted: bool) -> None:
        keeper = self._keepers.get(lane_id)
        if wanted and keeper is None:
            options = LaneOptions(lane_id, "batch", self.urls.postgres, self.urls.redis, deadline=DEADLINE)
            keeper = Keeper(options, self.folder / f"{lane_id}.log")
            keeper.__enter__()
            with self._lock:
                self._keepers[lane_id] = keeper
                self._all.append(keeper)
        elif keeper is not None and not wanted:
            with self._lock:
                del self._keepers[lane_id]
            keeper.__exit__(None)


async def _while_it_passes(task: Callable[[], Awaitable[object]]) -> None:
    try:
        await task()
    except (SQLAlchemyError, RedisError, Unavailable):
        await asyncio.sleep(0.1)


def by_title(title: str, caption: dict[str, Any]) -> int:
    """The place of a caption, of one of several meetings with the same speech too."""
    return place(title.partition(" #")[0], caption)


def sleep(chance: random.Random, most: float) -> None:
    """Let a random while pass (s)."""
    time.sleep(chance.uniform(0, most))
