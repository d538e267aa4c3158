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

from cluster.api_client import LAG_PROBLEM_TYPE, ApiClient
from operators.translation_requests import CaptionStatus, Translation, TranslationRequest
from serve.app_options import ApiOptions
from storage.connections import sync_engine
from storage.embedded_servers.embedded_stores import EmbeddedStores
from storage.ingest.meeting_service import MeetingService
from storage.migrations.schema_migration import upgrade_schema
from storage.redis_log.event_log import LogWriter
from storage.store_urls import StoreUrls
from tests.chaos.faults.scripted_engines import ScriptedTranslationApp
from tests.chaos.faults.store_proxy import FaultyStoreProxy
from tests.chaos.results.scenario_table import FULL, ScenarioRow
from tests.chaos.systems.live_meetings import (
    HANG_TIMEOUT_S,
    MAX_LINES,
    LiveMeetings,
    captions_with_status,
    numbered_chunks,
    open_live_meetings,
    running_live_lane,
)
from tests.chaos.systems.maintenance_thread import MaintenanceThread
from tests.chaos.systems.single_lane_system import replace_addresses
from tests.chaos.workload.recorded_meetings import CONFIG, numbered_meeting
from tests.harness.api.metrics_exposition import sample_values
from tests.harness.api.server_thread import run_api
from tests.harness.lane.threaded_lane import append_events, open_lane_meeting, query_rows, running_lane, wait_until

pytest_plugins = ["tests.harness.processes.ray_cluster"]
pytestmark = pytest.mark.timeout(900)

OVERLOAD_S = 60.0 if FULL else 5.0
"""Seconds for which three times as much is offered as there is capacity for; what must wait comes after them."""
STATEMENT_LATENCY_S = 0.02
"""Seconds that each statement of the lane takes to Postgres: that is what bounds its capacity."""
WARM_UP_EVENTS = 400
"""Events by which that capacity is measured."""
CLIENT_COUNT, BATCH_EVENTS = 6, 20
MAX_LAG_S = 2.0
"""Seconds a lane may be behind."""
MAX_PENDING_CALLS = 32
"""Translations the lane may wait for."""
LAG_TOLERANCE_S = 30.0
"""Seconds: whether the lag is bounded at all. How far it came, the row says: it is to be near the limit."""

PENDING_COUNT = 3000 if FULL else 900
"""Captions that are owed while somebody speaks, until half of them are paid."""

Report = Callable[[ScenarioRow], None]


async def _translate_slowly(request: TranslationRequest) -> Translation:
    await asyncio.sleep(0.2)
    return Translation(CaptionStatus.TRANSLATED, f"{request.language}:{request.text.upper()}", "lane")


class _LaneMetrics:
    """What `/metrics` tells of the lane, the most of each."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self.max_lag_s = self.max_pending_calls = self.max_log_entries = self.refused_count = 0.0

    async def sample(self) -> None:
        metric_values = sample_values((await self._http.get("/metrics")).text)
        self.max_lag_s = max(self.max_lag_s, metric_values["parley_lane_lag_seconds", "live-1"])
        self.max_pending_calls = max(self.max_pending_calls, metric_values["parley_lane_waiting", "live-1"])
        self.max_log_entries = max(self.max_log_entries, metric_values["parley_lane_log_entries", "live-1"])
        self.refused_count = metric_values.get(("parley_events_total", "refused:lag"), 0.0)

    @asynccontextmanager
    async def sampling(self) -> AsyncGenerator[None]:
        async def sample_loop() -> None:
            while True:
                await self.sample()
                await asyncio.sleep(0.25)

        task = asyncio.create_task(sample_loop())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self.sample()


def _events(count: int) -> list[dict[str, Any]]:
    return [
        {"event_id": f"line-{k}", "payload": chunk.model_dump(exclude_none=True)}
        for k, chunk in enumerate(numbered_chunks(count), 1)
    ]


async def _send_at_rate(
    client: ApiClient, live_meetings: LiveMeetings, title: str, rate: float, seconds: float
) -> None:
    """Offer lines worth so many seconds, never faster than that rate; where the server says so, later. None is left out."""
    events = [*_events(round(rate * seconds)), {"event_id": "end", "kind": "ended"}]
    for first in range(0, len(events), BATCH_EVENTS):
        pause = asyncio.create_task(asyncio.sleep(BATCH_EVENTS / rate))
        sent = await client.send(str(live_meetings.ids[title]), events[first : first + BATCH_EVENTS])
        assert sent.refused == sent.repeated == 0
        live_meetings.last_ordinals[title] += sent.accepted
        await pause


async def _send_unthrottled(
    http: httpx.AsyncClient, live_meetings: LiveMeetings, title: str, stopping: asyncio.Event
) -> list[httpx.Response]:
    """A client that doesn't wait. Returns what it was refused with."""
    refusals: list[httpx.Response] = []
    path, events = f"/api/meetings/{live_meetings.ids[title]}/events", _events(MAX_LINES)
    while not stopping.is_set():
        response = await http.post(path, json={"events": events[:1]})
        if response.is_success:
            live_meetings.last_ordinals[title] += response.json()["accepted"]
            del events[0]
        else:
            refusals.append(response)
        await asyncio.sleep(0.1)
    response = await http.post(path, json={"events": [{"event_id": "end", "kind": "ended"}]})
    live_meetings.last_ordinals[title] += response.json()["accepted"]
    return refusals


async def test_ingest_at_three_times_capacity(open_folder: Path, report: Report) -> None:
    with EmbeddedStores(open_folder / "overload") as urls, FaultyStoreProxy(urlsplit(urls.postgres).port or 0) as proxy:
        upgrade_schema(urls.postgres)
        engine = sync_engine(urls.postgres)
        with engine.begin() as connection:
            connection.execute(text("insert into lanes (id, kind) values ('live-1', 'live')"))
        slow = replace_addresses(urls, proxy.address, f"127.0.0.1:{urlsplit(urls.redis).port}")
        proxy.delay_s = STATEMENT_LATENCY_S
        try:
            with (
                run_api(ApiOptions(urls.postgres, urls.redis, lag_limit=MAX_LAG_S)) as address,
                MaintenanceThread(urls.postgres, urls.redis),
                running_lane(
                    slow.postgres,
                    slow.redis,
                    "live-1",
                    _translate_slowly,
                    "live",
                    in_flight=8,
                    capacity=MAX_PENDING_CALLS,
                ),
            ):
                await _run_overload(engine, address, report)
        finally:
            engine.dispose()


async def _run_overload(engine: Engine, address: str, report: Report) -> None:
    live_meetings = LiveMeetings(engine, {}, {})
    async with ApiClient(address) as client, httpx.AsyncClient(base_url=address, timeout=30) as http:
        warming = [f"warming-{k}" for k in range(1, 4)]
        for title in (*warming, "hurried", *(f"patient-{k}" for k in range(1, CLIENT_COUNT + 1))):
            opened = await client.open_meeting({"title": title, "config": CONFIG.model_dump(mode="json")})
            live_meetings.ids[title], live_meetings.last_ordinals[title] = opened["id"], 1
        # What it can do is the best of several: a machine that stands still for a while would let it seem too little.
        capacity = max([await _measure_capacity(client, live_meetings, title) for title in warming])
        watch, over = _LaneMetrics(http), asyncio.Event()
        async with watch.sampling():
            began = time.monotonic()
            hurry = asyncio.create_task(_send_unthrottled(http, live_meetings, "hurried", over))
            rate = 3 * capacity / CLIENT_COUNT
            await asyncio.gather(
                *(
                    _send_at_rate(client, live_meetings, f"patient-{k}", rate, OVERLOAD_S)
                    for k in range(1, CLIENT_COUNT + 1)
                )
            )
            seconds = time.monotonic() - began
            over.set()
            refusals = await hurry
            recovery = await live_meetings.wait_until_recovered()
        result = await live_meetings.wait_for_result()
        # What was refused is noted of its meeting up to a second later.
        async with asyncio.timeout(HANG_TIMEOUT_S):
            while not result.sum_counter("refused:lag") == watch.refused_count >= len(refusals):
                await asyncio.sleep(0.2)
                result = await live_meetings.wait_for_result()
                await watch.sample()
    report(
        live_meetings.row(
            "ingest at 3 times capacity",
            len(refusals),
            result,
            recovery,
            **{
                "capacity/s": round(capacity),
                "taken/s": round(live_meetings.accepted_count / seconds),
                "refused": watch.refused_count,
                "worst lag s": round(watch.max_lag_s, 1),
                "most waiting": watch.max_pending_calls,
                "most in the log": watch.max_log_entries,
            },
        )
    )
    live_meetings.assert_complete(result)
    assert refusals
    for response in refusals:
        assert (response.status_code, response.json()["type"]) == (429, LAG_PROBLEM_TYPE)
        assert 1 <= int(response.headers["Retry-After"]) <= 30
    assert watch.max_lag_s < MAX_LAG_S + LAG_TOLERANCE_S
    assert watch.max_pending_calls <= MAX_PENDING_CALLS


async def _measure_capacity(client: ApiClient, live_meetings: LiveMeetings, title: str) -> float:
    """How many events a second the lane works off, by a meeting that is said as fast as it goes."""
    started_at = time.monotonic()
    await _send_at_rate(client, live_meetings, title, 10 * WARM_UP_EVENTS, 0.1)
    await wait_until(lambda: live_meetings.are_stored({title: live_meetings.last_ordinals[title]}), HANG_TIMEOUT_S)
    return WARM_UP_EVENTS / (time.monotonic() - started_at)


@pytest.fixture
async def meetings(aengine: AsyncEngine, redis_async: Any) -> AsyncIterator[MeetingService]:
    """The door, which goes on noting what it took."""
    service = MeetingService(aengine, LogWriter(redis_async))
    ledger = asyncio.create_task(service.run_ledger())
    yield service
    ledger.cancel()


@pytest.mark.usefixtures("ray_cluster", "clean_database")
async def test_captions_come_before_what_is_owed(
    postgres_url: str,
    redis_url: str,
    engine: Engine,
    aengine: AsyncEngine,
    meetings: MeetingService,
    tmp_path: Path,
    report: Report,
) -> None:
    urls = StoreUrls(postgres_url, redis_url)
    await _make_pending_captions(urls, engine, aengine, meetings)
    live_meetings = await open_live_meetings(engine, aengine, meetings, 5)
    live_meetings.last_ordinals["test"] = PENDING_COUNT + 2
    # The engine works off 40 sentences a second: what is owed keeps it busy for longer than anybody speaks.
    with ScriptedTranslationApp(tmp_path, seconds=0.1, max_concurrent=4), running_live_lane(urls, deadline=10.0):
        async with live_meetings.sending(meetings, 1.0):
            await live_meetings.wait_until_translated()
            await wait_until(lambda: live_meetings.count_pending() < PENDING_COUNT / 2, HANG_TIMEOUT_S)
            left = live_meetings.count_pending()
        recovery = await live_meetings.wait_until_recovered()
        result = await live_meetings.wait_for_result()
    paid = PENDING_COUNT - left
    report(
        live_meetings.row("captions before debts", 0, result, recovery, debts=PENDING_COUNT, **{"paid meanwhile": paid})
    )
    live_meetings.assert_complete(result)
    assert [title for title, _ in captions_with_status(result, "pending") if title in live_meetings.ids] == []
    assert left > 0, "the service was not busy all the time"


async def _make_pending_captions(
    urls: StoreUrls, engine: Engine, aengine: AsyncEngine, meetings: MeetingService
) -> None:
    """A recorded meeting whose captions are all owed: the service broke on each."""

    async def broken(request: TranslationRequest) -> Translation:
        raise RuntimeError

    meeting_id = await open_lane_meeting(meetings, aengine)
    await append_events(meetings, meeting_id, numbered_meeting("test", PENDING_COUNT).events())
    given_up = "select count(*) from captions where reason is not null"
    with running_lane(urls.postgres, urls.redis, "batch-1", broken):
        await wait_until(lambda: query_rows(engine, given_up) == [(PENDING_COUNT,)], HANG_TIMEOUT_S)
