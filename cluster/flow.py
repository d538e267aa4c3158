"""The flow on a Ray that runs: lanes and the maintenance actor as actors, as the database says, each kept running."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import ray
import redis
import structlog
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from cluster.demand import Demand
from cluster.settings import Settings
from cluster.supervisor import Charge, Supervisor
from flows.actors import LaneActor, MaintenanceActor
from flows.jobs import LaneBounds
from flows.lane import LaneOptions
from operators.errors import SetupFailed
from storage.database import async_engine, async_redis, sync_engine, sync_redis
from storage.embedded import StoreUrls
from storage.log import Log
from storage.meetings import Meetings
from storage.placement import LaneKind, ensure_lane, retire_others

ACTOR_CPUS = 0.25
"""Of a node, reserved for each lane and for the maintenance actor."""
PATIENCE = 15.0
"""Seconds a process gets to stop."""
SILENCE = 30.0
"""Seconds without a sign of life after which a process is ended and started again."""
LOOK = 1.0
"""Seconds between two looks at which lanes there are to be."""
CLAIM_FOR = 30.0
"""Seconds to wait for another flow on the same database to end, as one does that was asked to stop a moment ago."""

log = structlog.get_logger(__name__)


class Flow:
    """Lanes and the maintenance actor, supervised.

    Args:
        settings: how many lanes, and how they call.
        urls: the stores.
    """

    def __init__(self, settings: Settings, urls: StoreUrls) -> None:
        self._settings = settings
        self._urls = urls
        self._bounds: dict[LaneKind, LaneBounds] = {
            "live": LaneBounds(settings.live_lanes, settings.most_live_lanes, settings.meetings_per_lane),
            "batch": LaneBounds(settings.batch_lanes, settings.batch_lanes, settings.meetings_per_lane),
        }
        self._stopping, self._maintenance_wanted = threading.Event(), threading.Event()
        self._engine: Engine | None = None
        self._redis: redis.Redis | None = None
        self._claim: Connection | None = None
        self._session: tuple[int, datetime] | None = None
        self._replaced = False
        self._thread: threading.Thread | None = None
        self._supervisor = Supervisor(SILENCE, PATIENCE)
        self._known: set[str] = set()

    def prepare(self) -> int:
        """Add the lanes, and reconcile the log with what was accepted.

        Returns:
            How many accepted entries the log lost; they are counted with their meetings.

        Raises:
            SetupFailed: another flow runs on this database.
            SQLAlchemyError, RedisError: a store can't be used.
        """
        self._engine, self._redis = sync_engine(self._urls.postgres), sync_redis(self._urls.redis)
        try:
            self._take_claim()
            return asyncio.run(self._prepare())
        except BaseException:
            # Whoever tries again must not find the database claimed by what failed.
            self._let_go()
            raise

    def _take_claim(self) -> None:
        until = time.monotonic() + CLAIM_FOR
        while not self._holds_claim():
            if time.monotonic() > until:
                raise SetupFailed("another Parley runs its lanes on this database: stop it first")
            time.sleep(0.5)

    def _holds_claim(self) -> bool:
        """Whether the database is this flow's, by a lock that ends with the connection; where that broke, it is claimed anew."""
        assert self._engine is not None  # noqa: S101 - the first thing that is prepared
        if self._claim is not None:
            try:
                self._claim.execute(text("select 1"))
                # The lock is the session's; a transaction need not stay open.
                self._claim.commit()
            except SQLAlchemyError:
                self._claim.invalidate()
                self._claim.close()
                self._claim = None
            else:
                return True
        claim = self._engine.connect()
        if self._session is not None:
            # What a network cut off may live on at the server, and hold the lock. Its number alone may be somebody else's by now.
            pid, since = self._session
            claim.execute(
                text(
                    "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
                    " where pid = :pid and backend_start = :since"
                ),
                {"pid": pid, "since": since},
            )
        taken, pid, since = claim.execute(
            text(
                "select pg_try_advisory_lock(hashtext('parley.flow')), pid, backend_start from pg_stat_activity"
                " where pid = pg_backend_pid()"
            )
        ).one()
        claim.commit()
        if taken:
            self._claim, self._session = claim, (pid, since)
        else:
            claim.close()
        return bool(taken)

    async def _prepare(self) -> int:
        engine, connection = async_engine(self._urls.postgres), async_redis(self._urls.redis)
        try:
            await connection.ping()
            async with engine.begin() as transaction:
                lanes = self._least()
                for lane_id, kind in lanes.items():
                    await ensure_lane(transaction, lane_id, kind)
                # Those that there are more give their meetings to these, and end.
                await retire_others(transaction, list(lanes))
            return sum((await Meetings(engine, Log(connection)).reconcile()).values())
        finally:
            await engine.dispose()
            await connection.aclose()

    def _least(self) -> Mapping[str, LaneKind]:
        return {f"{kind}-{k + 1}": kind for kind, bounds in self._bounds.items() for k in range(bounds.min_lanes)}

    def start(self) -> None:
        """Start the lanes that are prepared, and supervise them in a thread. `start_maintenance` completes the flow."""
        # Where the number of lanes is fixed, what somebody adds or drains by hand stays as it is.
        varying = {kind: bounds for kind, bounds in self._bounds.items() if bounds.max_lanes > bounds.min_lanes}
        arguments = (self._urls.postgres, self._urls.redis, varying)
        self._supervisor.add(
            Charge(
                "maintenance",
                lambda: _actor(MaintenanceActor, *arguments),
                wanted=self._maintenance_wanted.is_set,
                report=lambda _: None,
            )
        )
        self._thread = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
        self._thread.start()

    def start_maintenance(self) -> None:
        """Start what no lane does. No caption waits for it: where all starts on one machine, it comes last."""
        self._maintenance_wanted.set()

    def stop(self) -> None:
        """Have everything stop: calls under way get a few seconds, what is then unanswered stays pending."""
        self._stopping.set()
        try:
            if self._thread is not None:
                self._thread.join()
                self._supervisor.stop()
        finally:
            self._let_go()

    def _let_go(self) -> None:
        if self._claim is not None:
            self._claim.close()
            self._claim = None
        if self._engine is not None:
            self._engine.dispose()
        if self._redis is not None:
            self._redis.close()

    def _supervise(self) -> None:
        look_at = 0.0
        while not self._stopping.wait(0.1):
            try:
                if time.monotonic() >= look_at:
                    look_at = time.monotonic() + LOOK
                    self._look()
                if self._claim is not None:
                    self._supervisor.round()
            except Exception as error:  # noqa: BLE001 - the supervisor outlives a store or a Ray that is away for a while
                log.error("supervisor failed", error=type(error).__name__)

    def _look(self) -> None:
        """Find out which lanes there are to be, and whether they are still this flow's to run."""
        try:
            mine = self._holds_claim()
        except SQLAlchemyError as error:
            log.warning("lanes not looked up", error=type(error).__name__)
            return
        if mine:
            self._replaced = False
            self._find_lanes()
        elif not self._replaced:
            # While Postgres was away, somebody started another. That one's lanes fence these off: they only get in its way.
            log.error("another Parley runs its lanes on this database: these wait until it ends")
            self._supervisor.stop()
            self._replaced = True

    def _find_lanes(self) -> None:
        """Take charge of lanes that were added."""
        assert self._engine is not None  # noqa: S101 - prepared before it was started
        try:
            with self._engine.connect() as connection:
                rows = connection.execute(text("select id, kind from lanes order by id")).all()
        except SQLAlchemyError as error:
            log.warning("lanes not looked up", error=type(error).__name__)
            return
        for row in rows:
            if row.id not in self._known:
                self._known.add(row.id)
                self._supervisor.add(self._lane(row.id, row.kind))

    def _lane(self, lane_id: str, kind: LaneKind) -> Charge:
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
        return Charge(
            f"lane {lane_id}",
            lambda: _actor(LaneActor, options),
            wanted=Demand(engine, self._redis, lane_id),
            report=lambda state: self._report(lane_id, state),
        )

    def _report(self, lane_id: str, state: str) -> None:
        """Note what became of a lane that can't say so itself, unless it is another flow's by now."""
        assert self._engine is not None  # noqa: S101 - as above
        if self._claim is None:
            return
        try:
            with self._engine.begin() as connection:
                connection.execute(
                    text("update lanes set state = :state, updated_at = now() where id = :lane"),
                    {"state": state, "lane": lane_id},
                )
        except SQLAlchemyError as error:
            log.warning("lane state not noted", lane=lane_id, state=state, error=type(error).__name__)


def unusable(error: Exception) -> str:
    """Which store can't be used, and the setting to look at. What the server said is left out: it may name users and passwords."""
    kind = "Redis" if isinstance(error, redis.RedisError) else "Postgres"
    return f"{kind} can't be used ({type(error).__name__}): look at PARLEY_{kind.upper()}_URL"


def _actor(process: type[Any], *arguments: object) -> Any:
    # `run` takes a thread for as long as the process lives, `stop` another. Over the nodes, so that one takes few along.
    options = {"num_cpus": ACTOR_CPUS, "max_concurrency": 2, "scheduling_strategy": "SPREAD"}
    return ray.remote(process).options(**options).remote(*arguments)
