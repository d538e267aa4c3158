"""A small Parley for one scenario: two stores, a lane in a process, the maintenance jobs and a client."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit
from uuid import UUID

import redis
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from flows.lane.options import LaneOptions
from storage import redis_keys
from storage.connections import sync_engine, sync_redis
from storage.embedded_servers.embedded_stores import EmbeddedStores
from storage.embedded_servers.postgres_valkey import PostgresServer, ValkeyServer
from storage.embedded_servers.server_process import ServerAccount, ServerProcess
from storage.migrations.schema_migration import upgrade_schema
from storage.store_urls import StoreUrls
from tests.chaos.results.scenario_table import ScenarioRow
from tests.chaos.results.stored_result import PENDING_QUERY, CaptionOrder, StoredResult, read_result
from tests.chaos.systems.lane_process import LaneProcess
from tests.chaos.systems.maintenance_thread import MaintenanceThread
from tests.chaos.workload.meeting_client import MeetingClient
from tests.chaos.workload.recorded_meetings import RecordedMeeting, caption_order
from tests.harness.lane.threaded_lane import query_rows

LANE_ID = "batch-1"
TRANSLATION_DEADLINE_S = 1.0
"""Deadline of a translation, in seconds.

It is short so that the backfill soon completes the pending captions of a killed lane.
"""
HANG_TIMEOUT_S = 300.0
"""Seconds after which a scenario counts as hung."""
MAX_LANE_MB = 600.0
"""Limit of the memory of a lane's process (MB), at any backlog."""


class SingleLaneSystem:
    """Starts stores, lane, maintenance jobs and client on entry, and stops them on exit.

    Args:
        folder: the system's folder, created on entry. Servers that run as `nobody` must be able to enter its parent.
        recordings: the meetings that the client sends.
        seconds: the duration of sending. 0 sends as fast as the ingest API accepts.
        wrap_urls: returns the store URLs for the lane, given the real ones, to put a proxy between lane and stores.
    """

    client_class: type[MeetingClient] = MeetingClient

    def __init__(
        self,
        folder: Path,
        recordings: Sequence[RecordedMeeting],
        seconds: float,
        wrap_urls: Callable[[StoreUrls], StoreUrls] = lambda urls: urls,
    ) -> None:
        self.folder, self.stores_folder = folder, folder / "stores"
        self.recordings, self._seconds, self._wrap_urls = recordings, seconds, wrap_urls
        self._stack = ExitStack()
        self.faults = 0
        self._last_fault_end: tuple[float, Mapping[UUID, int]] | None = None

    def __enter__(self) -> SingleLaneSystem:
        with ExitStack() as stack:
            self.folder.mkdir(mode=0o755, exist_ok=True)
            self.stores = EmbeddedStores(self.stores_folder)
            self.urls = stack.enter_context(self.stores)
            upgrade_schema(self.urls.postgres)
            self.engine: Engine = sync_engine(self.urls.postgres)
            stack.callback(self.engine.dispose)
            with self.engine.begin() as connection:
                connection.execute(text("insert into lanes (id, kind) values (:id, 'batch')"), {"id": LANE_ID})
            lane_urls = self._wrap_urls(self.urls)
            options = LaneOptions(
                LANE_ID, "batch", lane_urls.postgres, lane_urls.redis, deadline=TRANSLATION_DEADLINE_S
            )
            self.lane = stack.enter_context(LaneProcess(options, self.folder / "lane.log"))
            self.wait_until(self.is_lane_owned)
            stack.enter_context(MaintenanceThread(lane_urls.postgres, lane_urls.redis))
            self.client = stack.enter_context(
                self.client_class(self.urls.postgres, self.urls.redis, self.recordings, self._seconds)
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.close()

    def store_server(self, kind: type[PostgresServer] | type[ValkeyServer]) -> ServerProcess:
        """Return one of the two stores, to stop it. `stores.start()` restarts it."""
        password = (self.stores_folder / f"{kind.name}.password").read_text()
        return kind(self.stores_folder / kind.name, ServerAccount.current(), password, durable=True)

    def store_port(self, kind: type[PostgresServer] | type[ValkeyServer]) -> int:
        """Return a store's port."""
        return int(json.loads((self.stores_folder / "ports.json").read_text())[kind.name])

    def store_pid(self, kind: type[PostgresServer] | type[ValkeyServer]) -> int:
        """Return the id of a store's process. For Postgres it is the postmaster."""
        name = "data/postmaster.pid" if kind is PostgresServer else "server.pid"
        return int((self.stores_folder / kind.name / name).read_text().split()[0])

    def lane_owner_pid(self) -> int | None:
        """Return the id of the process that last claimed the lane."""
        return query_rows(self.engine, "select pid from lanes where id = :id", id=LANE_ID)[0][0]

    def is_lane_owned(self) -> bool:
        """Whether the lane's process is running and has claimed the lane."""
        return self.lane.is_alive() and self.lane_owner_pid() == self.lane.process.pid

    def committed_count(self) -> int:
        """Return the number of committed entries over all meetings."""
        return int(query_rows(self.engine, "select coalesce(sum(last_committed), 0) from meetings")[0][0])

    def wait_until(self, condition: Callable[[], bool], seconds: float = HANG_TIMEOUT_S) -> float:
        """Wait until a condition holds. Errors of an unavailable store count as False.

        Returns:
            The seconds it took.

        Raises:
            AssertionError: the condition did not hold in time.
        """
        started_at = time.monotonic()
        while True:
            if hasattr(self, "client"):
                self.client.raise_if_failed()
            try:
                if condition():
                    return time.monotonic() - started_at
            except (SQLAlchemyError, redis.RedisError):
                pass
            assert time.monotonic() < started_at + seconds, (
                f"the condition did not hold in time; see {self.folder / 'lane.log'}"
            )
            time.sleep(0.02)

    def fault_ended(self, faults: int = 1) -> None:
        """Record that faults have ended. The events accepted by now are the ones to recover."""
        self.faults += faults
        self._last_fault_end = time.monotonic(), self.client.last_ordinals()

    def finish(self) -> tuple[StoredResult, float | None]:
        """Wait until all events are sent, stored, translated and published.

        Returns:
            The stored rows and the recovery time in seconds. Recovery starts at the end of the last fault. It ends once
            every event accepted by then is stored and its captions complete. The time is None without a fault.
        """
        recovery = None
        if self._last_fault_end is not None:
            ended_at, ordinals = self._last_fault_end
            self.wait_until(lambda: self._has_recovered(ordinals))
            recovery = time.monotonic() - ended_at
        self.wait_until(lambda: self.client.is_finished, self._seconds + HANG_TIMEOUT_S)
        self.wait_until(self._has_ended)
        self.wait_until(self._is_published)
        return read_result(self.engine), recovery

    def row(
        self,
        scenario: str,
        result: StoredResult,
        recovery: float | None,
        detail: Mapping[str, float] = MappingProxyType({}),
        order_of: CaptionOrder = caption_order,
    ) -> ScenarioRow:
        """Build the scenario's row of the table."""
        return ScenarioRow(
            scenario,
            self.faults,
            self.client.accepted_count,
            result.stored_count,
            result.lost_count,
            result.count_duplicates(),
            result.count_out_of_order(order_of),
            result.pending,
            recovery,
            {"peak MB": round(self.lane.peak_mb), "lane deaths": len(self.lane.exit_statuses), **detail},
        )

    def _has_recovered(self, ordinals: Mapping[UUID, int]) -> bool:
        behind = query_rows(
            self.engine,
            "select 1 from unnest(cast(:ids as uuid[]), cast(:marks as bigint[])) as r(id, mark)"
            " join meetings m on m.id = r.id where m.last_committed < r.mark"
            " union all select 1 from unnest(cast(:ids as uuid[]), cast(:marks as bigint[])) as r(id, mark)"
            " join captions c on c.meeting_id = r.id and c.status = 'pending'"
            " and split_part(c.sentence_id, '.', 1)::bigint <= r.mark"
            " join sentences s on s.meeting_id = r.id and s.id = c.sentence_id and not s.retracted limit 1",
            ids=list(ordinals),
            marks=list(ordinals.values()),
        )
        return not behind

    def _has_ended(self) -> bool:
        still_open = query_rows(self.engine, "select 1 from meetings where status <> 'ended' limit 1")
        return not still_open and query_rows(self.engine, PENDING_QUERY)[0][0] == 0

    def _is_published(self) -> bool:
        with sync_redis(self.urls.redis) as connection:
            return all(
                int(str(connection.get(redis_keys.published_seq(str(meeting_id))) or 0)) == seq
                for meeting_id, seq in query_rows(self.engine, "select id, seq from meetings")
            )


def replace_addresses(urls: StoreUrls, postgres: str, valkey: str) -> StoreUrls:
    """Return the stores' URLs with other `host:port` addresses."""

    def replace_address(url: str, address: str) -> str:
        return url.replace(f"@{urlsplit(url).hostname}:{urlsplit(url).port}", f"@{address}")

    return StoreUrls(replace_address(urls.postgres, postgres), replace_address(urls.redis, valkey))
