"""flows/lane/telemetry.py and serve/http/live/push_metrics.py: metrics and traces of a real lane and a real API."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

import pytest
import redis.asyncio
import websockets
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.actors import MaintenanceActor
from flows.jobs.backfill import with_telemetry
from operators.errors import UnavailableError
from operators.meeting_config import Clock
from operators.translation_requests import CaptionStatus, Translation, TranslationRequest
from storage import redis_keys
from storage.ingest.meeting_service import MeetingService
from storage.observability.metrics_federation import merge_snapshots, read_snapshots
from storage.observability.process_metrics import ProcessMetrics
from storage.observability.trace_ids import root_span_id, trace_id
from storage.observability.tracing import open_traces
from storage.records import OutboxEvent
from storage.redis_log.event_log import LogWriter, NewEvent
from storage.redis_log.live_pubsub import publish_events
from tests.harness.api.metrics_exposition import sample_values
from tests.harness.doubles.otlp_collector import otlp_collector
from tests.harness.lane.threaded_lane import (
    append_events,
    chunk_event,
    end_event,
    ended_without_pending,
    open_lane_meeting,
    query_rows,
    running_lane,
    translate_to_capitals,
    wait_until,
)

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]
pytestmark = pytest.mark.usefixtures("clean_database", "unhurried")

SECRET = "Xylophone quarrel."
TALK = [
    chunk_event(1, "c1", "Zebedee", SECRET, 0.0, 1.0, 1.2),
    chunk_event(2, "c2", "Zebedee", "Shall we begin?", 2.0, 3.0, 3.2),
    chunk_event(3, "c2", "Zebedee", "Shall we begin at once?", 2.0, 3.4, 9.0),
    end_event(12.0),
]


@pytest.fixture
def meetings(aengine: AsyncEngine, redis_async: redis.asyncio.Redis) -> MeetingService:
    return MeetingService(aengine, LogWriter(redis_async))


async def lane_values(connection: redis.asyncio.Redis, process: str) -> dict[tuple[str, ...], float]:
    """Return the metrics that a process published last, by name and label values without its own label."""
    families = merge_snapshots(await read_snapshots(connection)).families.values()
    return {
        (s.name, *(value for key, value in sorted(s.labels.items()) if key != "process")): s.value
        for family in families
        for s in family.samples
        if s.labels["process"] == process
    }


async def test_every_stage_of_a_meeting_is_measured(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_async: redis.asyncio.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    away = 2

    async def away_at_first(request: TranslationRequest) -> Translation:
        nonlocal away
        if away:
            away -= 1
            raise UnavailableError("away")
        return await translate_to_capitals(request)

    meeting_id = await open_lane_meeting(meetings, aengine)
    await append_events(meetings, meeting_id, TALK)
    with running_lane(postgres_url, redis_url, "batch-1", away_at_first, in_flight=1):
        await wait_until(ended_without_pending(engine, meeting_id))
    found = await lane_values(redis_async, "lane/batch-1")
    [(attempts, _)] = query_rows(engine, "select sum(attempts), count(*) from captions")
    # The entry that opened the meeting is the first of the log.
    assert found["parley_stage_seconds_count", "log"] == len(TALK) + 1
    assert found["parley_stage_seconds_count", "sentence"] == 2
    assert found["parley_stage_seconds_count", "caption"] >= 2
    for stage in ("dedup", "sentences", "context", "queue", "call", "commit"):
        assert found["parley_stage_seconds_count", stage] > 0, stage
    assert found["parley_call_retries_total",] == 2
    assert found["parley_calls_total", "answered"] == attempts - 2
    # Durations count from the append by Redis' clock, not from the recording's date.
    assert found["parley_stage_seconds_sum", "sentence"] < 60


async def test_calls_are_counted_by_how_they_ended(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_async: redis.asyncio.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    async def never(request: TranslationRequest) -> Translation:
        await asyncio.Event().wait()
        raise AssertionError

    meeting_id = await open_lane_meeting(meetings, aengine, clock=Clock.LIVE)
    talk = [NewEvent(f"e{k}", event.payload) for k, event in enumerate(TALK)]
    await append_events(meetings, meeting_id, talk)
    with running_lane(postgres_url, redis_url, "live-1", never, kind="live", capacity=1, deadline=3):
        await wait_until(lambda: len(query_rows(engine, "select 1 from captions where reason is not null")) == 2)
    found = await lane_values(redis_async, "lane/live-1")
    assert found["parley_calls_total", "deadline"] == 1
    assert found["parley_calls_total", "capacity"] == 1
    assert ("parley_stage_seconds_count", "caption") not in found


async def test_a_sentence_is_one_trace_without_transcript_text(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_async: redis.asyncio.Redis,
    postgres_url: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with otlp_collector() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        meeting_id = await open_lane_meeting(meetings, aengine)
        await append_events(meetings, meeting_id, TALK)
        with running_lane(postgres_url, redis_url, "batch-1"):
            await wait_until(ended_without_pending(engine, meeting_id))
    sentences = query_rows(engine, "select id, revision from sentences")
    assert len(sentences) == 2
    assert {span.trace for span in receiver.spans} == {
        f"{trace_id(str(meeting_id), sentence_id):032x}" for sentence_id, _ in sentences
    }
    for sentence_id, revision in sentences:
        spans = [span for span in receiver.spans if span.attributes["parley.sentence"] == sentence_id]
        (root,) = (span for span in spans if span.name == "sentence")
        assert root.id == f"{root_span_id(str(meeting_id), sentence_id):016x}"
        children = [span for span in spans if span is not root]
        assert {span.parent for span in children} == {root.id}
        assert {span.name for span in children} == {"log", "operators", "queue", "call", "commit"}
        assert {span.attributes["parley.revision"] for span in children if span.name == "log"} >= {revision}
        assert [s.attributes["parley.language"] for s in spans if s.attributes.get("parley.status") == "translated"]
        assert all(span.started_ns >= root.started_ns for span in children)
    everything = b"".join(receiver.bodies).lower()
    for word in (b"xylophone", b"zebedee", b"begin"):
        assert word not in everything


async def test_the_backfill_is_measured_and_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = ProcessMetrics("maintenance")
    request = TranslationRequest("default", "m", "1.0", 3, "pt", "en", SECRET)
    with otlp_collector() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        traces = open_traces(metrics)
        answer = await with_telemetry(translate_to_capitals, metrics, traces)(request)
        traces.close()
    assert answer.status is CaptionStatus.TRANSLATED
    (span,) = receiver.spans
    assert (span.name, span.parent) == ("backfill", f"{root_span_id('m', '1.0'):016x}")
    assert span.attributes["parley.status"] == "translated"
    assert "parley_stage_seconds_count" in {s.name for metric in metrics.collect() for s in metric.samples}


async def test_the_maintenance_actor_publishes_its_metrics(
    redis_async: redis.asyncio.Redis, postgres_url: str, redis_url: str
) -> None:
    maintenance = MaintenanceActor(postgres_url, redis_url, {})
    running_maintenance = asyncio.create_task(maintenance.run())
    await asyncio.sleep(0)
    await maintenance.stop()
    await running_maintenance
    assert "maintenance" in merge_snapshots(await read_snapshots(redis_async)).started_at


async def sentence_count(stage: ApiHarness) -> dict[str, float]:
    """Return the number of the API's measurements of each stage so far."""
    # Older snapshots are deleted, because the next snapshot is cumulative.
    for name in stage.redis.zrange(redis_keys.measured_processes(), 0, -1):
        stage.redis.delete(redis_keys.metrics_snapshot(name))
    async with asyncio.timeout(60):
        while True:
            found = sample_values((await stage.http.get("/metrics")).text)
            if any(key[0] == "parley_process_start_time_seconds" for key in found):
                break
            await asyncio.sleep(0.1)
    counts = {"arrival": 0.0, "push": 0.0}
    return counts | {key[2]: count for key, count in found.items() if key[0] == "parley_stage_seconds_count"}


async def next_stored_event(socket: websockets.ClientConnection) -> int:
    """Return the `seq` of the next stored event."""
    while (seq := json.loads(await socket.recv()).get("seq")) is None:
        pass
    return seq


# An earlier test's API may be included in the counts, and end meanwhile.
@pytest.mark.slow
async def test_the_api_measures_arrivals_and_pushes(stage: ApiHarness) -> None:
    meeting_id = await stage.create_meeting()
    before = await sentence_count(stage)
    chunk = {"chunk_id": "1", "speaker": "A", "text": "Hi.", "start": 0, "end": 1}
    await stage.http.post(f"/api/meetings/{meeting_id}/events", json={"events": [{"payload": chunk}]})
    url = f"ws://{stage.address}/api/meetings/{meeting_id}/events"
    async with websockets.connect(url) as socket:
        # The first message means that the subscription is complete.
        await socket.recv()
        payloads = ("sentence", {"id": "1.0", "text": "Hi."}), ("status", {"status": "live"})
        events = [
            OutboxEvent("default", meeting_id, seq, kind, payload) for seq, (kind, payload) in enumerate(payloads, 1)
        ]
        # Published before they are stored: else the server could read them from Postgres before they are published.
        publish_events(stage.redis, events, time.time())
        assert [await next_stored_event(socket), await next_stored_event(socket)] == [1, 2]
        assert stage.store_events(meeting_id, *payloads) == events
        # An event of the relay has no commit time, and is not measured.
        publish_events(stage.redis, stage.store_events(meeting_id, ("status", {"status": "live"})))
        assert await next_stored_event(socket) == 3
    # An event that a later client gets from Postgres is not measured either.
    async with websockets.connect(f"{url}?after=1") as socket:
        assert await next_stored_event(socket) == 2
    # The last event is measured shortly after it was sent.
    async with asyncio.timeout(120):
        while (after := await sentence_count(stage))["push"] < before["push"] + 2:
            pass
    assert (after["arrival"] - before["arrival"], after["push"] - before["push"]) == (1, 2)
