"""One meeting ends in the same sentences, whichever source sends it through Parley's own routes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
import redis.asyncio
from sqlalchemy.ext.asyncio import AsyncEngine
from websockets.asyncio.client import connect

from cluster.fireflies_sim.simulator import FirefliesSimulator, SimulatorOptions
from cluster.recordings.reader import read_recording
from flows.jobs import TranscriptImporter
from operators.stream import Sentence
from storage.ingest.meeting_service import MeetingService
from storage.postgres import transcript_queries
from storage.redis_log.event_log import LogWriter
from tests.harness.data.ami_corpus import needs_ami, read_turns
from tests.harness.data.source_conversation import (
    CONVERSATION,
    MESSAGES,
    Turn,
    fireflies_messages,
    generic_events,
    vtt_file,
)
from tests.harness.lane.threaded_lane import ended_without_pending, running_lane, wait_until
from tests.integration.flows.connectors.fireflies_harness import ConnectorHarness, running_connector

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]

CONFIG = {"source_language": "en", "notes": False}
WITHOUT_NAMES = {"deepgram", "assemblyai", "speechmatics"}
"""Sources that number the speakers."""
WITHOUT_SPEAKERS = {"whisperlive"}
BATCH = 50


async def send_by_webhook(stage: ApiHarness, source: str, turns: Sequence[Turn]) -> str:
    meeting = await stage.create_meeting(config=CONFIG)
    messages = [message for _, message in MESSAGES[source](turns)]
    for first in range(0, len(messages), BATCH):
        path, params = f"/api/sources/{source}/events", {"meeting": meeting}
        answer = await stage.http.post(path, json=messages[first : first + BATCH], params=params)
        assert (answer.status_code, answer.json()["refused"]) == (200, 0), answer.text[:500]
    return meeting


async def send_by_socket(stage: ApiHarness, source: str, turns: Sequence[Turn]) -> str:
    meeting = await stage.create_meeting(config=CONFIG)
    async with connect(f"ws://{stage.address}/api/sources/{source}/stream?meeting={meeting}") as socket:
        for _, message in MESSAGES[source](turns):
            await socket.send(json.dumps(message))
            assert json.loads(await socket.recv())["refused"] == 0
    return meeting


async def send_events(stage: ApiHarness, turns: Sequence[Turn]) -> str:
    meeting = await stage.create_meeting(config=CONFIG)
    async with connect(f"ws://{stage.address}/api/meetings/{meeting}/events/stream") as socket:
        for number, (_, chunk) in enumerate(generic_events(turns)):
            await socket.send(json.dumps({"event_id": str(number), "payload": chunk}))
            assert json.loads(await socket.recv())["errors"] == []
    return meeting


async def import_file(stage: ApiHarness, turns: Sequence[Turn], importer: TranscriptImporter) -> str:
    params = {"name": "meeting.vtt", "source_language": "en"}
    answer = await stage.http.post("/api/imports", content=vtt_file(turns).encode(), params=params)
    assert answer.status_code == 202, answer.text
    while await importer.run_once():
        pass
    imported = (await stage.http.get(f"/api/imports/{answer.json()['id']}")).json()
    return imported["meeting_id"]


async def follow_fireflies(harness: ConnectorHarness, turns: Sequence[Turn], folder: Path) -> str:
    recording = folder / "meeting.broadcasts.jsonl"
    rows = [
        {"at": at, "payload": message["payload"]}
        for at, message in fireflies_messages("payload", turns)
        if "payload" in message
    ]
    recording.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    options = SimulatorOptions(recordings=(read_recording(recording),), speed=100)
    with FirefliesSimulator(options) as simulator:
        async with running_connector(harness):
            session = await harness.open_session(simulator, "meeting")
            await asyncio.to_thread(simulator.wait_for_end, "meeting")
            await harness.disconnect(session)
            await harness.wait_for(session, "ended")
    return str(session.meeting_id)


@asynccontextmanager
async def running_lanes(postgres_url: str, redis_url: str) -> AsyncIterator[None]:
    with running_lane(postgres_url, redis_url, "live-1", kind="live"), running_lane(postgres_url, redis_url, "batch-1"):
        yield


async def read_sentences(stage: ApiHarness, aengine: AsyncEngine, meeting: str) -> list[Sentence]:
    """End a meeting, and read its sentences once they are stored."""
    await stage.http.post(f"/api/meetings/{meeting}/end", json={})
    await wait_until(ended_without_pending(stage.engine, UUID(meeting)))
    async with aengine.connect() as conn:
        return await transcript_queries.read_sentences(conn, "default", UUID(meeting))


def described(sentences: Iterable[Sentence], speakers: dict[str, str]) -> list[tuple[str, str]]:
    return [(speakers.get(sentence.speaker, sentence.speaker), sentence.text) for sentence in sentences]


@pytest.mark.parametrize(
    "turns",
    [
        pytest.param(CONVERSATION, id="conversation"),
        pytest.param("IS1004a", id="AMI", marks=[pytest.mark.slow, needs_ami]),
    ],
)
async def test_a_meeting_ends_in_the_same_sentences(
    stage: ApiHarness,
    aengine: AsyncEngine,
    redis_async: redis.asyncio.Redis,
    postgres_url: str,
    redis_url: str,
    tmp_path: Path,
    turns: Sequence[Turn] | str,
) -> None:
    turns = read_turns(turns) if isinstance(turns, str) else turns
    harness = ConnectorHarness(aengine, redis_async, stage.redis)
    importer = TranscriptImporter(aengine, redis_async, MeetingService(aengine, LogWriter(redis_async)))
    async with running_lanes(postgres_url, redis_url):
        meetings = {"generic": await send_events(stage, turns)}
        for source in ("recall", "attendee"):
            meetings[source] = await send_by_webhook(stage, source, turns)
        for source in ("vexa", "deepgram", "assemblyai", "whisperlive", "speechmatics"):
            meetings[source] = await send_by_socket(stage, source, turns)
        meetings["file"] = await import_file(stage, turns, importer)
        meetings["fireflies"] = await follow_fireflies(harness, turns, tmp_path)
        found = {source: await read_sentences(stage, aengine, meeting) for source, meeting in meetings.items()}
    expected = found.pop("generic")
    assert sum(len(sentence.text.split()) for sentence in expected) == sum(len(turn.text.split()) for turn in turns)
    names = list(dict.fromkeys(turn.speaker for turn in turns))
    labels = {f"Speaker {number + 1}": name for number, name in enumerate(names)}
    for source, sentences in found.items():
        if source in WITHOUT_SPEAKERS:
            continue
        speakers = labels if source in WITHOUT_NAMES else {}
        assert described(sentences, speakers) == described(expected, {}), source
        # An absolute clock has its own start of the meeting.
        shift = sentences[0].start - expected[0].start
        assert [one.start - shift for one in sentences] == pytest.approx([one.start for one in expected], abs=0.5), (
            source
        )
        assert [one.end - shift for one in sentences] == pytest.approx([one.end for one in expected], abs=0.5), source
    words = [word for sentence in found["whisperlive"] for word in sentence.text.split()]
    assert words == [word for turn in turns for word in turn.text.split()]
