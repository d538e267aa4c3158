"""The flow on a Ray that runs: lanes and the maintenance actor as actors, as the database says, each kept running."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from typing import Any

import ray
import redis
import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from cluster.runtime.lane_demand import LaneDemand
from cluster.runtime.supervisor import ManagedProcess, Supervisor
from cluster.settings import Settings
from flows.actors import LaneActor, MaintenanceActor
from flows.jobs import LaneBounds
from flows.lane import LaneOptions
from operators.errors import SetupError
from storage.connections import async_engine, async_redis, sync_engine, sync_redis
from storage.ingest.meeting_service import MeetingService
from storage.postgres.lane_registry import LaneKind, drain_other_lanes, ensure_lane, read_lane_kinds, set_lane_state
from storage.postgres.leader_lock import DatabaseSession, check_session, terminate_session, try_leader_lock
from storage.redis_log.event_log import LogWriter
from storage.store_urls import StoreUrls

ACTOR_CPUS = 0.25
"""Of a node, reserved for each lane and for the maintenance actor."""
STOP_TIMEOUT_S = 15.0
"""Seconds a process gets to stop."""
HEARTBEAT_TIMEOUT_S = 30.0
"""Seconds without a sign of life after which a process is ended and started again."""
POLL_S = 1.0
"""Seconds between two looks at which lanes there are to be."""
LOCK_TIMEOUT_S = 30.0
"""Seconds to wait for another flow on the same database to end, as one does that was asked to stop a moment ago."""

log = structlog.get_logger(__name__)


class LaneManager:
    """Lanes and the maintenance actor, supervised.

    Args:
        settings: how many lanes, and how they call.
        urls: the stores.
    """

    def __init__(self, settings: Settings, urls: StoreUrls) -> None:
        self._settings = settings
        self._urls = urls
        self._lane_bounds: dict[LaneKind, LaneBounds] = {
            "live": LaneBounds(settings.live_lanes, settings.effective_live_lanes_max, settings.meetings_per_lane),
            "batch": LaneBounds(settings.batch_lanes, settings.batch_lanes, settings.meetings_per_lane),
        }
        self._stopping, self._maintenance_enabled = threading.Event(), threading.Event()
        self._engine: Engine | None = None
        self._redis: redis.Redis | None = None
        self._lock_connection: Connection | None = None
        self._lock_session: DatabaseSession | None = None
        self._has_lost_lock = False
        self._thread: threading.Thread | None = None
        self._supervisor = Supervisor(HEARTBEAT_TIMEOUT_S, STOP_TIMEOUT_S)
        self._known_lane_ids: set[str] = set()

    def prepare(self) -> int:
        """Add the lanes, and reconcile the log with what was accepted.

        Returns:
            How many accepted entries the log lost; they are counted with their meetings.

        Raises:
            SetupError: another flow runs on this database.
            SQLAlchemyError, RedisError: a store can't be used.
        """
        self._engine, self._redis = sync_engine(self._urls.postgres), sync_redis(self._urls.redis)
        try:
            self._acquire_leader_lock()
            return asyncio.run(self._prepare_stores())
        except BaseException:
            # Whoever tries again must not find the database claimed by what failed.
            self._release()
            raise

    def _acquire_leader_lock(self) -> None:
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while not self._has_leader_lock():
            if time.monotonic() > deadline:
                raise SetupError("another Parley runs its lanes on this database: stop it first")
            time.sleep(0.5)

    def _has_leader_lock(self) -> bool:
        """Whether the database is this flow's, by a lock that ends with the connection; where that broke, it is claimed anew."""
        assert self._engine is not None  # noqa: S101 - the first thing that is prepared
        if self._lock_connection is not None:
            try:
                check_session(self._lock_connection)
            except SQLAlchemyError:
                self._lock_connection.invalidate()
                self._lock_connection.close()
                self._lock_connection = None
            else:
                return True
        connection = self._engine.connect()
        if self._lock_session is not None:
            terminate_session(connection, self._lock_session)
        session = try_leader_lock(connection)
        if session is None:
            connection.close()
            return False
        self._lock_connection, self._lock_session = connection, session
        return True

    async def _prepare_stores(self) -> int:
        engine, redis_client = async_engine(self._urls.postgres), async_redis(self._urls.redis)
        try:
            await redis_client.ping()
            async with engine.begin() as transaction:
                lanes = self._minimum_lanes()
                for lane_id, kind in lanes.items():
                    await ensure_lane(transaction, lane_id, kind)
                # Those that there are more give their meetings to these, and end.
                await drain_other_lanes(transaction, list(lanes))
            return sum((await MeetingService(engine, LogWriter(redis_client)).reconcile()).values())
        finally:
            await engine.dispose()
            await redis_client.aclose()

    def _minimum_lanes(self) -> Mapping[str, LaneKind]:
        return {f"{kind}-{k + 1}": kind for kind, bounds in self._lane_bounds.items() for k in range(bounds.min_lanes)}

    def start(self) -> None:
        """Start the lanes that are prepared, and supervise them in a thread. `start_maintenance` completes the flow."""
        # Where the number of lanes is fixed, what somebody adds or drains by hand stays as it is.
        autoscaled_bounds = {
            kind: bounds for kind, bounds in self._lane_bounds.items() if bounds.max_lanes > bounds.min_lanes
        }
        arguments = (self._urls.postgres, self._urls.redis, autoscaled_bounds)
        self._supervisor.add(
            ManagedProcess(
                "maintenance",
                lambda: _start_actor(MaintenanceActor, *arguments),
                is_needed=self._maintenance_enabled.is_set,
                on_state=lambda _: None,
            )
        )
        self._thread = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
        self._thread.start()

    def start_maintenance(self) -> None:
        """Start what no lane does. No caption waits for it: where all starts on one machine, it comes last."""
        self._maintenance_enabled.set()

    def stop(self) -> None:
        """Have everything stop: calls under way get a few seconds, what is then unanswered stays pending."""
        self._stopping.set()
        try:
            if self._thread is not None:
                self._thread.join()
                self._supervisor.stop()
        finally:
            self._release()

    def _release(self) -> None:
        if self._lock_connection is not None:
            self._lock_connection.close()
            self._lock_connection = None
        if self._engine is not None:
            self._engine.dispose()
        if self._redis is not None:
            self._redis.close()

    def _supervise(self) -> None:
        next_poll_at = 0.0
        while not self._stopping.wait(0.1):
            try:
                if time.monotonic() >= next_poll_at:
                    next_poll_at = time.monotonic() + POLL_S
                    self._reconcile()
                if self._lock_connection is not None:
                    self._supervisor.run_once()
            except Exception as error:  # noqa: BLE001 - the supervisor outlives a store or a Ray that is away for a while
                log.error("supervisor failed", error=type(error).__name__)

    def _reconcile(self) -> None:
        """Find out which lanes there are to be, and whether they are still this flow's to run."""
        try:
            has_lock = self._has_leader_lock()
        except SQLAlchemyError as error:
            log.warning("lanes not looked up", error=type(error).__name__)
            return
        if has_lock:
            self._has_lost_lock = False
            self._add_new_lanes()
        elif not self._has_lost_lock:
            # While Postgres was away, somebody started another. That one's lanes fence these off: they only get in its way.
            log.error("another Parley runs its lanes on this database: these wait until it ends")
            self._supervisor.stop()
            self._has_lost_lock = True

    def _add_new_lanes(self) -> None:
        """Take charge of lanes that were added."""
        assert self._engine is not None  # noqa: S101 - prepared before it was started
        try:
            with self._engine.connect() as connection:
                kinds = read_lane_kinds(connection)
        except SQLAlchemyError as error:
            log.warning("lanes not looked up", error=type(error).__name__)
            return
        for lane_id, kind in kinds.items():
            if lane_id not in self._known_lane_ids:
                self._known_lane_ids.add(lane_id)
                self._supervisor.add(self._supervised_lane(lane_id, kind))

    def _supervised_lane(self, lane_id: str, kind: LaneKind) -> ManagedProcess:
        assert self._engine is not None and self._redis is not None  # noqa: S101, PT018 - as above
        settings, engine = self._settings, self._engine
        options = LaneOptions(
            lane_id,
            kind,
            self._urls.postgres,
            self._urls.redis,
            in_flight=settings.in_flight,
            capacity=settings.capacity,
            deadline=settings.deadline,
        )
        return ManagedProcess(
            f"lane {lane_id}",
            lambda: _start_actor(LaneActor, options),
            is_needed=LaneDemand(engine, self._redis, lane_id),
            on_state=lambda state: self._store_lane_state(lane_id, state),
        )

    def _store_lane_state(self, lane_id: str, state: str) -> None:
        """Note what became of a lane that can't say so itself, unless it is another flow's by now."""
        assert self._engine is not None  # noqa: S101 - as above
        if self._lock_connection is None:
            return
        try:
            with self._engine.begin() as connection:
                set_lane_state(connection, lane_id, state)
        except SQLAlchemyError as error:
            log.warning("lane state not noted", lane=lane_id, state=state, error=type(error).__name__)


def store_error_message(error: Exception) -> str:
    """Which store can't be used, and the setting to look at. What the server said is left out: it may name users and passwords."""
    store = "Redis" if isinstance(error, redis.RedisError) else "Postgres"
    return f"{store} can't be used ({type(error).__name__}): look at PARLEY_{store.upper()}_URL"


def _start_actor(actor_class: type[Any], *arguments: object) -> Any:
    # `run` takes a thread for as long as the process lives, `stop` another. Over the nodes, so that one takes few along.
    options = {"num_cpus": ACTOR_CPUS, "max_concurrency": 2, "scheduling_strategy": "SPREAD"}
    return ray.remote(actor_class).options(**options).remote(*arguments)
