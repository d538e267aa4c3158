"""flows/jobs/backfill.py: the backfill translates all pending captions."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.jobs import Backfill
from flows.jobs.backfill import MAX_ATTEMPTS, MAX_CALLS, MIN_CALLS
from operators.errors import UnavailableError
from operators.meeting_config import MeetingConfig
from operators.translation_requests import Translation, TranslationRequest
from storage.batch_commit.pending_captions import read_due_requests
from storage.ingest.meeting_service import MeetingService
from storage.redis_log.event_log import LogWriter
from tests.harness.lane.threaded_lane import (
    append_events,
    chunk_event,
    end_event,
    open_lane_meeting,
    query_rows,
    running_lane,
    translate_to_capitals,
    wait_until,
)
from tests.integration.flows.lane.test_lane import SENTENCES, TALK, event_rows

pytestmark = pytest.mark.usefixtures("clean_database")


@pytest.fixture
async def pending(
    aengine: AsyncEngine,
    engine: Engine,
    redis_async: Any,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> Any:
    """An ended meeting whose captions are all pending, because its lane got no translation."""

    async def broken(request: TranslationRequest) -> Translation:
        raise RuntimeError

    meetings = MeetingService(aengine, LogWriter(redis_async))
    meeting_id = await open_lane_meeting(meetings, aengine)
    await append_events(meetings, meeting_id, TALK)
    with running_lane(postgres_url, redis_url, "batch-1", broken):
        await wait_until(
            lambda: len(query_rows(engine, "select 1 from captions where reason is not null")) >= len(SENTENCES)
        )
    return meeting_id


async def test_pending_captions_are_translated_and_published(
    pending: Any, engine: Engine, redis_sync: redis.Redis
) -> None:
    requests: list[TranslationRequest] = []

    async def note(request: TranslationRequest) -> Translation:
        requests.append(request)
        return await translate_to_capitals(request)

    backfill = Backfill(engine, redis_sync, note)
    while await backfill.run_once():
        pass
    assert {status for (status,) in query_rows(engine, "select status from captions")} == {"translated"}
    assert {r.text for r in requests} == {words for _, words in SENTENCES}
    assert all(r.source_language == "en" for r in requests)
    budget = next(r for r in requests if r.text == "First the budget.")
    assert budget.context[-1].text in ("Yes.", "Shall we begin?")
    log = event_rows(engine, pending)
    assert [seq for seq, _, _ in log] == list(range(1, len(log) + 1))
    assert len([p for _, kind, p in log if kind == "caption" and p["status"] == "translated"]) == len(SENTENCES)
    assert await backfill.run_once() == 0


async def test_calls_are_retried_later_during_an_outage(pending: Any, engine: Engine, redis_sync: redis.Redis) -> None:
    async def away(request: TranslationRequest) -> Translation:
        raise UnavailableError("away")

    backfill = Backfill(engine, redis_sync, away)
    [(attempted_at,)] = query_rows(engine, "select now()")
    assert await backfill.run_once() == 0
    later = "select count(*) from captions where status = 'pending' and due_at >= :attempted_at + interval '1 second'"
    assert query_rows(engine, later, attempted_at=attempted_at) == [(len(SENTENCES),)], (
        "other captions get their turn meanwhile"
    )
    assert {status for (status,) in query_rows(engine, "select status from captions")} == {"pending"}


async def test_a_sentence_that_breaks_the_service_ends_untranslated_with_the_reason(
    pending: Any, engine: Engine, redis_sync: redis.Redis
) -> None:
    async def breaks_on_yes(request: TranslationRequest) -> Translation:
        if request.text == "Yes.":
            raise ValueError(request.text)
        return await translate_to_capitals(request)

    backfill = Backfill(engine, redis_sync, breaks_on_yes)
    for _ in range(MAX_ATTEMPTS + len(SENTENCES)):
        await backfill.run_once()
        # End the pause after which a failed caption is retried.
        with engine.begin() as connection:
            connection.execute(text("update captions set due_at = now() where status = 'pending'"))
    found = dict(query_rows(engine, "select s.text, c.status from captions c join sentences s on s.id = c.sentence_id"))
    assert found == {w: "untranslated" if w == "Yes." else "translated" for _, w in SENTENCES}
    [(words, reason)] = query_rows(engine, "select text, reason from captions where status = 'untranslated'")
    assert words is None
    assert reason == f"failed {MAX_ATTEMPTS} times: ValueError"


async def test_a_pending_caption_that_is_not_due_is_skipped(
    pending: Any, engine: Engine, redis_sync: redis.Redis
) -> None:
    with engine.begin() as connection:
        connection.execute(text("update captions set due_at = now() + interval '1 minute'"))
    assert await Backfill(engine, redis_sync, translate_to_capitals).run_once() == 0


async def test_a_pending_caption_of_an_older_revision_is_translated_for_the_current_one(
    pending: Any, engine: Engine, redis_sync: redis.Redis
) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("update sentences set revision = revision + 1, text = 'Yes indeed.' where text = 'Yes.'")
        )
    backfill = Backfill(engine, redis_sync, translate_to_capitals)
    while await backfill.run_once():
        pass
    translated = query_rows(
        engine,
        "select c.text, c.revision = s.revision from captions c join sentences s on s.id = c.sentence_id"
        " where s.text = 'Yes indeed.'",
    )
    assert translated == [("pt:YES INDEED.", True)]
    assert query_rows(engine, "select 1 from captions where status = 'pending'") == []


async def test_a_meeting_config_is_read_once_per_batch(
    pending: Any, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[MeetingConfig] = []

    class Noted(MeetingConfig):
        def model_post_init(self, context: object) -> None:
            read.append(self)

    monkeypatch.setattr("storage.batch_commit.pending_captions.MeetingConfig", Noted)
    with engine.begin() as connection:
        assert len(read_due_requests(connection, 100)) == len(SENTENCES) > 1
    assert len(read) == 1


class OutageService:
    """A translation service that records the highest number of calls in flight, and simulates outages."""

    def __init__(self) -> None:
        self.in_flight = self.max_in_flight = 0
        self.is_unavailable = False

    async def __call__(self, request: TranslationRequest) -> Translation:
        if self.is_unavailable:
            raise UnavailableError("away")
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        answer = await translate_to_capitals(request)
        self.in_flight -= 1
        return answer


@pytest.fixture
async def many_pending(
    aengine: AsyncEngine, engine: Engine, redis_async: Any, redis_sync: redis.Redis, postgres_url: str, redis_url: str
) -> None:
    """Two hundred pending captions of an ended meeting."""

    async def broken(request: TranslationRequest) -> Translation:
        raise RuntimeError

    meetings = MeetingService(aengine, LogWriter(redis_async))
    meeting_id = await open_lane_meeting(meetings, aengine)
    lines = [
        chunk_event(k, f"c{k}", "Ann", f"Number {k} is said.", 2.0 * k, 2.0 * k + 1, 2.0 * k + 1) for k in range(1, 201)
    ]
    await append_events(meetings, meeting_id, [*lines, end_event(500.0)])
    given_up = "select count(*) from captions where reason is not null"
    with running_lane(postgres_url, redis_url, "batch-1", broken):
        await wait_until(lambda: query_rows(engine, given_up) == [(len(lines),)])


@pytest.mark.usefixtures("many_pending")
async def test_batches_grow_while_the_service_answers_promptly(
    engine: Engine, redis_sync: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.jobs.backfill.PROMPT_S", 60.0)
    service = OutageService()
    backfill = Backfill(engine, redis_sync, service)
    peaks: list[int] = []
    while await backfill.run_once():
        peaks.append(service.max_in_flight)
    assert peaks[:5] == [MIN_CALLS, 2 * MIN_CALLS, 4 * MIN_CALLS, MAX_CALLS, MAX_CALLS]
    assert service.max_in_flight == MAX_CALLS
    assert query_rows(engine, "select distinct status from captions") == [("translated",)]


@pytest.mark.usefixtures("many_pending")
async def test_batches_shrink_if_the_service_is_slow_or_unavailable(
    engine: Engine, redis_sync: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = OutageService()
    backfill = Backfill(engine, redis_sync, service)
    monkeypatch.setattr("flows.jobs.backfill.PROMPT_S", 60.0)
    assert [await backfill.run_once() for _ in range(4)] == [MIN_CALLS, 2 * MIN_CALLS, 4 * MIN_CALLS, MAX_CALLS]
    monkeypatch.setattr("flows.jobs.backfill.PROMPT_S", 0.0)
    assert [await backfill.run_once() for _ in range(5)] == [
        MAX_CALLS,
        MAX_CALLS // 2,
        MAX_CALLS // 4,
        MIN_CALLS,
        MIN_CALLS,
    ]
    monkeypatch.setattr("flows.jobs.backfill.PROMPT_S", 60.0)
    assert [await backfill.run_once() for _ in range(2)] == [MIN_CALLS, 2 * MIN_CALLS]
    service.is_unavailable = True
    assert await backfill.run_once() == 0
    service.is_unavailable = False
    assert await backfill.run_once() == MIN_CALLS


@pytest.mark.parametrize("transient", [UnavailableError("away"), TimeoutError(), asyncio.CancelledError()], ids=repr)
async def test_outages_do_not_count_as_failed_attempts(
    pending: Any, engine: Engine, redis_sync: redis.Redis, transient: BaseException
) -> None:
    error, attempts = transient, Counter[str]()

    async def failing(request: TranslationRequest) -> Translation:
        attempts[request.sentence_id] += 1
        raise error

    backfill = Backfill(engine, redis_sync, failing)

    async def until_each_was_attempted(times: int) -> None:
        while len(attempts) < len(SENTENCES) or min(attempts.values()) < times:
            await backfill.run_once()
            with engine.begin() as connection:
                connection.execute(text("update captions set due_at = now() where status = 'pending'"))

    await until_each_was_attempted(MAX_ATTEMPTS)
    error = ValueError("once")
    attempts.clear()
    await until_each_was_attempted(1)
    assert query_rows(engine, "select distinct status from captions") == [("pending",)]
