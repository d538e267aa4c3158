"""The Realtime API of the Fireflies stand-in, as a plain Socket.IO client sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cluster.fireflies_sim import service
from cluster.fireflies_sim.scenarios import ScenarioName, final_texts, make_scenario, replay
from cluster.fireflies_sim.simulator import FirefliesSimulator, SimulatorOptions
from cluster.fireflies_sim.wire_format import WireFormat
from cluster.recordings.reader import read_recording
from operators.errors import InvalidInputError
from tests.integration.cluster.fireflies_sim.realtime_client import RealtimeClient, fetch_data, sent_fields

LAUNCH = Path(__file__).parents[4] / "examples" / "launch.broadcasts.jsonl"
FAST = 1000.0


@asynccontextmanager
async def connected(
    simulator: FirefliesSimulator, transcript_id: str = "demo", *, reconnects: bool = False
) -> AsyncIterator[RealtimeClient]:
    client = await RealtimeClient(reconnects=reconnects).connect(simulator, transcript_id)
    try:
        yield client
    finally:
        await client.close()


async def play_to_the_end(simulator: FirefliesSimulator, transcript_id: str = "demo") -> list[dict[str, Any]]:
    """Connect to a meeting, and return the broadcasts that a client gets until its end."""
    async with connected(simulator, transcript_id) as client:
        await asyncio.to_thread(simulator.wait_for_end, transcript_id)
        await client.socket.emit("ping")
        await client.wait_until(lambda: client.count("pong") == 1)
        return client.broadcasts


@pytest.mark.parametrize("scenario", ["conversation", "words", "captured"])
async def test_a_client_gets_each_broadcast_of_a_scenario_once_and_in_order(scenario: ScenarioName) -> None:
    with FirefliesSimulator(SimulatorOptions(scenario=scenario, speed=FAST, seed=4)) as simulator:
        received = await play_to_the_end(simulator)
        assert received == sent_fields(simulator)
        assert [sent.broadcast for sent in simulator.sent] == list(make_scenario(scenario, 4))


async def test_a_meeting_that_begins_at_a_position_has_what_was_said_before_in_its_transcript_only() -> None:
    broadcasts = make_scenario("words", 0)
    earlier = [broadcast for broadcast in broadcasts if broadcast.at < 20]
    with FirefliesSimulator(SimulatorOptions(scenario="words", speed=FAST, position_s=20.0)) as simulator:
        received = await play_to_the_end(simulator)
        assert [sent.broadcast for sent in simulator.sent] == list(broadcasts[len(earlier) :])
        assert received == sent_fields(simulator)
        texts = {caption.text for caption in simulator.meetings["demo"].captions()}
        assert texts == set(final_texts(broadcasts).values())
        simulator.begin("demo")
        await asyncio.to_thread(simulator.wait_for_end, "demo")
        # Begun anew, the meeting is at its start.
        assert len(simulator.sent) == 2 * len(broadcasts) - len(earlier)


async def test_a_client_is_authenticated_before_the_first_broadcast() -> None:
    with FirefliesSimulator(SimulatorOptions(speed=FAST)) as simulator:
        async with connected(simulator) as client:
            await client.wait_until(lambda: client.count("transcription.broadcast") > 0)
            names = [event for event, _ in client.events]
            assert names[:3] == ["auth.success", "connection.established", "transcription.broadcast"]
            envelope = client.events[2][1]
            assert set(envelope) == {"type", "message", "timestamp", "payload"}
            assert set(envelope["payload"]) == {"chunk_id", "text", "speaker_name", "start_time", "end_time"}
            assert envelope["payload"]["chunk_id"].isdecimal()


@pytest.mark.parametrize(
    ("wire_format", "members"),
    [
        (WireFormat("data"), {"type", "message", "timestamp", "data"}),
        (
            WireFormat("flat", "transcript"),
            {"transcript_id", "chunk_id", "text", "speaker_name", "start_time", "end_time"},
        ),
        (WireFormat("flat", chunk_ids="none"), {"transcript_id", "text", "speaker_name", "start_time", "end_time"}),
    ],
)
async def test_broadcasts_have_the_form_that_was_asked_for(wire_format: WireFormat, members: set[str]) -> None:
    with FirefliesSimulator(SimulatorOptions(speed=FAST, wire_format=wire_format)) as simulator:
        async with connected(simulator) as client:
            await client.wait_until(lambda: client.count(wire_format.event) > 0)
            assert set(next(body for event, body in client.events if event == wire_format.event)) == members


@pytest.mark.parametrize(
    "auth",
    [
        {"token": "Bearer wrong", "transcriptId": "demo"},
        {"token": "demo-key", "transcriptId": "demo"},
        {"token": "Bearer demo-key", "transcriptId": "nothing"},
        {"token": "Bearer demo-key"},
        {"token": ["Bearer demo-key"], "transcriptId": "demo"},
        None,
    ],
)
async def test_a_client_without_access_is_told_and_disconnected(auth: dict[str, Any] | None) -> None:
    with FirefliesSimulator() as simulator:
        client = RealtimeClient()
        await client.connect_with(simulator, auth)
        await client.wait_until(lambda: client.count("disconnect") == 1)
        assert [event for event, _ in client.events] == ["auth.failed", "disconnect"]
        assert client.events[0][1]["message"]
        assert simulator.connection_count == 0
        assert not simulator.meetings["demo"].has_begun
        await client.close()


async def test_a_recording_is_a_meeting_of_its_own() -> None:
    recording = read_recording(LAUNCH)
    with FirefliesSimulator(SimulatorOptions(recordings=(recording,), speed=FAST)) as simulator:
        received = await play_to_the_end(simulator, "launch")
        assert [sent.broadcast for sent in simulator.sent] == list(replay(recording))
        assert received == sent_fields(simulator)
        assert not simulator.meetings["demo"].has_begun


def test_two_recordings_of_one_name_are_refused() -> None:
    recording = read_recording(LAUNCH)
    with pytest.raises(InvalidInputError, match="--recording: must not name the meeting launch again"):
        FirefliesSimulator(SimulatorOptions(recordings=(recording, recording)))


async def test_a_reconnecting_client_misses_what_was_sent_meanwhile_and_graphql_has_it() -> None:
    recording = read_recording(LAUNCH)
    options = SimulatorOptions(recordings=(recording,), speed=100, disconnect_interval=40)
    with FirefliesSimulator(options) as simulator:
        async with connected(simulator, "launch", reconnects=True) as client:
            await asyncio.to_thread(simulator.wait_for_end, "launch")
            await client.wait_until(lambda: client.count("disconnect") >= 1)
            sent = sent_fields(simulator)
            assert client.broadcasts[:40] == sent[:40]
            # What arrives is in order, and nothing arrives twice.
            rest = iter(sent)
            assert all(broadcast in rest for broadcast in client.broadcasts)
        data = await fetch_data(simulator, '{transcript(id: "launch") {sentences {text}}}')
        texts = [sentence["text"] for sentence in data["transcript"]["sentences"]]
        assert sorted(texts) == sorted(final_texts(replay(recording)).values())


async def test_a_client_that_comes_later_gets_the_rest() -> None:
    with FirefliesSimulator(SimulatorOptions(recordings=(read_recording(LAUNCH),), speed=100)) as simulator:
        async with connected(simulator, "launch") as first:
            await first.wait_until(lambda: len(first.broadcasts) >= 5)
            late = await play_to_the_end(simulator, "launch")
            sent = sent_fields(simulator)
            assert len(late) <= len(sent) - 5
            assert late == sent[len(sent) - len(late) :]


async def test_with_restart_each_client_gets_the_meeting_from_the_beginning() -> None:
    scenario = make_scenario("conversation", 0)
    with FirefliesSimulator(SimulatorOptions(speed=FAST, restarts=True, disconnect_interval=4)) as simulator:
        async with connected(simulator, reconnects=True) as client:
            await client.wait_until(lambda: len(client.broadcasts) >= 8)
            texts = [broadcast["text"] for broadcast in client.broadcasts]
            assert texts[:8] == [broadcast.text for broadcast in scenario[:4]] * 2


async def test_the_demo_begins_anew_for_a_client_that_comes_after_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "RECONNECT_S", 0.0)
    with FirefliesSimulator(SimulatorOptions(speed=FAST)) as simulator:
        assert await play_to_the_end(simulator) == await play_to_the_end(simulator)


async def test_the_demo_does_not_begin_anew_for_a_client_that_reconnects_after_its_end() -> None:
    with FirefliesSimulator(SimulatorOptions(speed=FAST)) as simulator:
        await play_to_the_end(simulator)
        transcript = simulator.meetings["demo"].captions()
        async with connected(simulator):
            assert not simulator.meetings["demo"].is_live
        assert simulator.meetings["demo"].captions() == transcript


async def test_error_messages_come_between_the_broadcasts() -> None:
    with FirefliesSimulator(SimulatorOptions(speed=FAST, error_interval=5)) as simulator:
        async with connected(simulator) as client:
            await client.wait_until(lambda: client.count("connection.error") >= 2)
            names = [event for event, _ in client.events]
            assert names[2:8] == ["transcription.broadcast"] * 5 + ["connection.error"]
            assert dict(client.events)["connection.error"]["message"].startswith("Connection error")


async def test_late_revisions_come_after_newer_chunks() -> None:
    with FirefliesSimulator(SimulatorOptions(speed=FAST, late_revisions=True)) as simulator:
        received = await play_to_the_end(simulator)
        ids = [int(broadcast["chunk_id"]) for broadcast in received]
        assert ids != sorted(ids)
        latest = {broadcast["chunk_id"]: broadcast["text"] for broadcast in received}
        assert latest == final_texts(make_scenario("conversation", 0))


async def test_a_test_can_disconnect_inject_and_end() -> None:
    # So slow that the meeting itself sends nothing.
    with FirefliesSimulator(SimulatorOptions(speed=0.01)) as simulator:
        async with connected(simulator, reconnects=True) as client:
            await client.wait_until(lambda: client.count("connection.established") == 1)
            assert simulator.disconnect_all() == 1
            await client.wait_until(lambda: client.count("connection.established") == 2)
            assert client.count("disconnect") == 1
            chunk_id = simulator.inject("demo", "Anything else?", "Dan")
            simulator.broadcast("demo", "transcript", {"text": "as it is"})
            await client.wait_until(lambda: client.count("transcript") == 1)
            assert client.broadcasts[-1] == {
                "chunk_id": chunk_id,
                "text": "Anything else?",
                "speaker_name": "Dan",
                "start_time": 0.0,
                "end_time": 0.6,
            }
            simulator.end("demo")
            assert not simulator.meetings["demo"].is_live
            assert client.socket.connected


def test_a_port_in_use_is_reported() -> None:
    with FirefliesSimulator() as simulator:
        port = int(simulator.url.rpartition(":")[2])
        other = FirefliesSimulator(SimulatorOptions(port=port))
        with pytest.raises(InvalidInputError, match=f"--port: {port} can't be used"):
            other.start()
