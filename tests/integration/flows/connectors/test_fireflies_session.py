"""A Fireflies session against the stand-in: nothing is lost and nothing stands twice, whatever breaks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cluster.fireflies_sim.simulator import FirefliesSimulator, SimulatorOptions
from cluster.fireflies_sim.wire_format import ChunkIds, WireFormat
from flows.connectors.fireflies import gap_policy
from flows.connectors.fireflies import session as session_module
from operators.address_check import AddressRule
from operators.entries import Chunk
from storage.postgres.connector_sessions import ConnectorSession
from tests.integration.flows.connectors.fireflies_harness import ConnectorHarness, running_connector, spoken

pytestmark = pytest.mark.usefixtures("clean_database")


@pytest.fixture
def harness(aengine: AsyncEngine, redis_async: Any, redis_sync: redis.Redis) -> ConnectorHarness:
    return ConnectorHarness(aengine, redis_async, redis_sync)


async def play(harness: ConnectorHarness, simulator: FirefliesSimulator, faults: Any = None, **options: Any) -> Any:
    """Run a session over the whole demo meeting, and return its last row."""
    async with running_connector(harness):
        session = await harness.open_session(simulator, **options)
        if faults is not None:
            await faults(session)
        await asyncio.to_thread(simulator.wait_for_end, "demo")
        # The last broadcast has arrived once the connector knows as many words as the meeting has.
        await harness.disconnect(session)
        return await harness.wait_for(session, "ended")


async def test_a_meeting_arrives_whole(harness: ConnectorHarness) -> None:
    with FirefliesSimulator(SimulatorOptions(speed=50)) as simulator:
        row = await play(harness, simulator)
        assert harness.transcript(row.meeting_id) == (spoken(simulator), 0)
    assert row.last_error is None
    assert row.gaps == ()
    assert row.encrypted_key is None
    assert row.counters["appended"] == row.counters["messages"] - row.counters.get("repeated", 0)
    assert await harness.meetings.append("default", row.meeting_id, []) or True


@pytest.mark.parametrize(
    "options",
    [
        SimulatorOptions(speed=50, scenario="captured"),
        SimulatorOptions(speed=50, disconnect_interval=20),
        SimulatorOptions(speed=50, error_interval=10),
        SimulatorOptions(speed=50, late_revisions=True),
        SimulatorOptions(speed=50, disconnect_interval=20, wire_format=WireFormat("flat", chunk_ids="some")),
        pytest.param(
            SimulatorOptions(speed=50, disconnect_interval=20, wire_format=WireFormat("data", chunk_ids="none")),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["captured", "disconnects", "errors", "late", "some ids", "no ids"],
)
async def test_bad_days_lose_nothing(harness: ConnectorHarness, options: SimulatorOptions) -> None:
    with FirefliesSimulator(options) as simulator:
        row = await play(harness, simulator)
        assert harness.transcript(row.meeting_id) == (spoken(simulator), 0)
    assert row.gaps == ()


@pytest.mark.parametrize("chunk_ids", ["all", pytest.param("some", marks=pytest.mark.slow)])
async def test_a_chunk_whose_middle_was_missed_may_be_split_but_has_its_words(
    harness: ConnectorHarness, chunk_ids: ChunkIds
) -> None:
    wire_format = WireFormat("flat", "transcript", chunk_ids)
    options = SimulatorOptions(speed=50, scenario="captured", disconnect_interval=20, wire_format=wire_format)
    with FirefliesSimulator(options) as simulator:
        row = await play(harness, simulator)
        heard, late = harness.transcript(row.meeting_id)
        assert [words_of(heard), late] == [words_of(spoken(simulator)), 0]


def words_of(transcript: list[tuple[float, str, str]]) -> list[tuple[str, str]]:
    return [(speaker, word) for _, speaker, text in transcript for word in text.split()]


async def test_a_connector_that_is_killed_again_and_again_loses_nothing(harness: ConnectorHarness) -> None:
    rng = random.Random(7)

    async def kill_repeatedly(session: Any) -> None:
        for _ in range(6):
            await asyncio.sleep(rng.uniform(0, 0.3))
            await harness.kill()
            await asyncio.sleep(rng.uniform(0, 0.2))
            harness.start()

    with FirefliesSimulator(SimulatorOptions(speed=20)) as simulator:
        row = await play(harness, simulator, kill_repeatedly)
        assert harness.transcript(row.meeting_id) == (spoken(simulator), 0)


async def test_a_service_that_starts_over_takes_no_speech_back(harness: ConnectorHarness) -> None:
    async with running_connector(harness):
        with FirefliesSimulator(SimulatorOptions(speed=20, scenario="words")) as simulator:
            session, port = await harness.open_session(simulator), int(simulator.url.rsplit(":", 1)[1])
            while len(simulator.sent) < 100:
                await asyncio.sleep(0.02)
        with FirefliesSimulator(SimulatorOptions(port=port, speed=20, scenario="words")) as simulator:
            await asyncio.to_thread(simulator.wait_for_end, "demo")
            await harness.disconnect(session)
            row = await harness.wait_for(session, "ended")
            assert harness.transcript(row.meeting_id) == (spoken(simulator), 0)
    ends: dict[str, list[float]] = {}
    for entry in harness.entries(row.meeting_id):
        if isinstance(entry.payload, Chunk):
            ends.setdefault(entry.payload.chunk_id, []).append(entry.payload.end)
    assert all(chunk_ends == sorted(chunk_ends) for chunk_ends in ends.values())
    assert row.counters["connects"] >= 2
    assert row.counters["repeated"] >= 90


async def test_an_earlier_state_of_a_service_that_starts_over_is_mended_after_a_kill(harness: ConnectorHarness) -> None:
    first, other = (100.0, "Maya", "of the 42"), (300.0, "Jonas", "Yes.")

    async def inject(simulator: FirefliesSimulator, chunk_id: str, start: float, speaker: str, words: str) -> None:
        times = {"start_time": start, "end_time": start + 2}
        await asyncio.to_thread(simulator.inject, "demo", words, speaker, chunk_id=chunk_id, **times)

    async def wait_for(*expected: tuple[float, str, str]) -> None:
        while harness.transcript(session.meeting_id) != (list(expected), 0):
            await asyncio.sleep(0.02)

    with FirefliesSimulator(SimulatorOptions(speed=0.01)) as simulator:
        simulator.begin("demo")
        session, port = await harness.open_session(simulator), int(simulator.url.rsplit(":", 1)[1])
        async with running_connector(harness):
            await harness.wait_for_count(session, "connects", 1)
            await inject(simulator, "7", *first)
            await inject(simulator, "8", *other)
            await wait_for(first, other)
    with FirefliesSimulator(SimulatorOptions(port=port, speed=0.01)) as simulator:
        simulator.begin("demo")
        async with running_connector(harness):
            await harness.wait_for_count(session, "connects", 2)
            await inject(simulator, "7", 100.0, "Maya", "Of the 42")
            await wait_for((100.0, "Maya", "Of the 42"), other)
        await inject(simulator, "7", *first)
        async with running_connector(harness):
            await wait_for(first, other)


@asynccontextmanager
async def service_started_over(
    harness: ConnectorHarness, plan: str = "business"
) -> AsyncIterator[tuple[ConnectorSession, FirefliesSimulator]]:
    """A session whose gap begins at 300 seconds, and its service, which started over: its transcript ends at 292 seconds."""
    with FirefliesSimulator(SimulatorOptions(speed=0.01)) as simulator:
        simulator.begin("demo")
        simulator.inject("demo", "Good morning.", "Maya", chunk_id="7", start_time=300.0, end_time=302.0)
        session = await harness.open_session(simulator, plan=plan)
        port = int(simulator.url.rsplit(":", 1)[1])
        async with running_connector(harness):
            await harness.wait_for_count(session, "filled", 1)
    with FirefliesSimulator(SimulatorOptions(port=port, speed=0.01)) as simulator:
        simulator.begin("demo")
        simulator.inject("demo", "Hello.", "Maya", chunk_id="6", start_time=290.0, end_time=292.0)
        yield session, simulator


async def test_a_gap_stays_open_until_a_transcript_reaches_it(harness: ConnectorHarness) -> None:
    async with service_started_over(harness) as (session, simulator), running_connector(harness):
        assert (await harness.wait_for_count(session, "filled", 2)).gaps == ((300.0, None),)
        yes = {"chunk_id": "8", "start_time": 310.0, "end_time": 312.0}
        await asyncio.to_thread(simulator.inject, "demo", "Yes.", "Jonas", **yes)
        await harness.disconnect(session)
        row = await harness.wait_for(session, "ended")
    assert row.gaps == ()
    expected = [(290.0, "Maya", "Hello."), (300.0, "Maya", "Good morning."), (310.0, "Jonas", "Yes.")]
    assert harness.transcript(row.meeting_id) == (expected, 0)


async def test_the_end_waits_for_a_transcript_that_lags(harness: ConnectorHarness) -> None:
    async with service_started_over(harness) as (session, simulator):
        await harness.disconnect(session)
        async with running_connector(harness):
            await harness.wait_for_count(session, "transcript_requests", 2)
            late = {"chunk_id": "8", "start_time": 310.0, "end_time": 312.0}
            await asyncio.to_thread(simulator.inject, "demo", "Yes.", "Jonas", **late)
            row = await harness.wait_for(session, "ended")
    assert (row.gaps, row.counters["transcript_requests"]) == ((), 3)
    assert harness.transcript(row.meeting_id)[0][-1] == (310.0, "Jonas", "Yes.")


async def test_a_poor_plan_gets_five_requests_of_a_meeting_at_most(
    harness: ConnectorHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gap_policy, "POOR_POLICY", replace(gap_policy.POOR_POLICY, delay_s=0.0))
    monkeypatch.setattr(session_module, "FIRST_FINAL_PAUSE_S", 0.01)
    monkeypatch.setattr(session_module, "MAX_RECONNECT_S", 0.01)
    # The transcript never reaches the gap, so each connection would request it again.
    async with service_started_over(harness, plan="free") as (session, simulator), running_connector(harness):
        for connects in range(2, 8):
            await harness.wait_for_count(session, "connects", connects)
            await asyncio.to_thread(simulator.disconnect_all)
        row = await harness.wait_for_count(session, "disconnects", 6)
        assert row.counters["transcript_requests"] == 3
        await harness.disconnect(session)
        row = await harness.wait_for(session, "ended")
    assert row.counters["transcript_requests"] == 5
    assert row.last_error == (
        "a gap is not filled: the transcript ends before it; an import of the transcript has all of the meeting"
    )


async def test_speech_that_came_by_the_transcript_first_is_revised_by_its_live_text(harness: ConnectorHarness) -> None:
    with FirefliesSimulator(SimulatorOptions(speed=0.01)) as simulator:
        simulator.begin("demo")
        simulator.inject("demo", "good morning", "Maya", chunk_id="7", start_time=1.0, end_time=2.0)
        session = await harness.open_session(simulator)
        async with running_connector(harness):
            await harness.wait_for_count(session, "filled", 1)
            for words, end in (("good", 1.4), ("Good morning.", 2.0), ("Good morning, all.", 2.5)):
                await asyncio.to_thread(
                    simulator.inject, "demo", words, "Maya", chunk_id="7", start_time=1.0, end_time=end
                )
            await asyncio.to_thread(simulator.end, "demo")
            await harness.disconnect(session)
            row = await harness.wait_for(session, "ended")
    assert harness.transcript(row.meeting_id) == ([(1.0, "Maya", "Good morning, all.")], 0)


async def test_a_killed_connector_is_not_shown_as_connected(harness: ConnectorHarness) -> None:
    with FirefliesSimulator(SimulatorOptions(speed=20)) as simulator:
        async with running_connector(harness):
            session = await harness.open_session(simulator)
            await harness.wait_for(session, "connected")
    # A connector that is killed stores no further progress, and the service does not respond to the next one.
    async with harness.database.begin() as conn:
        await conn.execute(text("update connector_sessions set status = 'connected'"))
    async with running_connector(harness):
        row = await harness.wait_for(session, "reconnecting")
    assert row.connected_at is not None


async def test_a_session_whose_connector_does_not_run_is_not_shown_as_connected(harness: ConnectorHarness) -> None:
    silence = text("update connector_sessions set heartbeat_at = now() - interval '1 minute'")
    error = "the connector has not responded for more than 30 seconds"

    async def read_without_heartbeat() -> Any:
        async with harness.database.begin() as conn:
            await conn.execute(silence)
        return await harness.read(session)

    with FirefliesSimulator(SimulatorOptions(speed=0.01)) as simulator:
        session = await harness.open_session(simulator)
        row = await read_without_heartbeat()
        assert (row.status, row.last_error) == ("connecting", error)
        async with running_connector(harness):
            await harness.wait_for(session, "connected")
        async with harness.database.begin() as conn:
            await conn.execute(text("update connector_sessions set status = 'connected', last_error = null"))
        row = await read_without_heartbeat()
        assert (row.status, row.last_error) == ("reconnecting", error)
        async with running_connector(harness):
            await harness.wait_for(session, "connected")
            assert (await harness.read(session)).last_error is None
            await harness.disconnect(session)
            await harness.wait_for(session, "ended")
        assert (await read_without_heartbeat()).status == "ended"


async def test_a_session_that_joins_late_gets_what_was_said_before(harness: ConnectorHarness) -> None:
    async def join_late(_session: Any) -> None:
        while len(simulator.sent) < 10:
            await asyncio.sleep(0.02)
        harness.start()

    with FirefliesSimulator(SimulatorOptions(speed=20)) as simulator:
        simulator.begin("demo")
        session = await harness.open_session(simulator)
        await join_late(session)
        async with running_connector(harness, is_started=True):
            await harness.wait_for(session, "connected")
            await asyncio.to_thread(simulator.wait_for_end, "demo")
            await harness.disconnect(session)
            await harness.wait_for(session, "ended")
        assert harness.transcript(session.meeting_id) == (spoken(simulator), 0)


async def test_a_refused_address_gets_no_request(harness: ConnectorHarness) -> None:
    harness.rule = AddressRule()
    with FirefliesSimulator() as simulator:
        async with running_connector(harness):
            session = await harness.open_session(simulator)
            row = await harness.wait_for(session, "failed")
        assert simulator.graphql_requests == []
        assert simulator.connection_count == 0
    assert row.last_error == "its address 127.0.0.1 is not public (PARLEY_PRIVATE_ADDRESSES allows it)"


async def test_a_wrong_key_ends_the_session_and_says_what_to_do(harness: ConnectorHarness) -> None:
    with FirefliesSimulator() as simulator:
        async with running_connector(harness):
            session = await harness.open_session(simulator, api_key="wrong")
            row = await harness.wait_for(session, "failed")
    assert "check the API key" in (row.last_error or "")
    assert "wrong" not in (row.last_error or "")
