"""A small Parley of a scenario's own: two stores, a lane in a process, a steward, and a client that feeds it."""

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
from storage import keys
from storage.database import sync_engine, sync_redis
from storage.embedded import EmbeddedStores, StoreUrls
from storage.migrate import upgrade
from storage.process import Account, Server
from storage.servers import PostgresServer, ValkeyServer
from tests.chaos.feed import Feed
from tests.chaos.keeper import Keeper
from tests.chaos.outcome import OWED, Outcome, Place, read
from tests.chaos.recordings import Spoken, place
from tests.chaos.report import Row
from tests.chaos.steward import Steward
from tests.harness.lanes import rows

LANE = "batch-1"
DEADLINE = 1.0
"""Seconds a translation may take: short, so that what a killed lane took with it is soon paid (`LaneOptions.patience`)."""
PATIENCE = 300.0
"""Seconds after which a scenario has hung."""
MEMORY = 600.0
"""MB that a lane's process may take, whatever waits for it."""


class Scene:
    """Starts everything on entering, and stops what is left of it at the end.

    Args:
        folder: to be made; servers that run as `nobody` must be able to enter the one above it.
        spoken: what the client sends.
        seconds: how long that takes it; 0 sends as fast as the door takes it.
        between: puts something between flow and stores: given their addresses, gives those the flow is to use.
    """

    client: type[Feed] = Feed

    def __init__(
        self,
        folder: Path,
        spoken: Sequence[Spoken],
        seconds: float,
        between: Callable[[StoreUrls], StoreUrls] = lambda urls: urls,
    ) -> None:
        self.folder, self.home = folder, folder / "stores"
        self.spoken, self._seconds, self._between = spoken, seconds, between
        self._stack = ExitStack()
        self.faults = 0
        self._healed: tuple[float, Mapping[UUID, int]] | None = None

    def __enter__(self) -> Scene:
        with ExitStack() as stack:
            self.folder.mkdir(mode=0o755, exist_ok=True)
            self.stores = EmbeddedStores(self.home)
            self.urls = stack.enter_context(self.stores)
            upgrade(self.urls.postgres)
            self.engine: Engine = sync_engine(self.urls.postgres)
            stack.callback(self.engine.dispose)
            with self.engine.begin() as connection:
                connection.execute(text("insert into lanes (id, kind) values (:id, 'batch')"), {"id": LANE})
            flow = self._between(self.urls)
            options = LaneOptions(LANE, "batch", flow.postgres, flow.redis, deadline=DEADLINE)
            self.lane = stack.enter_context(Keeper(options, self.folder / "lane.log"))
            self.until(self.owned)
            stack.enter_context(Steward(flow.postgres, flow.redis))
            self.feed = stack.enter_context(
                self.client(self.urls.postgres, self.urls.redis, self.spoken, self._seconds)
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.close()

    def server(self, kind: type[PostgresServer] | type[ValkeyServer]) -> Server:
        """One of the two stores, to be stopped. `stores.start()` starts again what does not run."""
        password = (self.home / f"{kind.name}.password").read_text()
        return kind(self.home / kind.name, Account.current(), password, durable=True)

    def port(self, kind: type[PostgresServer] | type[ValkeyServer]) -> int:
        """Where a store answers."""
        return int(json.loads((self.home / "ports.json").read_text())[kind.name])

    def pid(self, kind: type[PostgresServer] | type[ValkeyServer]) -> int:
        """A store's process: of Postgres, the first of several."""
        name = "data/postmaster.pid" if kind is PostgresServer else "server.pid"
        return int((self.home / kind.name / name).read_text().split()[0])

    def owner(self) -> int | None:
        """The process that last took the lane over."""
        return rows(self.engine, "select pid from lanes where id = :id", id=LANE)[0][0]

    def owned(self) -> bool:
        """Whether the lane's process lives and has taken the lane over."""
        return self.lane.lives() and self.owner() == self.lane.process.pid

    def committed(self) -> int:
        """How many entries are committed, over all meetings."""
        return int(rows(self.engine, "select coalesce(sum(last_committed), 0) from meetings")[0][0])

    def until(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> float:
        """Wait for something to become true. A store that does not answer leaves it open.

        Returns:
            How many seconds it took.
        """
        began = time.monotonic()
        while True:
            if hasattr(self, "feed"):
                self.feed.check()
            try:
                if condition():
                    return time.monotonic() - began
            except (SQLAlchemyError, redis.RedisError):
                pass
            assert time.monotonic() < began + seconds, f"it did not come true in time; see {self.folder / 'lane.log'}"
            time.sleep(0.02)

    def healed(self, faults: int = 1) -> None:
        """A fault has just ended. What was taken by now is what there is to recover."""
        self.faults += faults
        self._healed = time.monotonic(), self.feed.marks()

    def finish(self) -> tuple[Outcome, float | None]:
        """Wait until all is sent, stored, paid and published.

        Returns:
            What is stored, and how many seconds after the last fault all that was accepted by its end was stored and paid.
        """
        recovery = None
        if self._healed is not None:
            at, marks = self._healed
            self.until(lambda: self._caught_up(marks))
            recovery = time.monotonic() - at
        self.until(lambda: self.feed.done, self._seconds + PATIENCE)
        self.until(self._over)
        self.until(self._published)
        return read(self.engine), recovery

    def row(
        self,
        scenario: str,
        outcome: Outcome,
        recovery: float | None,
        detail: Mapping[str, float] = MappingProxyType({}),
        place: Place = place,
    ) -> Row:
        """The scenario's row in the table."""
        return Row(
            scenario,
            self.faults,
            self.feed.count,
            outcome.stored,
            outcome.lost,
            outcome.doubled(),
            outcome.out_of_order(place),
            outcome.owed,
            recovery,
            {"peak MB": round(self.lane.peak), "lane deaths": len(self.lane.deaths), **detail},
        )

    def _caught_up(self, marks: Mapping[UUID, int]) -> bool:
        behind = rows(
            self.engine,
            "select 1 from unnest(cast(:ids as uuid[]), cast(:marks as bigint[])) as r(id, mark)"
            " join meetings m on m.id = r.id where m.last_committed < r.mark"
            " union all select 1 from unnest(cast(:ids as uuid[]), cast(:marks as bigint[])) as r(id, mark)"
            " join captions c on c.meeting_id = r.id and c.status = 'pending'"
            " and split_part(c.sentence_id, '.', 1)::bigint <= r.mark"
            " join sentences s on s.meeting_id = r.id and s.id = c.sentence_id and not s.retracted limit 1",
            ids=list(marks),
            marks=list(marks.values()),
        )
        return not behind

    def _over(self) -> bool:
        still_open = rows(self.engine, "select 1 from meetings where status <> 'ended' limit 1")
        return not still_open and rows(self.engine, OWED)[0][0] == 0

    def _published(self) -> bool:
        with sync_redis(self.urls.redis) as connection:
            return all(
                int(str(connection.get(keys.published(str(meeting_id))) or 0)) == seq
                for meeting_id, seq in rows(self.engine, "select id, seq from meetings")
            )


def through(urls: StoreUrls, postgres: str, valkey: str) -> StoreUrls:
    """The stores' addresses with other hosts and ports."""

    def at(url: str, address: str) -> str:
        return url.replace(f"@{urlsplit(url).hostname}:{urlsplit(url).port}", f"@{address}")

    return StoreUrls(at(urls.postgres, postgres), at(urls.redis, valkey))
