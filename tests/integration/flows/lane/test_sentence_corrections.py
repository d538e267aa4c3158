"""Corrections of sentences by a lane: stored sentences, captions, notes' sentences and live events."""

from __future__ import annotations

import threading
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
import redis
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.jobs.backfill import Backfill
from flows.lane import committer
from operators.entries import SentenceCorrected
from storage.batch_commit import lane_commit
from storage.ingest.meeting_service import MeetingService
from storage.redis_log.event_log import LogWriter, NewEvent
from tests.harness.lane.event_description import check_events
from tests.harness.lane.threaded_lane import (
    RECORDING_START_MS,
    append_events,
    chunk_event,
    end_event,
    open_lane_meeting,
    query_rows,
    running_lane,
    translate_to_capitals,
    wait_until,
)
from tests.integration.flows.lane.test_notes import join_sentences

pytestmark = pytest.mark.usefixtures("clean_database")


def correct_event(k: int, sentence_id: str, previous: str, new: str, at_s: float, **fields: Any) -> NewEvent:
    correction = SentenceCorrected(sentence_id=sentence_id, previous_text=previous, text=new, **fields)
    return NewEvent(f"s{k}", correction, RECORDING_START_MS + round(at_s * 1000))


# The state releases the first two sentences before the corrections, not the others.
TALK = [
    chunk_event(1, "c1", "Ann", "Good mourning.", 0.0, 1.0, 1.2),
    chunk_event(2, "c2", "Bob", "Yes.", 2.0, 2.5, 2.9),
    chunk_event(3, "c3", "Ann", "Let us begin.", 200.0, 201.0, 201.0),
    chunk_event(4, "c4", "Bob", "Now.", 400.0, 401.0, 401.0),
    chunk_event(5, "c5", "Ann", "Frist the budget.", 402.0, 403.0, 403.0),
]
CORRECTIONS = [
    correct_event(1, "2.0", "Good mourning.", "Good morning.", 410.0),
    correct_event(2, "6.0", "Frist the budget.", "First the budget.", 411.0),
    # Later, the source revises the corrected sentence.
    chunk_event(6, "c5", "Ann", "Frist the budgets.", 402.0, 403.0, 412.0),
    # Two users saw the same text: the second one's correction changes nothing.
    correct_event(3, "2.0", "Good mourning.", "Hi.", 413.0),
    correct_event(4, "6.0", "Frist the budget.", "Hi.", 414.0),
    # One goes back to the source's text.
    correct_event(5, "3.0", "Yes.", "No.", 415.0),
    correct_event(6, "3.0", "No.", "Yes.", 416.0, restores_source=True),
    end_event(440.0),
]
CORRECTED = [
    ("Good morning.", "Good mourning.", 2),
    ("Yes.", None, 3),
    ("Let us begin.", None, 1),
    ("Now.", None, 1),
    ("First the budget.", "Frist the budgets.", 2),
]
IS_ENDED = "select status = 'ended' from meetings where id = :id"


@pytest.fixture
def meetings(aengine: AsyncEngine, redis_async: Any) -> MeetingService:
    return MeetingService(aengine, LogWriter(redis_async))


def sentences(engine: Engine, meeting_id: UUID) -> list[tuple[Any, ...]]:
    query = (
        "select text, original_text, revision from sentences where meeting_id = :id and not retracted order by start"
    )
    return query_rows(engine, query, id=meeting_id)


async def check_outcome(engine: Engine, redis_sync: redis.Redis, meeting_id: UUID) -> None:
    """Check the stored rows and events, once the backfill has translated the sentences that only storage had."""
    assert sentences(engine, meeting_id) == CORRECTED
    backfill = Backfill(engine, redis_sync, translate_to_capitals)
    with engine.begin() as connection:
        # Captions of a lane that died wait for longer than the test.
        query = "update captions set due_at = now() where meeting_id = :id and status = 'pending'"
        connection.execute(text(query), {"id": meeting_id})
    while await backfill.run_once():
        pass
    captions = query_rows(
        engine,
        "select c.text, c.status, c.revision = s.revision from captions c join sentences s"
        " on s.meeting_id = c.meeting_id and s.id = c.sentence_id where c.meeting_id = :id order by s.start",
        id=meeting_id,
    )
    assert captions == [(f"pt:{shown.upper()}", "translated", True) for shown, _, _ in CORRECTED]
    (counters,) = query_rows(engine, "select counters from meetings where id = :id", id=meeting_id)
    assert counters[0]["conflicting"] == 2
    query = "select seq, kind, payload from outbox where meeting_id = :id order by seq"
    events = query_rows(engine, query, id=meeting_id)
    assert [seq for seq, _, _ in events] == list(range(1, len(events) + 1))
    check_events([{"kind": kind, "seq": seq, "payload": payload} for seq, kind, payload in events])
    last = {payload["id"]: payload for _, kind, payload in events if kind == "sentence"}
    shown = [(each["text"], each["original_text"], each["revision"]) for each in last.values()]
    assert sorted(shown) == sorted(CORRECTED)
    assert {each["corrected"] for each in last.values() if each["original_text"]} == {True}


@pytest.mark.parametrize("stored_first", [True, False], ids=["after a commit", "in one batch"])
async def test_corrections_reach_sentences_captions_and_events(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
    stored_first: bool,
) -> None:
    meeting_id = await open_lane_meeting(meetings, aengine)
    await append_events(meetings, meeting_id, TALK if stored_first else [*TALK, *CORRECTIONS])
    with running_lane(postgres_url, redis_url, "batch-1"):
        if stored_first:
            await wait_until(lambda: len(sentences(engine, meeting_id)) >= 4)
            await append_events(meetings, meeting_id, CORRECTIONS)
        await wait_until(lambda: query_rows(engine, IS_ENDED, id=meeting_id) == [(True,)])
    await check_outcome(engine, redis_sync, meeting_id)


@pytest.mark.usefixtures("unhurried")
async def test_a_lane_that_is_stopped_at_any_entry_gives_the_same_rows(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    meeting_id = await open_lane_meeting(meetings, aengine)
    for event in [*TALK, *CORRECTIONS]:
        await append_events(meetings, meeting_id, [event])
        with running_lane(postgres_url, redis_url, "batch-1"):
            if event is CORRECTIONS[-1]:
                await wait_until(lambda: query_rows(engine, IS_ENDED, id=meeting_id) == [(True,)])
    await check_outcome(engine, redis_sync, meeting_id)


@pytest.mark.parametrize(
    ("module", "name"),
    [(lane_commit, "mark_captions_pending"), (committer, "publish_events")],
    ids=["within the transaction", "after the transaction"],
)
async def test_a_lane_that_dies_during_a_correction_gives_the_same_rows(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
    module: ModuleType,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    meeting_id = await open_lane_meeting(meetings, aengine)
    call = getattr(module, name)
    may_die = threading.Event()

    def die_once(*arguments: Any) -> None:
        if may_die.is_set():
            may_die.clear()
            raise RuntimeError("the lane died")
        call(*arguments)

    monkeypatch.setattr(module, name, die_once)
    await append_events(meetings, meeting_id, TALK)
    with pytest.raises(RuntimeError, match="the lane died"), running_lane(postgres_url, redis_url, "batch-1") as lane:
        await wait_until(lambda: len(sentences(engine, meeting_id)) >= 4)
        may_die.set()
        await append_events(meetings, meeting_id, CORRECTIONS)
        await wait_until(lane.has_ended.is_set)
    with running_lane(postgres_url, redis_url, "batch-1"):
        await wait_until(lambda: query_rows(engine, IS_ENDED, id=meeting_id) == [(True,)])
    await check_outcome(engine, redis_sync, meeting_id)


async def test_a_later_generation_corrects_a_sentence_of_the_first(
    meetings: MeetingService, aengine: AsyncEngine, engine: Engine, postgres_url: str, redis_url: str
) -> None:
    meeting_id = await open_lane_meeting(meetings, aengine, targets=())
    correction = correct_event(1, "2.0", "Good mourning.", "Good morning.", 3000.0)
    await append_events(meetings, meeting_id, [TALK[0], correction, end_event(3010.0)])
    with running_lane(postgres_url, redis_url, "batch-1"):
        await wait_until(lambda: query_rows(engine, IS_ENDED, id=meeting_id) == [(True,)])
    assert sentences(engine, meeting_id) == CORRECTED[:1]
    assert query_rows(engine, "select generation from meetings where id = :id", id=meeting_id) == [(2,)]


async def test_a_correction_of_a_released_sentence_makes_its_note_outdated(
    meetings: MeetingService, aengine: AsyncEngine, engine: Engine, postgres_url: str, redis_url: str
) -> None:
    meeting_id = await open_lane_meeting(meetings, aengine, targets=(), notes=True, note_sentences=2)
    notes = "select text, outdated from notes where meeting_id = :id and status = 'ready' order by start"
    await append_events(meetings, meeting_id, TALK)
    with running_lane(postgres_url, redis_url, "batch-1", write_note=join_sentences):
        await wait_until(lambda: len(query_rows(engine, notes, id=meeting_id)) == 2)
        await append_events(meetings, meeting_id, CORRECTIONS[:1])
        await wait_until(lambda: query_rows(engine, notes, id=meeting_id)[0][1])
    first, *others = query_rows(engine, notes, id=meeting_id)
    assert first == ("Ann: Good mourning. Bob: Yes.", True)
    assert [outdated for _, outdated in others] == [False] * len(others)
