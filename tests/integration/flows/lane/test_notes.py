"""Running notes of a lane: requested, written, failed, and written again when a sentence changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
import redis
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.jobs import NoteWriter
from flows.jobs.note_writer import MAX_FAILURES
from operators.entries import SpeakerRenamed
from operators.errors import DeferredError, UnavailableError
from operators.insight_requests import Insight
from operators.note_requests import NoteRequest
from storage import redis_keys
from storage.ingest.meeting_service import MeetingService
from storage.redis_log.event_log import LogWriter
from tests.harness.api.intelligence_engines import serve_intelligence
from tests.harness.lane.event_description import check_events
from tests.harness.lane.threaded_lane import (
    append_events,
    chunk_event,
    end_event,
    open_lane_meeting,
    query_rows,
    running_lane,
    wait_until,
)

pytestmark = pytest.mark.usefixtures("clean_database")

SENTENCES = ["Good morning.", "Yes.", "Let us begin.", "Now.", "First the budget."]
TALK = [
    chunk_event(k, f"c{k}", "Ann" if k % 2 else "Bob", words, k * 10.0, k * 10.0 + 1, k * 10.0 + 1)
    for k, words in enumerate(SENTENCES, 1)
]
END = end_event(100.0)


def make_insight(words: str) -> Insight:
    return Insight(words, None, "notes 1", 10, 5, 1, "stop")


async def join_sentences(request: NoteRequest) -> Insight:
    """Write a note that repeats its sentences."""
    return make_insight(" ".join(f"{sentence.speaker}: {sentence.text}" for sentence in request.sentences))


def note_rows(engine: Engine, meeting_id: UUID) -> list[tuple[Any, ...]]:
    query = "select status, revision, text, outdated from notes where meeting_id = :id order by start"
    return query_rows(engine, query, id=meeting_id)


def all_written(engine: Engine, meeting_id: UUID) -> Callable[[], bool]:
    query = (
        "select 1 from meetings m where m.id = :id and m.status = 'ended' and not exists"
        " (select 1 from notes n where n.meeting_id = m.id and (n.status <> 'ready' or n.outdated))"
    )
    return lambda: bool(query_rows(engine, query, id=meeting_id))


async def write_all(writer: NoteWriter) -> int:
    """Write due notes until none is left, and return how often some were due."""
    rounds = 0
    while await writer.start_due():
        await writer.finish_running()
        rounds += 1
    return rounds


def make_due(engine: Engine) -> None:
    """End the pauses after which notes are written."""
    with engine.begin() as connection:
        connection.exec_driver_sql("update notes set due_at = now() where due_at is not null")


@pytest.fixture
def meetings(aengine: AsyncEngine, redis_async: Any) -> MeetingService:
    return MeetingService(aengine, LogWriter(redis_async))


@pytest.fixture
async def meeting_id(meetings: MeetingService, aengine: AsyncEngine) -> UUID:
    return await open_lane_meeting(meetings, aengine, notes=True, note_sentences=2)


WRITTEN = [
    ("ready", 1, "Ann: Good morning. Bob: Yes.", False),
    ("ready", 1, "Ann: Let us begin. Bob: Now.", False),
    ("ready", 1, "Ann: First the budget.", False),
]


async def test_notes_are_written_while_the_meeting_runs(
    meetings: MeetingService,
    meeting_id: UUID,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    with running_lane(postgres_url, redis_url, "batch-1", write_note=join_sentences):
        await append_events(meetings, meeting_id, TALK)
        await wait_until(lambda: [row[2] for row in note_rows(engine, meeting_id)] == [row[2] for row in WRITTEN[:2]])
        await append_events(meetings, meeting_id, [END])
        await wait_until(all_written(engine, meeting_id))
    assert note_rows(engine, meeting_id) == WRITTEN
    assert query_rows(engine, "select count(distinct sentence_id) from note_sentences") == [(len(SENTENCES),)]
    stored = query_rows(engine, "select engine, prompt_tokens, completion_tokens, language, prompt_version from notes")
    assert set(stored) == {("notes 1", 10, 5, "pt", 1)}
    events = query_rows(engine, "select payload from outbox where kind = 'note' order by seq")
    check_events([{"kind": "note", "payload": payload} for (payload,) in events])
    assert [payload["status"] for (payload,) in events].count("pending") == len(WRITTEN)
    assert [payload["text"] for (payload,) in events if payload["status"] == "ready"] == [row[2] for row in WRITTEN]
    assert events[0][0]["sentences"] == ["2.0", "3.0"]
    reported = [fields["event"] for _, fields in redis_sync.xrange(redis_keys.INTELLIGENCE_STREAM)]
    assert sorted(reported) == ["auto_note_generated"] * 3 + ["auto_note_requested"] * 3


@pytest.mark.parametrize(
    ("error", "status"),
    [(RuntimeError("boom"), "failed"), (DeferredError("no engine"), "pending")],
    ids=["an engine that fails", "no engine"],
)
async def test_the_job_writes_what_the_lane_could_not(
    meetings: MeetingService,
    meeting_id: UUID,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
    error: Exception,
    status: str,
) -> None:
    async def fail(request: NoteRequest) -> Insight:
        raise error

    await append_events(meetings, meeting_id, [*TALK, END])
    is_released = "select count(*) from notes where due_at <= now()"
    with running_lane(postgres_url, redis_url, "batch-1", write_note=fail):
        await wait_until(lambda: query_rows(engine, is_released) == [(3,)])
    assert {row[0] for row in note_rows(engine, meeting_id)} == {status}
    writer = NoteWriter(engine, redis_sync, join_sentences)
    await write_all(writer)
    assert note_rows(engine, meeting_id) == WRITTEN


async def test_a_killed_lane_loses_no_note(
    meetings: MeetingService,
    meeting_id: UUID,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    await append_events(meetings, meeting_id, [*TALK, END])
    # A lane that writes no notes is one that died after the commit.
    with running_lane(postgres_url, redis_url, "batch-1"):
        await wait_until(lambda: len(note_rows(engine, meeting_id)) == len(WRITTEN))
    writer = NoteWriter(engine, redis_sync, join_sentences)
    assert await writer.start_due() == 0, "the lane may still be at work"
    make_due(engine)
    await write_all(writer)
    assert note_rows(engine, meeting_id) == WRITTEN


async def test_a_changed_sentence_changes_its_note(
    meetings: MeetingService,
    meeting_id: UUID,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    writer = NoteWriter(engine, redis_sync, join_sentences)
    with running_lane(postgres_url, redis_url, "batch-1", write_note=join_sentences):
        await append_events(meetings, meeting_id, TALK)
        await wait_until(lambda: len(note_rows(engine, meeting_id)) == 2)
        await append_events(meetings, meeting_id, [chunk_event(10, "c2", "Bob", "No.", 20.0, 21.0, 60.0)])
        await wait_until(lambda: note_rows(engine, meeting_id)[0][3])
        assert note_rows(engine, meeting_id)[1] == WRITTEN[1]
        # It waits until the sentence has settled.
        assert await writer.start_due() == 0
        make_due(engine)
        assert await write_all(writer) == 1
        assert note_rows(engine, meeting_id)[0] == ("ready", 2, "Ann: Good morning. Bob: No.", False)
        # A rename, and the removal of a sentence, change it as well.
        renamed = SpeakerRenamed(speaker="Ann", new_speaker="Anna")
        await meetings.edit_transcript("default", meeting_id, renamed)
        await append_events(meetings, meeting_id, [chunk_event(11, "c2", "Bob", "", 20.0, 21.0, 61.0)])
        await append_events(meetings, meeting_id, [END])
        # The last note was requested after the rename.
        states = "select array_agg(outdated order by start) from notes where status = 'ready'"
        await wait_until(lambda: query_rows(engine, states) == [([True, True, False],)])
    make_due(engine)
    await write_all(writer)
    assert [row[2] for row in note_rows(engine, meeting_id)] == [
        "Anna: Good morning.",
        "Anna: Let us begin. Bob: Now.",
        "Anna: First the budget.",
    ]
    revisions = query_rows(
        engine, "select r.text from note_revisions r join notes n on n.id = r.note_id order by n.start"
    )
    assert [words for (words,) in revisions][:3] == [
        "Ann: Good morning. Bob: Yes.",
        "Ann: Good morning. Bob: No.",
        "Anna: Good morning.",
    ]


async def test_a_sentence_that_returns_while_its_note_is_written_changes_the_note_again(
    meetings: MeetingService,
    meeting_id: UUID,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    presence = "select revision, retracted from sentences where id = '3.0'"

    async def return_meanwhile(request: NoteRequest) -> Insight:
        if query_rows(engine, presence) == [(2, True)]:
            await append_events(meetings, meeting_id, [chunk_event(11, "c2", "Bob", "Yes.", 20.0, 21.0, 61.0)])
            await wait_until(lambda: query_rows(engine, presence) == [(3, False)])
        return await join_sentences(request)

    with running_lane(postgres_url, redis_url, "batch-1", write_note=join_sentences):
        await append_events(meetings, meeting_id, TALK)
        await wait_until(lambda: [row[0] for row in note_rows(engine, meeting_id)] == ["ready"] * 2)
        await append_events(meetings, meeting_id, [chunk_event(10, "c2", "Bob", "", 20.0, 21.0, 60.0)])
        await wait_until(lambda: query_rows(engine, presence) == [(2, True)])
        writer = NoteWriter(engine, redis_sync, return_meanwhile)
        make_due(engine)
        assert await writer.start_due() == 1
        await writer.finish_running()
        assert note_rows(engine, meeting_id)[0] == ("ready", 2, "Ann: Good morning.", True)
        make_due(engine)
        await write_all(writer)
    assert note_rows(engine, meeting_id)[0] == ("ready", 3, "Ann: Good morning. Bob: Yes.", False)


async def test_failures_are_bounded_and_outages_are_not(
    meetings: MeetingService,
    meeting_id: UUID,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    failure: Exception = UnavailableError("away")

    async def fail(request: NoteRequest) -> Insight:
        raise failure

    await append_events(meetings, meeting_id, [*TALK[:2], END])
    with running_lane(postgres_url, redis_url, "batch-1"):
        await wait_until(lambda: len(note_rows(engine, meeting_id)) == 1)
    writer = NoteWriter(engine, redis_sync, fail)
    for _ in range(MAX_FAILURES + 2):
        make_due(engine)
        assert await write_all(writer) == 1
    assert query_rows(engine, "select status, failures from notes") == [("failed", 0)]
    failure = RuntimeError("boom")
    for _ in range(MAX_FAILURES + 2):
        make_due(engine)
        assert await write_all(writer) == 1
    state = "select failures >= :most, due_at > now() + interval '30 minutes', reason from notes"
    assert query_rows(engine, state, most=MAX_FAILURES) == [(True, True, "the engine failed: RuntimeError")]
    reported = [fields["event"] for _, fields in redis_sync.xrange(redis_keys.INTELLIGENCE_STREAM)]
    assert reported == ["auto_note_requested", "auto_note_failed", "auto_note_failed"]


async def test_notes_are_on_if_an_engine_serves_insights(
    meetings: MeetingService, aengine: AsyncEngine, engine: Engine
) -> None:
    async def open_and_read(**config: Any) -> Any:
        opened = await open_lane_meeting(meetings, aengine, **config)
        return query_rows(engine, "select config -> 'notes' from meetings where id = :id", id=opened)[0][0]

    assert await open_and_read() is False
    serve_intelligence(engine)
    assert await open_and_read() is True
    assert await open_and_read(notes=False) is False
