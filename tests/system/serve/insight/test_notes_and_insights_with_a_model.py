"""Running notes and insights end to end, with a real small model in llama.cpp: from chunks to rows.

The model is far too small to be right. It is asserted that all that was said is in a note, and that rows name existing sentences.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
import redis
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.jobs import InsightWriter, NoteWriter
from operators.insight_requests import Insight
from operators.insights.templates import default_templates
from operators.note_requests import NoteRequest, note_insight_request
from serve.engines.local.llamacpp import LlamaCppEngine
from serve.insight.insight_service import InsightService
from storage.ingest.meeting_service import MeetingService
from storage.insights import insight_queries
from storage.redis_log.event_log import LogWriter
from tests.harness.lane.threaded_lane import (
    append_events,
    chunk_event,
    end_event,
    open_lane_meeting,
    query_rows,
    running_lane,
    wait_until,
)
from tests.harness.processes.smollm2_vllm import LLAMACPP_ARGUMENTS, gguf_path, needs_vllm

pytestmark = [needs_vllm, pytest.mark.main_path, pytest.mark.timeout(600), pytest.mark.usefixtures("clean_database")]

WORDS = [
    "Good morning, we have two points today.",
    "The first one is the budget for the second quarter.",
    "I will send it to the customer before Friday.",
    "Good, and who talks to the designer about the logo?",
    "I will do that tomorrow.",
]
TALK = [
    chunk_event(k, f"c{k}", "Ann" if k % 2 else "Bob", words, k * 10.0, k * 10.0 + 3, k * 10.0 + 3)
    for k, words in enumerate(WORDS, 1)
]


@pytest.fixture(scope="module")
async def service() -> AsyncIterator[InsightService]:
    service = InsightService(lambda: LlamaCppEngine(gguf_path(), LLAMACPP_ARGUMENTS), 4096)
    yield service
    await service.close()


@pytest.fixture
async def meeting_id(aengine: AsyncEngine, redis_sync: redis.Redis, redis_async: Any) -> UUID:
    """A meeting with its chunks in the log. `redis_sync` has emptied the log before."""
    meetings = MeetingService(aengine, LogWriter(redis_async))
    meeting_id = await open_lane_meeting(meetings, aengine, notes=True, note_sentences=2, note_language="en")
    await append_events(meetings, meeting_id, TALK)
    return meeting_id


async def test_a_model_writes_notes_while_the_meeting_runs(
    service: InsightService,
    meeting_id: UUID,
    aengine: AsyncEngine,
    engine: Engine,
    redis_async: Any,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    loop = asyncio.get_running_loop()

    async def write_note(request: NoteRequest) -> Insight:
        # The lane calls from its own thread, and the engine belongs to this loop.
        answer = asyncio.run_coroutine_threadsafe(service.answer(note_insight_request(request)), loop)
        return await asyncio.wrap_future(answer)

    ready = "select count(*) from notes where meeting_id = :id and status = 'ready' and text <> '' and completion_tokens > 0"
    with running_lane(postgres_url, redis_url, "batch-1", write_note=write_note):
        await wait_until(lambda: query_rows(engine, ready, id=meeting_id) == [(2,)], 120)
        assert query_rows(engine, "select status from meetings") == [("live",)]
        meetings = MeetingService(aengine, LogWriter(redis_async))
        changed = chunk_event(10, "c2", "Bob", "The first one is the new logo.", 20.0, 23.0, 60.0)
        await append_events(meetings, meeting_id, [changed, end_event(70.0)])
        await wait_until(lambda: query_rows(engine, ready, id=meeting_id) == [(3,)], 120)
    with engine.begin() as connection:
        connection.exec_driver_sql("update notes set due_at = now() where due_at is not null")
    writer = NoteWriter(engine, redis_sync, lambda request: service.answer(note_insight_request(request)))
    while await writer.start_due():
        await writer.finish_running()
    revisions = query_rows(engine, "select revision, outdated from notes order by start")
    assert revisions == [(2, False), (1, False), (1, False)]
    missing = "select text from sentences s where not exists (select from note_sentences n where n.sentence_id = s.id)"
    assert query_rows(engine, missing) == []


async def test_a_model_s_action_items_name_existing_sentences(
    service: InsightService, meeting_id: UUID, aengine: AsyncEngine, engine: Engine, postgres_url: str, redis_url: str
) -> None:
    with running_lane(postgres_url, redis_url, "batch-1"):
        await wait_until(lambda: query_rows(engine, "select count(*) from sentences") == [(len(WORDS) - 1,)])
    template = default_templates()["action_items"].model_copy(update={"default_max_tokens": 400})
    async with aengine.begin() as conn:
        [requested] = await insight_queries.request_insights(conn, "default", meeting_id, [template], "en", "")
    writer = InsightWriter(aengine, service.answer)
    await writer.start_due()
    await writer.finish_running()
    async with aengine.connect() as conn:
        insight = await insight_queries.read_insight(conn, "default", requested.id)
    # A model this small may not come to the end of its rows. What it writes as far as that always parses.
    assert insight.status == "ready" or insight.reason == "the answer did not come to its end in the tokens it may have"
    ids = {sentence_id for (sentence_id,) in query_rows(engine, "select id from sentences")}
    assert all(set(row["sentences"]) <= ids for row in insight.rows or [])
