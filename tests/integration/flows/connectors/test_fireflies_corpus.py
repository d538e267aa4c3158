"""Real meetings through the Fireflies connector, with disconnects: every word arrives once, on each plan."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
import redis
from sqlalchemy.ext.asyncio import AsyncEngine

from cluster.fireflies_sim.request_limits import PlanName
from cluster.fireflies_sim.simulator import FirefliesSimulator, SimulatorOptions
from cluster.recordings.reader import read_recording
from flows.connectors.fireflies import session as session_module
from tests.harness.data.ami_corpus import AMI_RECORDINGS, needs_ami
from tests.integration.flows.connectors.fireflies_harness import ConnectorHarness, running_connector, spoken

pytestmark = [pytest.mark.usefixtures("clean_database"), pytest.mark.slow, needs_ami]

SPEED = 20.0
DISCONNECT_INTERVAL_S = 20.0
"""Seconds between two disconnects of all meetings: three times as often as once a minute."""
MIN_SHARE = 0.999


def words(speech: list[tuple[float, str, str]]) -> Counter[tuple[str, str]]:
    """Count the words of each speaker."""
    return Counter((speaker, word) for _, speaker, text in speech for word in text.casefold().split())


@pytest.mark.parametrize("plan", ["business", "free"])
async def test_five_meetings_at_once_lose_no_word(
    plan: PlanName, aengine: AsyncEngine, redis_async: Any, redis_sync: redis.Redis
) -> None:
    harness = ConnectorHarness(aengine, redis_async, redis_sync)
    recordings = tuple(map(read_recording, AMI_RECORDINGS))
    with FirefliesSimulator(SimulatorOptions(recordings=recordings, speed=SPEED, plan=plan)) as simulator:
        async with running_connector(harness):
            sessions = [await harness.open_session(simulator, recording.name, plan=plan) for recording in recordings]
            ends = [asyncio.create_task(asyncio.to_thread(simulator.wait_for_end, r.name)) for r in recordings]
            while (await asyncio.wait(ends, timeout=DISCONNECT_INTERVAL_S))[1]:
                await asyncio.to_thread(simulator.disconnect_all)
            for session in sessions:
                await harness.disconnect(session)
            rows = [await harness.wait_for(session, "ended") for session in sessions]
        requests = Counter(str(request.variables.get("id")) for request in simulator.graphql_requests)
        for recording, row in zip(recordings, rows, strict=True):
            expected, (transcript, late) = spoken(simulator, recording.name), harness.transcript(row.meeting_id)
            said, got = words(expected), words(transcript)
            matched = (said & got).total()
            assert matched >= MIN_SHARE * max(said.total(), got.total())
            assert (row.gaps, late) == ((), 0)
            if plan == "free":
                assert requests[recording.name] <= 5


async def test_a_hundred_disconnects_lose_no_word(
    aengine: AsyncEngine, redis_async: Any, redis_sync: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A hundred reconnects must fit into the meeting, which takes a minute at this speed.
    monkeypatch.setattr(session_module, "MAX_RECONNECT_S", 0.4)
    harness = ConnectorHarness(aengine, redis_async, redis_sync)
    recording = read_recording(AMI_RECORDINGS[0])
    with FirefliesSimulator(SimulatorOptions(recordings=(recording,), speed=SPEED)) as simulator:
        async with running_connector(harness):
            session = await harness.open_session(simulator, recording.name)
            end = asyncio.create_task(asyncio.to_thread(simulator.wait_for_end, recording.name))
            for _ in range(100):
                while not simulator.connection_count:
                    await asyncio.sleep(0.02)
                await asyncio.to_thread(simulator.disconnect_all)
            await end
            await harness.disconnect(session)
            row = await harness.wait_for(session, "ended")
        transcript, late = harness.transcript(row.meeting_id)
        expected = spoken(simulator, recording.name)
        assert words(expected) - words(transcript) == Counter()
        assert words(transcript) - words(expected) == Counter()
        assert late == 0
        assert row.counters["disconnects"] >= 100
