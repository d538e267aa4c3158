"""More than there is capacity for: at the door, and for the models. What is taken is worked off, and nobody else suffers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from cluster.client import LAG, Client
from operators.translation import CaptionStatus, Translation, TranslationRequest
from serve.options import ApiOptions
from storage.database import sync_engine
from storage.embedded import EmbeddedStores, StoreUrls
from storage.log import Log
from storage.meetings import Meetings
from storage.migrate import upgrade
from tests.chaos.engines import Service
from tests.chaos.hall import LINES, PATIENCE, Hall, flow, lines, open_hall, tell
from tests.chaos.proxy import Proxy
from tests.chaos.recordings import CONFIG, numbered
from tests.chaos.report import FULL, Row
from tests.chaos.scene import through
from tests.chaos.steward import Steward
from tests.harness.exposition import values
from tests.harness.lanes import feed, open_recorded, rows, running, until
from tests.harness.serving import serving

pytest_plugins = ["tests.harness.ray_cluster"]
pytestmark = pytest.mark.timeout(900)

LONG = 60.0 if FULL else 5.0
"""Seconds for which three times as much is offered as there is capacity for; what must wait comes after them."""
LATENCY = 0.02
"""Seconds that each statement of the lane takes to Postgres: that is what bounds its capacity."""
WARMING = 400
"""Events by which that capacity is measured."""
CLIENTS, BATCH = 6, 20
LIMIT = 2.0
"""Seconds a lane may be behind."""
CAPACITY = 32
"""Translations the lane may wait for."""
BEHIND = 30.0
"""Seconds: whether the lag is bounded at all. How far it came, the row says: it is to be near the limit."""

DEBTS = 3000 if FULL else 900
"""Captions that are owed while somebody speaks, until half of them are paid."""

Report = Callable[[Row], None]


async def _slowly(request: TranslationRequest) -> Translation:
    await asyncio.sleep(0.2)
    return Translation(CaptionStatus.TRANSLATED, f"{request.language}:{request.text.upper()}", "lane")


class _Watch:
    """What `/metrics` tells of the lane, the most of each."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self.lag = self.waiting = self.entries = self.refused = 0.0

    async def look(self) -> None:
        told = values((await self._http.get("/metrics")).text)
        self.lag = max(self.lag, told["parley_lane_lag_seconds", "live-1"])
        self.waiting = max(self.waiting, told["parley_lane_waiting", "live-1"])
        self.entries = max(self.entries, told["parley_lane_log_entries", "live-1"])
        self.refused = told.get(("parley_events_total", "refused:lag"), 0.0)

    @asynccontextmanager
    async def watching(self) -> AsyncGenerator[None]:
        async def go_on() -> None:
            while True:
                await self.look()
                await asyncio.sleep(0.25)

        task = asyncio.create_task(go_on())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self.look()


def _events(count: int) -> list[dict[str, Any]]:
    return [
        {"event_id": f"line-{k}", "payload": chunk.model_dump(exclude_none=True)}
        for k, chunk in enumerate(lines(count), 1)
    ]


async def _send(client: Client, hall: Hall, title: str, rate: float, seconds: float) -> None:
    """Offer lines worth so many seconds, never faster than that rate; where the server says so, later. None is left out."""
    events = [*_events(round(rate * seconds)), {"event_id": "end", "kind": "ended"}]
    for first in range(0, len(events), BATCH):
        turn = asyncio.create_task(asyncio.sleep(BATCH / rate))
        sent = await client.send(str(hall.ids[title]), events[first : first + BATCH])
        assert sent.refused == sent.repeated == 0
        hall.taken[title] += sent.accepted
        await turn


async def _hurry(http: httpx.AsyncClient, hall: Hall, title: str, over: asyncio.Event) -> list[httpx.Response]:
    """A client that doesn't wait. Returns what it was refused with."""
    refusals: list[httpx.Response] = []
    path, events = f"/api/meetings/{hall.ids[title]}/events", _events(LINES)
    while not over.is_set():
        response = await http.post(path, json={"events": events[:1]})
        if response.is_success:
            hall.taken[title] += response.json()["accepted"]
            del events[0]
        else:
            refusals.append(response)
        await asyncio.sleep(0.1)
    response = await http.post(path, json={"events": [{"event_id": "end", "kind": "ended"}]})
    hall.taken[title] += response.json()["accepted"]
    return refusals


async def test_ingest_at_three_times_capacity(open_folder: Path, report: Report) -> None:
    with EmbeddedStores(open_folder / "overload") as urls, Proxy(urlsplit(urls.postgres).port or 0) as proxy:
        upgrade(urls.postgres)
        engine = sync_engine(urls.postgres)
        with engine.begin() as connection:
            connection.execute(text("insert into lanes (id, kind) values ('live-1', 'live')"))
        slow = through(urls, proxy.address, f"127.0.0.1:{urlsplit(urls.redis).port}")
        proxy.delay = LATENCY
        try:
            with (
                serving(ApiOptions(urls.postgres, urls.redis, lag_limit=LIMIT)) as address,
                Steward(urls.postgres, urls.redis),
                running(slow.postgres, slow.redis, "live-1", _slowly, "live", in_flight=8, capacity=CAPACITY),
            ):
                await _flood(engine, address, report)
        finally:
            engine.dispose()


async def _flood(engine: Engine, address: str, report: Report) -> None:
    hall = Hall(engine, {}, {})
    async with Client(address) as client, httpx.AsyncClient(base_url=address, timeout=30) as http:
        warming = [f"warming-{k}" for k in range(1, 4)]
        for title in (*warming, "hurried", *(f"patient-{k}" for k in range(1, CLIENTS + 1))):
            opened = await client.open_meeting({"title": title, "config": CONFIG.model_dump(mode="json")})
            hall.ids[title], hall.taken[title] = opened["id"], 1
        # What it can do is the best of several: a machine that stands still for a while would let it seem too little.
        capacity = max([await _measured(client, hall, title) for title in warming])
        watch, over = _Watch(http), asyncio.Event()
        async with watch.watching():
            began = time.monotonic()
            hurry = asyncio.create_task(_hurry(http, hall, "hurried", over))
            rate = 3 * capacity / CLIENTS
            await asyncio.gather(*(_send(client, hall, f"patient-{k}", rate, LONG) for k in range(1, CLIENTS + 1)))
            seconds = time.monotonic() - began
            over.set()
            refusals = await hurry
            recovery = await hall.recovered()
        outcome = await hall.outcome()
        # What was refused is noted of its meeting up to a second later.
        async with asyncio.timeout(PATIENCE):
            while not outcome.count("refused:lag") == watch.refused >= len(refusals):
                await asyncio.sleep(0.2)
                outcome = await hall.outcome()
                await watch.look()
    report(
        hall.row(
            "ingest at 3 times capacity",
            len(refusals),
            outcome,
            recovery,
            **{
                "capacity/s": round(capacity),
                "taken/s": round(hall.accepted / seconds),
                "refused": watch.refused,
                "worst lag s": round(watch.lag, 1),
                "most waiting": watch.waiting,
                "most in the log": watch.entries,
            },
        )
    )
    hall.assert_sound(outcome)
    assert refusals
    for response in refusals:
        assert (response.status_code, response.json()["type"]) == (429, LAG)
        assert 1 <= int(response.headers["Retry-After"]) <= 30
    assert watch.lag < LIMIT + BEHIND
    assert watch.waiting <= CAPACITY


async def _measured(client: Client, hall: Hall, title: str) -> float:
    """How many events a second the lane works off, by a meeting that is said as fast as it goes."""
    began = time.monotonic()
    await _send(client, hall, title, 10 * WARMING, 0.1)
    await until(lambda: hall.stored({title: hall.taken[title]}), PATIENCE)
    return WARMING / (time.monotonic() - began)


@pytest.fixture
async def meetings(aengine: AsyncEngine, redis_async: Any) -> AsyncIterator[Meetings]:
    """The door, which goes on noting what it took."""
    door = Meetings(aengine, Log(redis_async))
    ledger = asyncio.create_task(door.run_ledger())
    yield door
    ledger.cancel()


@pytest.mark.usefixtures("ray_cluster", "clean_database")
async def test_captions_come_before_what_is_owed(
    postgres_url: str,
    redis_url: str,
    engine: Engine,
    aengine: AsyncEngine,
    meetings: Meetings,
    tmp_path: Path,
    report: Report,
) -> None:
    urls = StoreUrls(postgres_url, redis_url)
    await _owe(urls, engine, aengine, meetings)
    hall = await open_hall(engine, aengine, meetings, 5)
    hall.taken["test"] = DEBTS + 2
    # The engine works off 40 sentences a second: what is owed keeps it busy for longer than anybody speaks.
    with Service(tmp_path, seconds=0.1, at_once=4), flow(urls, deadline=10.0):
        async with hall.talking(meetings, 1.0):
            await hall.translated()
            await until(lambda: hall.debts() < DEBTS / 2, PATIENCE)
            left = hall.debts()
        recovery = await hall.recovered()
        outcome = await hall.outcome()
    paid = DEBTS - left
    report(hall.row("captions before debts", 0, outcome, recovery, debts=DEBTS, **{"paid meanwhile": paid}))
    hall.assert_sound(outcome)
    assert [title for title, _ in tell(outcome, "pending") if title in hall.ids] == []
    assert left > 0, "the service was not busy all the time"


async def _owe(urls: StoreUrls, engine: Engine, aengine: AsyncEngine, meetings: Meetings) -> None:
    """A recorded meeting whose captions are all owed: the service broke on each."""

    async def broken(request: TranslationRequest) -> Translation:
        raise RuntimeError

    meeting_id = await open_recorded(meetings, aengine)
    await feed(meetings, meeting_id, numbered("test", DEBTS).events())
    given_up = "select count(*) from captions where reason is not null"
    with running(urls.postgres, urls.redis, "batch-1", broken):
        await until(lambda: rows(engine, given_up) == [(DEBTS,)], PATIENCE)
