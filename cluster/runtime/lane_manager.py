"""Runs the lanes of the database, the maintenance actor and the connectors as supervised actors on Ray."""

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

from cluster.runtime.connector_demand import ConnectorDemand
from cluster.runtime.lane_demand import LaneDemand
from cluster.runtime.supervisor import ManagedProcess, Supervisor
from cluster.settings import Settings
from flows.actors import ConnectorActor, LaneActor, MaintenanceActor
from flows.jobs import LaneBounds, WebhookOptions
from flows.lane import LaneOptions
from operators.address_check import AddressRule
from operators.errors import SetupError
from storage.connections import async_engine, async_redis, sync_engine, sync_redis
from storage.ingest.meeting_service import MeetingService
from storage.postgres.lane_registry import LaneKind, drain_other_lanes, ensure_lane, read_lane_kinds, set_lane_state
from storage.postgres.leader_lock import DatabaseSession, check_session, terminate_session, try_leader_lock
from storage.redis_log.event_log import LogWriter
from storage.store_urls import StoreUrls

ACTOR_CPUS = 0.25
"""CPUs that Ray reserves for each lane, the maintenance actor and the connectors."""
STOP_TIMEOUT_S = 15.0
"""Seconds that a process has to stop."""
HEARTBEAT_TIMEOUT_S = 30.0
"""Seconds without an answer to a heartbeat call after which a process is killed and restarted."""
POLL_S = 1.0
"""Seconds between two queries for new lanes, each with a check of the leader lock."""
LOCK_TIMEOUT_S = 30.0
"""Seconds to wait for the leader lock. Another system that was just requested to stop releases it within this time."""

log = structlog.get_logger(__name__)


class LaneManager:
    """Starts, supervises and stops the lanes and the maintenance actor.

    A lock in Postgres is the leader lock: only one system at a time runs the lanes of a database.

    Args:
        settings: the number of lanes, and the limits of their calls.
        urls: the stores.
        loopback_allowed: whether sources may be at this machine's loopback addresses.
    """

    def __init__(self, settings: Settings, urls: StoreUrls, *, loopback_allowed: bool = False) -> None:
        self._settings, self._loopback_allowed = settings, loopback_allowed
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
        """Acquire the leader lock, create the lanes, and reconcile the log with the accepted entries.

        Returns:
            The number of accepted entries that the log lost. They are counted with their meetings.

        Raises:
            SetupError: another system runs the lanes of this database.
            SQLAlchemyError: Postgres can't be used.
            RedisError: Redis can't be used.
        """
        self._engine, self._redis = sync_engine(self._urls.postgres), sync_redis(self._urls.redis)
        try:
            self._acquire_leader_lock()
            return asyncio.run(self._prepare_stores())
        except BaseException:
            # A retry must not find the lock held by the failed attempt.
            self._release()
            raise

    def _acquire_leader_lock(self) -> None:
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while not self._has_leader_lock():
            if time.monotonic() > deadline:
                raise SetupError("another Parley runs its lanes on this database: stop it first")
            time.sleep(0.5)

    def _has_leader_lock(self) -> bool:
        """Check the leader lock, and acquire it if it is not held.

        The lock ends with its connection. If the connection broke, the lock is acquired again on a new one.
        """
        assert self._engine is not None  # noqa: S101 - set at the beginning of `prepare`
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
                # Further lanes of an earlier start are drained: their meetings move to these lanes.
                await drain_other_lanes(transaction, list(lanes))
            return sum((await MeetingService(engine, LogWriter(redis_client)).reconcile()).values())
        finally:
            await engine.dispose()
            await redis_client.aclose()

    def _minimum_lanes(self) -> Mapping[str, LaneKind]:
        return {f"{kind}-{k + 1}": kind for kind, bounds in self._lane_bounds.items() for k in range(bounds.min_lanes)}

    def start(self) -> None:
        """Start the lanes and the connectors, and supervise them in a thread. Maintenance waits for `start_maintenance`."""
        # If the number of lanes is fixed, the autoscaler leaves lanes alone that are added or drained by hand.
        autoscaled_bounds = {
            kind: bounds for kind, bounds in self._lane_bounds.items() if bounds.max_lanes > bounds.min_lanes
        }
        key = self._settings.encryption_key
        encryption_key = key.get_secret_value() if key else None
        webhooks = WebhookOptions(encryption_key, self._settings.private_addresses)
        arguments = (
            self._urls.postgres,
            self._urls.redis,
            autoscaled_bounds,
            webhooks,
            self._settings.daily_tokens,
        )
        self._supervisor.add(
            ManagedProcess(
                "maintenance",
                lambda: _start_actor("maintenance", MaintenanceActor, *arguments),
                is_needed=self._maintenance_enabled.is_set,
                on_state=lambda _: None,
            )
        )
        assert self._engine is not None  # noqa: S101 - `prepare` is called before `start`
        rule = AddressRule(self._settings.private_addresses, self._loopback_allowed)
        connector_arguments = (self._urls.postgres, self._urls.redis, encryption_key, self._settings.max_live, rule)
        self._supervisor.add(
            ManagedProcess(
                "connectors",
                lambda: _start_actor("connectors", ConnectorActor, *connector_arguments),
                is_needed=ConnectorDemand(self._engine),
                on_state=lambda _: None,
            )
        )
        self._thread = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
        self._thread.start()

    def start_maintenance(self) -> None:
        """Start the maintenance actor. On one machine it starts last, because no caption waits for it."""
        self._maintenance_enabled.set()

    def stop(self) -> None:
        """Stop all processes. Calls in flight get a few seconds; captions without an answer stay pending."""
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
            except Exception as error:  # noqa: BLE001 - the supervisor survives an outage of a store or of Ray
                log.error("supervisor failed", error=type(error).__name__)

    def _reconcile(self) -> None:
        """Check the leader lock, and supervise new lanes. Without the lock, stop all processes."""
        try:
            has_lock = self._has_leader_lock()
        except SQLAlchemyError as error:
            log.warning("leader lock not checked", error=type(error).__name__)
            return
        if has_lock:
            self._has_lost_lock = False
            self._add_new_lanes()
        elif not self._has_lost_lock:
            # Another system took the lock during an outage of Postgres. Its lanes fence these off, which would only disturb it.
            log.error("another Parley runs the lanes of this database; waiting until it ends")
            self._supervisor.stop()
            self._has_lost_lock = True

    def _add_new_lanes(self) -> None:
        """Supervise lanes that were added to the database."""
        assert self._engine is not None  # noqa: S101 - `prepare` is called before `start`
        try:
            with self._engine.connect() as connection:
                kinds = read_lane_kinds(connection)
        except SQLAlchemyError as error:
            log.warning("lanes not read", error=type(error).__name__)
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
            daily_tokens=settings.daily_tokens,
        )
        return ManagedProcess(
            f"lane {lane_id}",
            lambda: _start_actor(f"lane {lane_id}", LaneActor, options),
            is_needed=LaneDemand(engine, self._redis, lane_id),
            on_state=lambda state: self._store_lane_state(lane_id, state),
        )

    def _store_lane_state(self, lane_id: str, state: str) -> None:
        """Store the state of a lane whose process ended, unless another system holds the leader lock."""
        assert self._engine is not None  # noqa: S101 - as above
        if self._lock_connection is None:
            return
        try:
            with self._engine.begin() as connection:
                set_lane_state(connection, lane_id, state)
        except SQLAlchemyError as error:
            log.warning("lane state not stored", lane=lane_id, state=state, error=type(error).__name__)


def store_error_message(error: Exception) -> str:
    """Return a message that names the store that can't be used, and its setting.

    The server's message is left out, because it may contain users and passwords.
    """
    store = "Redis" if isinstance(error, redis.RedisError) else "Postgres"
    return f"{store} can't be used ({type(error).__name__}): check PARLEY_{store.upper()}_URL"


def _start_actor(name: str, actor_class: type[Any], *arguments: object) -> Any:
    """Start an actor under a name, by which `ray.get_actor` and `ray list actors` find it."""
    # `run` occupies one thread all the time, `stop` needs another. Actors are spread, so that a failed node stops only few.
    options = {"num_cpus": ACTOR_CPUS, "max_concurrency": 2, "scheduling_strategy": "SPREAD", "name": name}
    return ray.remote(actor_class).options(**options).remote(*arguments)
