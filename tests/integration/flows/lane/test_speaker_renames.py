"""Renames of speakers by a lane: stored sentences, captions, live events, and later chunks."""

from __future__ import annotations

import asyncio
import threading
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
import redis
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.lane import committer
from operators.entries import Chunk, SpeakerRenamed
from operators.translation_requests import Translation, TranslationRequest
from storage.batch_commit import lane_commit
from storage.ingest.meeting_service import MeetingService
from storage.redis_log.event_log import LogWriter, NewEvent
from tests.harness.lane.event_description import check_events
from tests.harness.lane.threaded_lane import (
    RECORDING_START_MS,
    LiveSubscriber,
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


def rename_event(k: int, speaker: str, new: str, at_s: float) -> NewEvent:
    renamed = SpeakerRenamed(speaker=speaker, new_speaker=new)
    return NewEvent(f"r{k}", renamed, RECORDING_START_MS + round(at_s * 1000))


def labelled_chunk(k: int, speaker: str, words: str, at_s: float) -> NewEvent:
    chunk = Chunk(chunk_id=f"c{k}", speaker=speaker, speaker_id="x", text=words, start=at_s - 1, end=at_s)
    return NewEvent(f"e{k}", chunk, RECORDING_START_MS + round(at_s * 1000))


# The first two sentences are released from the state before the renames, the third one isn't.
TALK = [
    chunk_event(1, "c1", "Ann", "Good morning.", 0.0, 1.0, 1.2),
    chunk_event(2, "c2", "Bob", "Yes.", 2.0, 2.5, 2.9),
    chunk_event(3, "c3", "Ann", "Let us begin.", 200.0, 201.0, 201.0),
    chunk_event(4, "c4", "Bob", "Now.", 400.0, 401.0, 401.0),
    chunk_event(5, "c5", "Ann", "First the budget.", 402.0, 403.0, 403.0),
    rename_event(1, "Ann", "Anna", 410.0),
    chunk_event(6, "c6", "Ann", "It is good.", 412.0, 413.0, 413.0),
    rename_event(2, "Bob", "Anna", 420.0),
    chunk_event(7, "c7", "Bob", "And then", 430.0, 431.0, 431.0),
    chunk_event(8, "c8", "Ann", "the plan.", 431.0, 432.0, 432.0),
    end_event(440.0),
]
RENAMED = [
    ("Anna", "Good morning.", 2),
    ("Anna", "Yes.", 2),
    ("Anna", "Let us begin.", 2),
    ("Anna", "Now.", 2),
    ("Anna", "First the budget.", 2),
    ("Anna", "It is good.", 1),
    ("Anna", "And then the plan.", 1),
]


IS_ENDED = "select status = 'ended' from meetings where id = :id"


@pytest.fixture
def meetings(aengine: AsyncEngine, redis_async: Any) -> MeetingService:
    return MeetingService(aengine, LogWriter(redis_async))


def sentences(engine: Engine, meeting_id: UUID) -> list[tuple[Any, ...]]:
    query = "select speaker, text, revision from sentences where meeting_id = :id and not retracted order by start"
    return query_rows(engine, query, id=meeting_id)


def captions(engine: Engine, meeting_id: UUID) -> list[tuple[Any, ...]]:
    query = (
        "select c.text, c.status, c.revision = s.revision, c.version, c.attempts from captions c"
        " join sentences s on s.meeting_id = c.meeting_id and s.id = c.sentence_id"
        " where c.meeting_id = :id and not s.retracted order by s.start"
    )
    return query_rows(engine, query, id=meeting_id)


def events(engine: Engine, meeting_id: UUID) -> list[tuple[Any, ...]]:
    query = "select seq, kind, payload from outbox where meeting_id = :id order by seq"
    return query_rows(engine, query, id=meeting_id)


async def test_renames_reach_all_sentences_and_need_no_new_translation(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    meeting_id = await open_lane_meeting(meetings, aengine)
    listener = LiveSubscriber(redis_sync, meeting_id)
    # Two batches, so that some sentences are stored before they are renamed.
    await append_events(meetings, meeting_id, TALK[:5])
    with running_lane(postgres_url, redis_url, "batch-1"):
        await wait_until(lambda: len(sentences(engine, meeting_id)) >= 4)
        await append_events(meetings, meeting_id, TALK[5:])
        await wait_until(ended_without_pending(engine, meeting_id))
    assert sentences(engine, meeting_id) == RENAMED
    assert captions(engine, meeting_id) == [(f"pt:{text.upper()}", "translated", True, 1, 1) for _, text, _ in RENAMED]
    log = events(engine, meeting_id)
    assert [seq for seq, _, _ in log] == list(range(1, len(log) + 1))
    # A follower who keeps the last payload of each has the stored rows.
    last = {payload["id"]: payload for _, kind, payload in log if kind == "sentence"}
    assert {(payload["speaker"], payload["text"], payload["revision"]) for payload in last.values()} == set(RENAMED)
    last_captions = {payload["sentence_id"]: payload["revision"] for _, kind, payload in log if kind == "caption"}
    assert last_captions == {sentence_id: payload["revision"] for sentence_id, payload in last.items()}
    check_events([{"kind": kind, "seq": seq, "payload": payload} for seq, kind, payload in log])
    # The events that one statement inserted are read from Postgres: only the last one is published.
    published = [message["seq"] for message in listener.receive_all() if "seq" in message]
    assert published == sorted(published)
    assert published[-1] == log[-1][0]


@pytest.mark.usefixtures("unhurried")
async def test_a_lane_that_is_stopped_at_any_entry_gives_the_same_rows(
    meetings: MeetingService, aengine: AsyncEngine, engine: Engine, postgres_url: str, redis_url: str
) -> None:
    pieces = await open_lane_meeting(meetings, aengine)
    for event in TALK:
        await append_events(meetings, pieces, [event])
        with running_lane(postgres_url, redis_url, "batch-1"):
            if event is TALK[-1]:
                await wait_until(ended_without_pending(engine, pieces))
    assert sentences(engine, pieces) == RENAMED
    assert [caption[:3] for caption in captions(engine, pieces)] == [
        (f"pt:{text.upper()}", "translated", True) for _, text, _ in RENAMED
    ]
    log = events(engine, pieces)
    assert [seq for seq, _, _ in log] == list(range(1, len(log) + 1))


@pytest.mark.parametrize(
    ("module", "name"),
    [(lane_commit, "raise_renamed"), (committer, "publish_events")],
    ids=["within the transaction", "after the transaction"],
)
async def test_a_lane_that_dies_during_a_rename_gives_the_same_rows(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
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
    await append_events(meetings, meeting_id, TALK[:5])
    with pytest.raises(RuntimeError, match="the lane died"), running_lane(postgres_url, redis_url, "batch-1") as lane:
        await wait_until(lambda: len(sentences(engine, meeting_id)) >= 4)
        may_die.set()
        await append_events(meetings, meeting_id, TALK[5:])
        await wait_until(lane.has_ended.is_set)
    with running_lane(postgres_url, redis_url, "batch-1"):
        # Captions that were requested before the death stay pending: the backfill completes them.
        await wait_until(lambda: query_rows(engine, IS_ENDED, id=meeting_id) == [(True,)])
    assert sentences(engine, meeting_id) == RENAMED
    log = events(engine, meeting_id)
    assert [seq for seq, _, _ in log] == list(range(1, len(log) + 1))
    last = {payload["id"]: payload for _, kind, payload in log if kind == "sentence"}
    assert {(payload["speaker"], payload["text"], payload["revision"]) for payload in last.values()} == set(RENAMED)


async def test_a_translation_under_way_counts_for_the_renamed_sentence(
    meetings: MeetingService, aengine: AsyncEngine, engine: Engine, postgres_url: str, redis_url: str
) -> None:
    meeting_id = await open_lane_meeting(meetings, aengine)
    may_answer = threading.Event()

    async def translate(request: TranslationRequest) -> Translation:
        while not may_answer.is_set():
            await asyncio.sleep(0.01)
        return await translate_to_capitals(request)

    await append_events(meetings, meeting_id, [TALK[0], TALK[1]])
    with running_lane(postgres_url, redis_url, "batch-1", translate):
        await append_events(meetings, meeting_id, [rename_event(1, "Ann", "Anna", 20.0)])
        await wait_until(lambda: ("Anna", "Good morning.", 2) in sentences(engine, meeting_id))
        may_answer.set()
        await append_events(meetings, meeting_id, [end_event(30.0)])
        await wait_until(ended_without_pending(engine, meeting_id))
    assert captions(engine, meeting_id)[0] == ("pt:GOOD MORNING.", "translated", True, 1, 1)


async def test_a_label_is_renamed_by_a_later_name_of_the_source(
    meetings: MeetingService, aengine: AsyncEngine, engine: Engine, postgres_url: str, redis_url: str
) -> None:
    meeting_id = await open_lane_meeting(meetings, aengine)
    talk = [
        labelled_chunk(1, "Speaker 1", "Good morning.", 2.0),
        labelled_chunk(2, "Speaker 1", "Let us begin.", 300.0),
        labelled_chunk(3, "Ann", "Now.", 600.0),
        end_event(610.0),
    ]
    await append_events(meetings, meeting_id, talk)
    with running_lane(postgres_url, redis_url, "batch-1"):
        await wait_until(ended_without_pending(engine, meeting_id))
    assert sentences(engine, meeting_id) == [
        ("Ann", "Good morning.", 2),
        ("Ann", "Let us begin.", 2),
        ("Ann", "Now.", 1),
    ]


async def test_a_later_generation_knows_the_names(
    meetings: MeetingService, aengine: AsyncEngine, engine: Engine, postgres_url: str, redis_url: str
) -> None:
    meeting_id = await open_lane_meeting(meetings, aengine)
    renames = [rename_event(1, "Ann", "Anna", 5.0), rename_event(2, "Anna", "Hanna", 6.0)]
    later = chunk_event(9, "c9", "Ann", "We are back.", 3000.0, 3001.0, 3001.0)
    await append_events(meetings, meeting_id, [TALK[0], *renames, later, end_event(3010.0)])
    with running_lane(postgres_url, redis_url, "batch-1"):
        await wait_until(ended_without_pending(engine, meeting_id))
    assert sentences(engine, meeting_id) == [("Hanna", "Good morning.", 3), ("Hanna", "We are back.", 1)]
    assert [caption[1:] for caption in captions(engine, meeting_id)] == [("translated", True, 1, 1)] * 2
    assert query_rows(engine, "select generation from meetings where id = :id", id=meeting_id) == [(2,)]
    (stored,) = query_rows(engine, "select speaker_renames from meetings where id = :id", id=meeting_id)
    assert [renamed["new_speaker"] for renamed in stored[0]] == ["Anna", "Hanna"]
