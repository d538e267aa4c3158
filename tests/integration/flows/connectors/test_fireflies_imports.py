"""Imports of Fireflies' transcripts against the stand-in: one, all since a date, on a poor plan, and interrupted."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from cluster.fireflies_sim.simulator import DEFAULT_API_KEY, FirefliesSimulator, SimulatorOptions
from operators.errors import UnavailableError
from operators.meeting_config import MeetingConfig
from operators.translation_requests import Translation, TranslationRequest
from storage.ingest.request_budget import RequestBudget
from storage.postgres import source_import_runs, source_imports, source_metadata
from storage.postgres.lane_registry import ensure_lane
from storage.postgres.source_accounts import StoredSecret
from storage.postgres.source_imports import SourceImport
from storage.source_apis.fireflies import PLANS
from tests.harness.lane.threaded_lane import query_rows, running_lane, wait_until
from tests.integration.flows.connectors.fireflies_harness import CIPHER, ConnectorHarness, running_connector

pytestmark = pytest.mark.usefixtures("clean_database")

KEY = StoredSecret(encrypted=CIPHER.encrypt(DEFAULT_API_KEY))
CONFIG = MeetingConfig(source_language="en", target_languages=("pt",))
SINCE = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
async def harness(aengine: AsyncEngine, redis_async: Any, redis_sync: redis.Redis) -> ConnectorHarness:
    async with aengine.begin() as conn:
        await ensure_lane(conn, "live-1", "live")
        await ensure_lane(conn, "batch-1", "batch")
    return ConnectorHarness(aengine, redis_async, redis_sync)


def options(simulator: FirefliesSimulator, plan: str = "business") -> dict[str, Any]:
    return {"plan": plan, "api_base_url": simulator.url}


async def queue(harness: ConnectorHarness, simulator: FirefliesSimulator, name: str, **fields: Any) -> None:
    async with harness.database.begin() as conn:
        await source_imports.queue_import(
            conn,
            team_id="default",
            source="fireflies",
            external_id=name,
            config=CONFIG,
            key=KEY,
            options=options(simulator),
            **fields,
        )


async def read(harness: ConnectorHarness, name: str) -> SourceImport:
    async with harness.database.connect() as conn:
        return await source_imports.read_import(conn, "default", "fireflies", name)


async def wait_for(harness: ConnectorHarness, name: str, *states: str) -> SourceImport:
    while (record := await read(harness, name)).state not in states:
        await asyncio.sleep(0.05)
    return record


def spoken_words(simulator: FirefliesSimulator, name: str) -> list[str]:
    return [word for caption in simulator.meetings[name].captions() for word in caption.text.split()]


async def test_an_import_stores_text_and_summary_where_no_translator_answers(
    harness: ConnectorHarness, engine: Engine, postgres_url: str, redis_url: str
) -> None:
    async def translate(_request: TranslationRequest) -> Translation:
        raise UnavailableError("no translator answers")

    with (
        FirefliesSimulator(SimulatorOptions(past_meeting_count=1)) as simulator,
        running_lane(postgres_url, redis_url, "batch-1", translate),
    ):
        async with running_connector(harness):
            await queue(harness, simulator, "past-1")
            record = await wait_for(harness, "past-1", "done", "failed")
        assert (record.state, record.detail, record.appended_count) == ("done", None, record.total_count)
        await wait_until(lambda: query_rows(engine, "select 1 from meetings where status = 'ended'") != [])
        words = spoken_words(simulator, "past-1")
    stored = query_rows(engine, 'select text from sentences where not retracted order by start, "end"')
    assert sorted(word for row in stored for word in row[0].split()) == sorted(words)
    assert {row[0] for row in query_rows(engine, "select status from captions")} == {"pending"}
    [(external_id, title, clock)] = query_rows(engine, "select external_id, title, clock from meetings")
    assert (external_id, title, clock) == ("fireflies:past-1", "Past meeting 1", "recorded")
    assert record.meeting_id is not None
    async with harness.database.connect() as conn:
        facts = await source_metadata.read_metadata(conn, "default", record.meeting_id)
    assert facts.external_id == "past-1"
    assert {"summary", "meeting_attendees", "meeting_attendance", "analytics"} <= facts.content.keys()


async def test_a_repeated_import_adds_nothing(harness: ConnectorHarness, redis_sync: redis.Redis) -> None:
    with FirefliesSimulator(SimulatorOptions(past_meeting_count=1)) as simulator:
        async with running_connector(harness):
            await queue(harness, simulator, "past-1")
            first = await wait_for(harness, "past-1", "done", "failed")
            entry_count = redis_sync.xlen("lane:batch-1")
            await queue(harness, simulator, "past-1", repeat=True)
            second = await wait_for(harness, "past-1", "done", "failed")
    assert second.state == "done", second.detail
    assert second.meeting_id == first.meeting_id
    assert redis_sync.xlen("lane:batch-1") == entry_count


async def test_an_interrupted_import_goes_on(harness: ConnectorHarness, redis_sync: redis.Redis) -> None:
    with FirefliesSimulator(SimulatorOptions(past_meeting_count=3)) as simulator:
        names = ["past-1", "past-2", "past-3"]
        for name in names:
            await queue(harness, simulator, name)
        for _ in range(4):
            harness.start()
            await asyncio.sleep(0.05)
            await harness.kill()
        async with running_connector(harness):
            records = [await wait_for(harness, name, "done", "failed") for name in names]
    assert [record.state for record in records] == ["done"] * 3
    count = sum(record.total_count or 0 for record in records)
    kinds = [fields["kind"] for _, fields in redis_sync.xrange("lane:batch-1")]  # type: ignore[union-attr]
    assert kinds.count("chunk") == count
    assert kinds.count("ended") == 3


async def test_all_transcripts_since_a_date_are_imported(harness: ConnectorHarness) -> None:
    with FirefliesSimulator(SimulatorOptions(past_meeting_count=53)) as simulator:
        async with harness.database.begin() as conn:
            await source_import_runs.add_run(
                conn,
                team_id="default",
                source="fireflies",
                since=SINCE,
                key=KEY,
                options=options(simulator),
                config=CONFIG,
            )
        async with running_connector(harness):
            while True:
                async with harness.database.connect() as conn:
                    run = await source_import_runs.read_latest_run(conn, "default", "fireflies")
                    counts = await source_imports.count_imports(conn, "default", "fireflies")
                assert run is not None
                if run.state == "done" and counts["done"] > 0:
                    break
                await asyncio.sleep(0.05)
        pages = [request for request in simulator.graphql_requests if "transcripts" in request.fields]
    assert (run.listed_count, run.queued_count, len(pages)) == (53, 53, 2)
    assert counts["failed"] == 0
    assert run.key == StoredSecret()


async def test_a_poor_plan_is_not_exceeded_and_the_import_says_so(harness: ConnectorHarness, engine: Engine) -> None:
    with FirefliesSimulator(SimulatorOptions(past_meeting_count=55, plan="free")) as simulator:
        for number in range(1, 53):
            async with harness.database.begin() as conn:
                await source_imports.queue_import(
                    conn,
                    team_id="default",
                    source="fireflies",
                    external_id=f"past-{number}",
                    config=CONFIG,
                    key=KEY,
                    options=options(simulator, "free"),
                )
        async with running_connector(harness):
            waiting = "select external_id, detail, due_at > now() from source_imports where detail is not null"
            running = "select 1 from source_imports where state = 'running'"
            await wait_until(lambda: len(query_rows(engine, waiting)) == 2 and not query_rows(engine, running))
        assert {request.status for request in simulator.graphql_requests} == {200}
        assert len(simulator.graphql_requests) == 50
    for _, detail, is_later in query_rows(engine, waiting):
        assert "`free` allows 50 requests in a day" in detail
        assert is_later
    async with harness.database.connect() as conn:
        counts = await source_imports.count_imports(conn, "default", "fireflies")
    assert counts == {"queued": 2, "running": 0, "done": 50, "failed": 0}


async def test_a_live_meeting_that_ended_with_gaps_is_imported_as_a_further_meeting(
    harness: ConnectorHarness, redis_async: Any, engine: Engine
) -> None:
    times = {"start_time": 1.0, "end_time": 2.0}
    with FirefliesSimulator(SimulatorOptions(speed=0.01)) as simulator:
        simulator.begin("demo")
        async with running_connector(harness):
            session = await harness.open_session(simulator, plan="free")
            await harness.wait_for(session, "connected")
            await asyncio.to_thread(simulator.inject, "demo", "Good morning.", "Maya", chunk_id="7", **times)
            await harness.wait_for_count(session, "appended", 1)
            # No request of the day is left, neither now nor at the end.
            budget = RequestBudget(redis_async, "fireflies", DEFAULT_API_KEY, PLANS["free"])
            for _ in range((await budget.read()).remaining):
                await budget.spend()
            await harness.disconnect(session)
            row = await harness.wait_for(session, "ended")
            assert row.gaps != ()
            assert "none is left" in (row.last_error or "")
            assert "an import of the transcript has all of the meeting" in (row.last_error or "")
            await asyncio.to_thread(simulator.end, "demo")
            await queue(harness, simulator, "demo")
            first = await wait_for(harness, "demo", "done", "failed")
            await queue(harness, simulator, "demo", repeat=True)
            second = await wait_for(harness, "demo", "done", "failed")
    for record in (first, second):
        assert (record.state, record.appended_count) == ("done", record.total_count), record.detail
        assert "with gaps: all of its transcript was imported as a further meeting" in (record.detail or "")
    assert first.meeting_id == second.meeting_id != row.meeting_id
    assert first.meeting_id is not None
    for meeting_id in (first.meeting_id, row.meeting_id):
        async with harness.database.connect() as conn:
            facts = await source_metadata.read_metadata(conn, "default", meeting_id)
        assert facts.content["summary"]
    meetings = query_rows(engine, "select external_id, clock from meetings order by external_id")
    assert meetings == [("fireflies:demo", "live"), ("fireflies:demo:2", "recorded")]


async def test_a_live_meeting_without_gaps_gets_its_summary_only(harness: ConnectorHarness, engine: Engine) -> None:
    with FirefliesSimulator(SimulatorOptions(speed=50)) as simulator:
        async with running_connector(harness):
            session = await harness.open_session(simulator)
            await asyncio.to_thread(simulator.wait_for_end, "demo")
            await harness.disconnect(session)
            row = await harness.wait_for(session, "ended")
            await queue(harness, simulator, "demo")
            record = await wait_for(harness, "demo", "done", "failed")
    assert (row.gaps, record.meeting_id) == ((), row.meeting_id)
    assert "only its summary and attendees" in (record.detail or "")
    assert query_rows(engine, "select count(*) from meetings") == [(1,)]


@pytest.mark.parametrize("actual", ["free", "pro"])
async def test_a_transcript_is_imported_though_the_plan_lacks_some_fields(
    harness: ConnectorHarness, actual: Any
) -> None:
    with FirefliesSimulator(SimulatorOptions(past_meeting_count=1, plan=actual)) as simulator:
        async with running_connector(harness):
            # The account's plan is a lower one than Parley was told.
            await queue(harness, simulator, "past-1")
            record = await wait_for(harness, "past-1", "done", "failed")
    assert (record.state, record.detail, record.appended_count) == ("done", None, record.total_count)
    assert record.meeting_id is not None
    async with harness.database.connect() as conn:
        facts = await source_metadata.read_metadata(conn, "default", record.meeting_id)
    assert {"summary", "meeting_attendees"} <= facts.content.keys()
    assert ("audio_url" in facts.content, "analytics" in facts.content) == (actual == "pro", actual == "pro")
    assert "video_url" not in facts.content


@pytest.mark.slow
async def test_imports_end_whenever_they_are_cancelled(harness: ConnectorHarness, engine: Engine) -> None:
    rng, count = random.Random(3), 10
    with FirefliesSimulator(SimulatorOptions(past_meeting_count=count)) as simulator:
        for number in range(1, count + 1):
            await queue(harness, simulator, f"past-{number}")
        # Fewer requests than the plan allows in a minute: a longer wait would let the lane's lag stop the imports.
        for _ in range(15):
            harness.start()
            await asyncio.sleep(rng.uniform(0, 0.3))
            async with asyncio.timeout(30):
                await harness.kill()
        async with running_connector(harness):
            unfinished = "select 1 from source_imports where state <> 'done'"
            await wait_until(lambda: not query_rows(engine, unfinished))
    assert query_rows(engine, "select count(*) from meetings") == [(count,)]


async def test_a_failed_import_names_the_cause_and_is_tried_again(harness: ConnectorHarness) -> None:
    with FirefliesSimulator(SimulatorOptions(past_meeting_count=1)) as simulator:
        async with running_connector(harness):
            await queue(harness, simulator, "nowhere")
            failed = await wait_for(harness, "nowhere", "failed")
            assert "Fireflies does not have" in (failed.detail or "")
            assert failed.key == KEY
            async with harness.database.begin() as conn:
                await conn.execute(text("update source_imports set external_id = 'past-1'"))
                assert await source_imports.retry_failed_imports(conn, "default", "fireflies") == 1
            done = await wait_for(harness, "past-1", "done", "failed")
    assert (done.state, done.key) == ("done", StoredSecret())
