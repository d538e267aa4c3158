"""A lane's requests to the translation service: glossary, style, context of both windows, and previous translation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.jobs.backfill import Backfill
from operators.entries import ConfigChanged
from operators.meeting_config import MeetingConfig, Term
from operators.translation_requests import GlossaryEntry, Translation, TranslationRequest
from storage.batch_commit.pending_captions import read_due_requests
from storage.ingest.meeting_service import MeetingService
from storage.postgres.lane_registry import ensure_lane
from storage.redis_log.event_log import LogWriter, NewEvent
from tests.harness.lane.threaded_lane import (
    RECORDING_START_MS,
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

pytestmark = pytest.mark.usefixtures("clean_database", "unhurried")

CONFIG = MeetingConfig(
    source_language="en",
    target_languages=("pt-BR",),
    context_sentences=1,
    context_of_speaker=1,
    glossary=(
        Term(term="road map", translations={"pt": "roteiro"}),
        Term(term="Parley", do_not_translate=True),
        Term(term="IT", translations={"pt": "TI"}, case_sensitive=True),
    ),
    style="formal",
)
GLOSSARY = (GlossaryEntry("IT", "TI"), GlossaryEntry("Parley", "Parley"), GlossaryEntry("road map", "roteiro"))
OPENING = [
    NewEvent("config", ConfigChanged(config=CONFIG), RECORDING_START_MS),
    chunk_event(1, "a", "Ann", "Here is the road map.", 0.0, 2.0, 2.0),
    chunk_event(2, "b", "Bob", "Ask IT about it.", 3.0, 4.0, 4.0),
    chunk_event(3, "c", "Bob", "They know.", 8.0, 9.0, 9.0),
]
LATER = [
    chunk_event(4, "d", "Ann", "Parley is ready.", 12.0, 13.0, 13.0),
    chunk_event(5, "d", "Ann", "Parley is nearly ready.", 12.0, 13.0, 20.0),
    chunk_event(6, "e", "Bob", "Good.", 26.0, 27.0, 27.0),
]
AFTER = [
    chunk_event(7, "d", "Ann", "Parley is very nearly ready.", 12.0, 13.0, 28.0),
    chunk_event(8, "f", "Ann", "And it is fast.", 32.0, 33.0, 33.0),
    end_event(50.0),
]


class RecordingService:
    """A translation service that answers in capitals, and records the answered requests."""

    def __init__(self) -> None:
        self.requests: list[TranslationRequest] = []

    async def __call__(self, request: TranslationRequest) -> Translation:
        answer = await translate_to_capitals(request)
        self.requests.append(request)
        return answer

    def last_request_for(self, words: str) -> TranslationRequest:
        """Return the last request with this text."""
        return [request for request in self.requests if request.text == words][-1]


def context_pairs(request: TranslationRequest) -> list[tuple[str, str | None]]:
    return [(quote.text, quote.translation) for quote in request.context]


async def test_requests_carry_the_config_and_the_previous_translations(
    aengine: AsyncEngine, engine: Engine, redis_async: Any, postgres_url: str, redis_url: str
) -> None:
    meetings = MeetingService(aengine, LogWriter(redis_async))
    meeting_id = await open_lane_meeting(meetings, aengine)
    first, second = RecordingService(), RecordingService()
    with running_lane(postgres_url, redis_url, "batch-1", first):
        for count, event in enumerate((*OPENING, *LATER)):
            await append_events(meetings, meeting_id, [event])
            # One event at a time, as in a live meeting. The next event makes each sentence stable.
            await wait_until(lambda stable=count - 1: len(first.requests) >= stable)
    assert all((r.glossary, r.style, r.source_language) == (GLOSSARY, "formal", "en") for r in first.requests)
    assert first.last_request_for("Here is the road map.").terms_in_text == (GlossaryEntry("road map", "roteiro"),)
    assert first.last_request_for("Ask IT about it.").terms_in_text == (GlossaryEntry("IT", "TI"),)
    assert first.last_request_for("They know.").terms_in_text == ()
    ready = first.last_request_for("Parley is ready.")
    assert context_pairs(ready) == [
        ("Here is the road map.", "pt-BR:HERE IS THE ROAD MAP."),
        ("They know.", "pt-BR:THEY KNOW."),
    ]
    assert ready.previous_translation is None
    assert first.last_request_for("Parley is nearly ready.").previous_translation == "pt-BR:PARLEY IS READY."
    # Another process makes the same requests for the other sentences, because translations are stored.
    with running_lane(postgres_url, redis_url, "batch-1", second):
        await append_events(meetings, meeting_id, AFTER)
        await wait_until(ended_without_pending(engine, meeting_id))
    fast = second.last_request_for("And it is fast.")
    assert (fast.glossary, fast.style, fast.previous_translation) == (GLOSSARY, "formal", None)
    ready = second.last_request_for("Parley is very nearly ready.")
    assert ready.previous_translation == "pt-BR:PARLEY IS NEARLY READY."
    assert context_pairs(ready) == context_pairs(first.last_request_for("Parley is nearly ready."))
    mine, good = context_pairs(fast)
    # If these are translated by then, the translations are of their current texts.
    assert mine[0] == "Parley is very nearly ready."
    assert mine[1] in (None, "pt-BR:PARLEY IS VERY NEARLY READY.")
    assert good in (("Good.", None), ("Good.", "pt-BR:GOOD."))


async def test_a_migrated_meeting_makes_the_same_requests(
    aengine: AsyncEngine, engine: Engine, redis_async: Any, postgres_url: str, redis_url: str
) -> None:
    meetings = MeetingService(aengine, LogWriter(redis_async))
    meeting_id = await open_lane_meeting(meetings, aengine)
    async with aengine.begin() as connection:
        await ensure_lane(connection, "batch-2", "batch")
    first, second = RecordingService(), RecordingService()
    with (
        running_lane(postgres_url, redis_url, "batch-1", first),
        running_lane(postgres_url, redis_url, "batch-2", second),
    ):
        await append_events(meetings, meeting_id, [*OPENING, *LATER[:2]])
        await wait_until(lambda: len(first.requests) >= len(OPENING))
        assert await meetings.move("default", meeting_id, "batch-2")
        await append_events(meetings, meeting_id, LATER[2:])
        await wait_until(lambda: len(second.requests) > 0)
        await append_events(meetings, meeting_id, [end_event(50.0)])
        await wait_until(ended_without_pending(engine, meeting_id))
    ready = second.last_request_for("Parley is nearly ready.")
    assert ready.previous_translation == "pt-BR:PARLEY IS READY."
    assert context_pairs(ready) == [
        ("Here is the road map.", "pt-BR:HERE IS THE ROAD MAP."),
        ("They know.", "pt-BR:THEY KNOW."),
    ]


async def test_the_backfill_makes_the_same_requests_with_stored_translations_as_context(
    aengine: AsyncEngine,
    engine: Engine,
    redis_async: Any,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    requests: list[TranslationRequest] = []

    async def broken(request: TranslationRequest) -> Translation:
        requests.append(request)
        raise RuntimeError

    meetings = MeetingService(aengine, LogWriter(redis_async))
    meeting_id = await open_lane_meeting(meetings, aengine)
    speech = [
        chunk_event(k, f"c{k}", "ABC"[k * k % 3], f"Number {k} is on the road map.", 4.0 * k, 4.0 * k + 1, 4.0 * k + 1)
        for k in range(1, 12)
    ]
    await append_events(meetings, meeting_id, [OPENING[0], *speech, end_event(90.0)])
    with running_lane(postgres_url, redis_url, "batch-1", broken):
        given_up = "select count(*) from captions where reason is not null"
        await wait_until(lambda: query_rows(engine, given_up) == [(len(speech),)])
    with engine.begin() as connection:
        connection.execute(text("update captions set due_at = now()"))
        due_requests = {request.sentence_id: request for request in read_due_requests(connection, 100)}
    lane_requests = {request.sentence_id: request for request in requests}
    assert due_requests == lane_requests
    assert len(due_requests) == len(speech)
    assert any(len(request.context) == 2 for request in due_requests.values())
    recorder = RecordingService()
    backfill = Backfill(engine, redis_sync, recorder)
    while await backfill.run_once():
        pass
    words = "Number 11 is on the road map."
    with engine.begin() as connection:
        set_pending = (
            "update captions c set status = 'pending', due_at = now() from sentences s where s.id = c.sentence_id"
        )
        connection.execute(text(f"{set_pending} and s.text = :words"), {"words": words})
    assert await backfill.run_once() == 1
    last = recorder.last_request_for(words)
    expected_context = lane_requests[last.sentence_id].context
    assert context_pairs(last) == [(quote.text, f"pt-BR:{quote.text.upper()}") for quote in expected_context]
    assert {replace(r, context=()) for r in recorder.requests} == {replace(r, context=()) for r in requests}
    # A translation with warnings is not attached.
    with engine.begin() as connection:
        connection.execute(text("update captions set warnings = '{number: 10}' where text like '%10%'"))
        connection.execute(text(f"{set_pending} and s.text = :words"), {"words": words})
    assert await backfill.run_once() == 1
    assert ("Number 10 is on the road map.", None) in context_pairs(recorder.last_request_for(words))
