"""A caption or a meeting that can't be stored fails alone: no other meeting fails, and the lane runs on."""

from __future__ import annotations

import random
import time
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.jobs import backfill as backfill_module
from flows.jobs.backfill import MAX_ATTEMPTS, Backfill
from operators.entries import ENTRY_SCHEMA, Chunk
from operators.errors import MalformedResponseError
from operators.meeting_config import Clock
from operators.translation_requests import CaptionStatus, Translation, TranslationRequest
from storage import redis_keys
from storage.ingest.meeting_service import MeetingService
from storage.redis_log.event_log import LogWriter, NewEvent
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

pytestmark = pytest.mark.usefixtures("clean_database")

POISON = ["Ol\x00á", "Ol\ud83dá", "\ude00", "a" * 200 + "\x00"]


def make_hostile_service(meeting_ids: set[str]) -> Any:
    """Make a service that answers these meetings with invalid characters, errors and malformed answers."""
    rng = random.Random(1)

    async def translate(request: TranslationRequest) -> Translation:
        if request.meeting_id not in meeting_ids:
            return await translate_to_capitals(request)
        match rng.randrange(5):
            case 0:
                raise ValueError("no translation")
            case 1:
                raise MalformedResponseError("no answer")
            case 2:
                return Translation(CaptionStatus.UNTRANSLATED, None, "shout\x00", rng.choice(POISON))
            case _:
                warnings = (rng.choice(POISON),)
                return Translation(CaptionStatus.TRANSLATED, rng.choice(POISON), "shout 1", warnings=warnings)

    return translate


def make_events(sentences: int) -> list[NewEvent]:
    lines = [
        chunk_event(k, f"c{k}", "Ann", f"Number {k} is said.", 2.0 * k, 2.0 * k + 1, 2.0 * k + 1)
        for k in range(1, sentences)
    ]
    return [*lines, end_event(2.0 * sentences + 5)]


@pytest.fixture
def meetings(aengine: AsyncEngine, redis_async: Any) -> MeetingService:
    return MeetingService(aengine, LogWriter(redis_async))


def caption_statuses(engine: Engine, meeting_id: UUID) -> set[str]:
    return {
        status for (status,) in query_rows(engine, "select status from captions where meeting_id = :id", id=meeting_id)
    }


async def test_hostile_answers_to_one_meeting_do_not_affect_others(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    ids = [await open_lane_meeting(meetings, aengine) for _ in range(10)]
    bad, *good = ids
    service = make_hostile_service({str(bad)})
    for meeting_id in ids:
        await append_events(meetings, meeting_id, make_events(20))
    # An error that ends the lane is raised at the end of this block.
    with running_lane(postgres_url, redis_url, "batch-1", service):
        await wait_until(ended_without_pending(engine, *good))
        await wait_until(
            lambda: query_rows(engine, "select status from meetings where id = :id", id=bad) == [("ended",)]
        )
    assert set().union(*(caption_statuses(engine, meeting_id) for meeting_id in good)) == {"translated"}
    dead_counter = "select counters ->> 'dead' from meetings where id = :id"
    [(dead_count,)] = query_rows(engine, dead_counter, id=bad)
    dead_letters = query_rows(
        engine, "select reason, fields ->> 'kind' from dead_letters where meeting_id = :id", id=bad
    )
    assert len(dead_letters) == int(dead_count) > 0
    assert set(dead_letters) == {("its translation can't be stored: it holds invalid characters", "caption")}
    # Failed captions are retried a bounded number of times, and end with the reason.
    backfill = Backfill(engine, redis_sync, service)
    for _ in range(50):
        await backfill.run_once()
        with engine.begin() as connection:
            connection.execute(text("update captions set due_at = now() where status = 'pending'"))
    assert caption_statuses(engine, bad) == {"untranslated"}
    reasons = {reason for (reason,) in query_rows(engine, "select reason from captions where meeting_id = :id", id=bad)}
    assert "its translation can't be stored: it holds invalid characters" in reasons
    assert query_rows(engine, "select 1 from captions where meeting_id = :id and text is not null", id=bad) == []
    log = query_rows(engine, "select seq from outbox where meeting_id = :id order by seq", id=bad)
    assert [seq for (seq,) in log] == list(range(1, len(log) + 1))


async def test_a_lane_calls_once_if_the_answer_is_malformed(
    meetings: MeetingService, aengine: AsyncEngine, engine: Engine, postgres_url: str, redis_url: str
) -> None:
    meeting_id = await open_lane_meeting(meetings, aengine)
    texts: list[str] = []

    async def malformed(request: TranslationRequest) -> Translation:
        texts.append(request.text)
        raise MalformedResponseError("no answer")

    await append_events(meetings, meeting_id, make_events(8))
    with running_lane(postgres_url, redis_url, "batch-1", malformed):
        await wait_until(lambda: query_rows(engine, "select count(*) from captions where reason is not null") == [(7,)])
    assert caption_statuses(engine, meeting_id) == {"pending"}
    assert len(texts) == len(set(texts)) == 7


async def test_a_poison_pending_caption_blocks_no_other_caption(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Pauses end only when this test ends them.
    monkeypatch.setattr(backfill_module, "FIRST_PAUSE_S", 3_600.0)

    async def broken(request: TranslationRequest) -> Translation:
        raise RuntimeError

    ids = [await open_lane_meeting(meetings, aengine) for _ in range(3)]
    bad, *good = ids
    for meeting_id in ids:
        await append_events(meetings, meeting_id, make_events(8))
    with running_lane(postgres_url, redis_url, "batch-1", broken):
        await wait_until(
            lambda: query_rows(engine, "select count(*) from captions where reason is not null") == [(21,)]
        )
    requests: list[TranslationRequest] = []

    async def poison(request: TranslationRequest) -> Translation:
        requests.append(request)
        if request.meeting_id != str(bad):
            return await translate_to_capitals(request)
        if request.text.startswith("Number 1 "):
            raise MalformedResponseError("no answer")
        return Translation(CaptionStatus.TRANSLATED, "a\x00b", "shout 1")

    backfill = Backfill(engine, redis_sync, poison)
    began = time.monotonic()
    while query_rows(engine, "select 1 from captions where status = 'pending' and failures = 0"):
        assert time.monotonic() - began < 60
        await backfill.run_once()
    assert set().union(*(caption_statuses(engine, meeting_id) for meeting_id in good)) == {"translated"}
    # The caption with the malformed answer is retried after growing pauses, and ends untranslated.
    failing = "select failures, extract(epoch from due_at - now()) from captions where status = 'pending'"
    pauses: list[float] = []
    while found := query_rows(engine, failing):
        [(failures, pause)] = found
        assert failures == len(pauses) + 1
        pauses.append(float(pause))
        with engine.begin() as connection:
            connection.execute(text("update captions set due_at = now() where status = 'pending'"))
        await backfill.run_once()
    assert len(pauses) == MAX_ATTEMPTS - 1
    assert all(later > 2 * earlier for earlier, later in pairwise(pauses))
    assert len([r for r in requests if r.text.startswith("Number 1 ") and r.meeting_id == str(bad)]) == MAX_ATTEMPTS
    reason = (
        "select reason from captions join sentences on id = sentence_id and sentences.meeting_id = captions.meeting_id"
    )
    [(why,)] = query_rows(
        engine, f"{reason} where sentences.text like 'Number 1 %' and captions.meeting_id = :id", id=bad
    )
    assert why == f"failed {MAX_ATTEMPTS} times: MalformedResponseError"


async def test_a_meeting_that_cannot_be_stored_fails_alone(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    good, bad = [await open_lane_meeting(meetings, aengine, clock=Clock.LIVE) for _ in range(2)]

    async def append_sentence(meeting_id: UUID, k: int) -> None:
        chunk = Chunk(chunk_id=f"c{k}", speaker="Ann", text=f"Number {k}.", start=2.0 * k, end=2.0 * k + 1)
        await meetings.append("default", meeting_id, [NewEvent(f"e{k}", chunk)])

    def caption_count(meeting_id: UUID) -> int:
        [(count,)] = query_rows(
            engine, "select count(*) from captions where meeting_id = :id and text is not null", id=meeting_id
        )
        return count

    with running_lane(postgres_url, redis_url, "live-1", kind="live"):
        for meeting_id in (good, bad):
            await append_sentence(meeting_id, 1)
        await wait_until(lambda: caption_count(good) == caption_count(bad) == 1)
        # An entry of a team that doesn't exist violates a constraint of the database.
        chunk = Chunk(chunk_id="c2", speaker="Ann", text="Number 2.", start=4, end=5)
        seconds, micros = redis_sync.time()  # type: ignore[misc]
        fields = {
            "schema": str(ENTRY_SCHEMA),
            "team_id": f"nobody-{uuid4()}",
            "meeting_id": str(bad),
            "n": "3",
            "event_id": "e2",
            "kind": "chunk",
            "arrived_at": str(seconds * 1000 + micros // 1000),
            "payload": chunk.model_dump_json(exclude_none=True),
        }
        redis_sync.xadd(redis_keys.lane_log("live-1"), fields)  # type: ignore[arg-type]
        await wait_until(
            lambda: query_rows(engine, "select status from meetings where id = :id", id=bad) == [("failed",)]
        )
        await append_sentence(good, 2)
        await wait_until(lambda: caption_count(good) == 2)
    [(reason, kept)] = query_rows(
        engine, "select reason, fields ->> 'sentences' from dead_letters where meeting_id = :id", id=bad
    )
    assert reason == "its content can't be stored"
    stored = {words for (words,) in query_rows(engine, "select text from sentences where meeting_id = :id", id=bad)}
    assert "Number 2." in stored or "Number 2." in kept, "no transcript text is lost"
    assert redis_sync.hget(redis_keys.meeting_log_state(str(bad)), "status") == "failed"
    # After a restart, the lane skips the failed meeting.
    with running_lane(postgres_url, redis_url, "live-1", kind="live"):
        await append_sentence(good, 3)
        await wait_until(lambda: caption_count(good) == 3)


async def test_an_unreadable_config_blocks_no_other_meetings_captions(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    async def broken(request: TranslationRequest) -> Translation:
        raise RuntimeError

    unreadable, good = [await open_lane_meeting(meetings, aengine) for _ in range(2)]
    for meeting_id in (unreadable, good):
        await append_events(meetings, meeting_id, make_events(4))
    with running_lane(postgres_url, redis_url, "batch-1", broken):
        await wait_until(lambda: query_rows(engine, "select count(*) from captions where reason is not null") == [(6,)])
    with engine.begin() as connection:
        connection.execute(
            text("update meetings set config = config || '{\"of_a_newer_release\": 1}' where id = :id"),
            {"id": unreadable},
        )
    backfill = Backfill(engine, redis_sync, translate_to_capitals)
    while await backfill.run_once():
        pass
    assert (caption_statuses(engine, unreadable), caption_statuses(engine, good)) == ({"pending"}, {"translated"})
    [(later,)] = query_rows(
        engine, "select bool_and(due_at > now() + interval '30 s') from captions where meeting_id = :id", id=unreadable
    )
    assert later
