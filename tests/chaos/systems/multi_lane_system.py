"""A small Parley with several lanes, started and stopped as by the supervisor, and with meetings that move."""

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

from cluster.runtime.lane_demand import LaneDemand
from flows.jobs import LaneAutoscaler, rebalance_lanes
from flows.lane.options import LaneOptions
from operators.entries import MeetingEnded
from operators.errors import UnavailableError
from storage.connections import async_engine, async_redis, sync_redis
from storage.ingest.meeting_service import MeetingService
from storage.postgres.lane_registry import add_lane, drain_lane
from storage.redis_log.event_log import AppendResult, LogWriter, NewEvent
from tests.chaos.results.scenario_table import ScenarioRow
from tests.chaos.results.stored_result import StoredResult
from tests.chaos.systems.lane_process import LaneProcess
from tests.chaos.systems.single_lane_system import LANE_ID, TRANSLATION_DEADLINE_S, SingleLaneSystem
from tests.chaos.workload.meeting_client import MeetingClient
from tests.chaos.workload.recorded_meetings import RecordedMeeting, caption_order
from tests.harness.lane.threaded_lane import query_rows

T = TypeVar("T")
DEMAND_POLL_S = 0.2
"""Seconds between two checks of which lanes should run."""
REBALANCE_S = 1.0
"""Seconds between two rebalancing rounds, as in the maintenance actor."""


class OpenEndedClient(MeetingClient):
    """A client whose meetings stay open until `may_end` is set."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.may_end = threading.Event()

    async def _append(self, meetings: MeetingService, title: str, batch: Sequence[NewEvent]) -> list[AppendResult]:
        # Only the end waits. All other events are sent on time.
        before_end = [event for event in batch if not isinstance(event.payload, MeetingEnded)]
        appended = await super()._append(meetings, title, before_end) if before_end else []
        if len(before_end) < len(batch):
            while not (self.may_end.is_set() or self._stopping.is_set()):
                await asyncio.sleep(0.02)
            appended += await super()._append(meetings, title, batch[len(before_end) :])
        return appended


class MultiLaneSystem(SingleLaneSystem):
    """A system whose lanes are added and drained while its meetings stay open.

    The process of the first lane runs as long as the system.
    """

    client_class = OpenEndedClient
    client: OpenEndedClient

    def __init__(self, folder: Path, recordings: Sequence[RecordedMeeting], seconds: float) -> None:
        super().__init__(folder, recordings, seconds)
        self._rebalancing: Future[None] | None = None
        self._lane_processes: dict[str, LaneProcess] = {}
        self._all_processes: list[LaneProcess] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._failed: BaseException | None = None
        self._loop = asyncio.new_event_loop()
        self.move_count = 0

    def __enter__(self) -> MultiLaneSystem:
        super().__enter__()
        self._lane_processes[LANE_ID] = self.lane
        self._all_processes.append(self.lane)
        self._threads = [
            threading.Thread(target=self._supervise_loop, name="lanes", daemon=True),
            threading.Thread(target=self._loop.run_forever, name="event-loop", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        self._database: AsyncEngine = async_engine(self.urls.postgres)
        self._redis = async_redis(self.urls.redis)
        self._meetings = MeetingService(self._database, LogWriter(self._redis))
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
            if self._rebalancing is not None:
                self._rebalancing.result(60)
            for process in self._lane_processes.values():
                if process is not self.lane:
                    process.__exit__(None)
            self._submit(self._close()).result(60)
            self._loop.call_soon_threadsafe(self._loop.stop)
        finally:
            super().__exit__(kind, error, trace)
        if self._failed is not None:
            raise self._failed

    def finish(self) -> tuple[StoredResult, float | None]:
        """Let the meetings end, then finish as `SingleLaneSystem.finish` does."""
        self.client.may_end.set()
        return super().finish()

    def start_rebalancing(self) -> None:
        """Start rebalancing the lanes once a second, as the maintenance actor does."""
        self._rebalancing = self._submit(self._rebalance_loop())

    def add_lane(self) -> str:
        """Add a lane, as `parley lanes add` does."""

        async def insert() -> str:
            async with self._database.begin() as connection:
                return await add_lane(connection, "batch")

        return self._submit(insert()).result(60)

    def drain_lane(self, lane_id: str) -> None:
        """Drain a lane, as `parley lanes drain` does."""

        async def drain() -> None:
            async with self._database.begin() as connection:
                await drain_lane(connection, lane_id)

        self._submit(drain()).result(60)

    def move_meeting(self, title: str, lane_id: str) -> bool:
        """Move a meeting, as `parley lanes move` does. Returns False if it was not moved."""
        has_moved = self._submit(self._meetings.move("default", self.client.ids[title], lane_id)).result(60)
        self.move_count += has_moved
        return has_moved

    def open_titles(self, *lane_ids: str) -> set[str]:
        """Return the titles of the open meetings on the given lanes."""
        query = "select title from meetings where lane_id = any(:lanes) and status <> 'ended'"
        return {title for (title,) in query_rows(self.engine, query, lanes=list(lane_ids))}

    def kill_lane(self, lane_id: str) -> bool:
        """SIGKILL a lane's process. Returns False if it has none."""
        with self._lock:
            process = self._lane_processes.get(lane_id)
        if process is None or not process.is_alive():
            return False
        process.kill()
        self.fault_ended()
        return True

    def fleet_row(self, scenario: str, result: StoredResult, recovery: float | None, **detail: float) -> ScenarioRow:
        """Build the scenario's row of the table, over all lanes."""
        peak = max(process.peak_mb for process in self._all_processes)
        deaths = sum(len(process.exit_statuses) for process in self._all_processes)
        moves = query_rows(self.engine, "select sum(moves) from meetings")[0][0]
        measured = {"moves": int(moves), "lane deaths": deaths, "peak MB": round(peak)}
        return self.row(scenario, result, recovery, measured | detail, order_by_title)

    def deaths(self) -> list[int]:
        """Exit statuses of processes that ended unasked, over all lanes."""
        return [status for process in self._all_processes for status in process.exit_statuses]

    def _submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    async def _close(self) -> None:
        await self._database.dispose()
        await self._redis.aclose()

    async def _rebalance_loop(self) -> None:
        autoscaler = LaneAutoscaler()
        while not self._stopping.is_set():
            await _run_ignoring_outages(
                lambda: rebalance_lanes(self._database, self._redis, self._meetings, autoscaler)
            )
            await asyncio.sleep(REBALANCE_S)

    def _supervise_loop(self) -> None:
        """Run a process for each lane that needs one, by the supervisor's rule."""
        demands: dict[str, LaneDemand] = {}
        with sync_redis(self.urls.redis) as connection:
            while not self._stopping.wait(DEMAND_POLL_S):
                try:
                    for (lane_id,) in query_rows(self.engine, "select id from lanes where id <> :first", first=LANE_ID):
                        demand = demands.setdefault(lane_id, LaneDemand(self.engine, connection, lane_id))
                        self._set_lane_running(lane_id, demand())
                except (SQLAlchemyError, RedisError):
                    continue
                except BaseException as error:  # noqa: BLE001 - raised again at the end
                    self._failed = error
                    return

    def _set_lane_running(self, lane_id: str, should_run: bool) -> None:
        process = self._lane_processes.get(lane_id)
        if should_run and process is None:
            options = LaneOptions(
                lane_id, "batch", self.urls.postgres, self.urls.redis, deadline=TRANSLATION_DEADLINE_S
            )
            process = LaneProcess(options, self.folder / f"{lane_id}.log")
            process.__enter__()
            with self._lock:
                self._lane_processes[lane_id] = process
                self._all_processes.append(process)
        elif process is not None and not should_run:
            with self._lock:
                del self._lane_processes[lane_id]
            process.__exit__(None)


async def _run_ignoring_outages(task: Callable[[], Awaitable[object]]) -> None:
    try:
        await task()
    except (SQLAlchemyError, RedisError, UnavailableError):
        await asyncio.sleep(0.1)


def order_by_title(title: str, caption: dict[str, Any]) -> int:
    """Return a caption's position, also if several meetings have the same speech (`TITLE #k`)."""
    return caption_order(title.partition(" #")[0], caption)


def sleep_randomly(rng: random.Random, max_s: float) -> None:
    """Sleep for a random time up to `max_s` seconds."""
    time.sleep(rng.uniform(0, max_s))
