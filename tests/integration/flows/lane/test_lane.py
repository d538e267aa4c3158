"""A lane from its log to Postgres and Redis: commits, published events, dead letters, pending captions and trimming."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
import redis
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from operators.entries import ConfigChanged, MeetingEnded
from operators.errors import FencedError, UnavailableError
from operators.meeting_config import Clock, MeetingConfig
from operators.translation_requests import Translation, TranslationRequest
from storage import redis_keys
from storage.ingest.meeting_service import MeetingService
from storage.redis_log.event_log import LogWriter, NewEvent
from storage.redis_log.lane_stream import LaneStream
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

TALK = [
    chunk_event(1, "c1", "Ann", "Good morning", 0.0, 1.0, 1.2),
    chunk_event(2, "c1", "Ann", "Good morning everybody. Shall", 0.0, 2.0, 2.2),
    chunk_event(3, "c2", "Bob", "Yes.", 2.1, 2.5, 2.9),
    chunk_event(4, "c1", "Ann", "Good morning everybody. Shall we begin?", 0.0, 3.0, 3.4),
    chunk_event(5, "c1", "Ann", "Good morning everybody. Shall we begin?", 0.0, 3.0, 3.6),
    chunk_event(6, "c3", "Ann", "First the budget.", 5.0, 6.5, 7.0),
    end_event(12.0),
]
SENTENCES = [
    ("Ann", "Good morning everybody."),
    ("Ann", "Shall we begin?"),
    ("Bob", "Yes."),
    ("Ann", "First the budget."),
]


@pytest.fixture
def meetings(aengine: AsyncEngine, redis_async: Any) -> MeetingService:
    return MeetingService(aengine, LogWriter(redis_async))


def sentence_rows(engine: Engine, meeting_id: UUID) -> list[tuple[Any, ...]]:
    return query_rows(engine, "select * from sentences where meeting_id = :id order by id", id=meeting_id)


def event_rows(engine: Engine, meeting_id: UUID) -> list[tuple[Any, ...]]:
    return query_rows(
        engine, "select seq, kind, payload from outbox where meeting_id = :id order by seq", id=meeting_id
    )


async def test_a_meeting_becomes_sentences_captions_and_events(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    meeting_id = await open_lane_meeting(meetings, aengine, targets=("pt", "de"))
    listener = LiveSubscriber(redis_sync, meeting_id)
    await append_events(meetings, meeting_id, TALK)
    with running_lane(postgres_url, redis_url, "batch-1"):
        await wait_until(ended_without_pending(engine, meeting_id))
    got = query_rows(
        engine,
        "select speaker, text from sentences where meeting_id = :id and not retracted order by start, id",
        id=meeting_id,
    )
    assert sorted(got) == sorted(SENTENCES)
    captions = query_rows(
        engine,
        "select s.text, c.language, c.text, c.status, c.revision = s.revision, c.version, c.attempts from captions c"
        " join sentences s on s.meeting_id = c.meeting_id and s.id = c.sentence_id where c.meeting_id = :id",
        id=meeting_id,
    )
    assert len(captions) == 8
    for source, language, translated, status, current, version, attempts in captions:
        assert (translated, status, current) == (f"{language}:{source.upper()}", "translated", True)
        assert version >= 1
        assert attempts >= version
    # Each event is stored once, `seq` has no gap, and each caption follows its sentence.
    log = event_rows(engine, meeting_id)
    assert [seq for seq, _, _ in log] == list(range(1, len(log) + 1))
    assert log[0][1:] == ("status", {"status": "live"})
    # Captions may follow the end of the meeting.
    assert ("status", {"status": "ended", "reason": "ended by request"}) in [entry[1:] for entry in log]
    seen: dict[str, int] = {}
    for _, kind, payload in log:
        if kind == "sentence":
            seen[payload["id"]] = payload["revision"]
        if kind == "caption":
            assert seen[payload["sentence_id"]] >= payload["revision"]
    # The same events are published in order, and interim text besides.
    published = listener.receive_all()
    assert [m["seq"] for m in published if "seq" in m] == [seq for seq, _, _ in log]
    assert {m["kind"] for m in published if "seq" not in m} <= {"interim"}
    # An ended meeting has no state.
    assert query_rows(engine, "select state, status, last_committed from meetings where id = :id", id=meeting_id) == [
        (None, "ended", 8)
    ]


async def test_live_events_match_their_description(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    meeting_id = await open_lane_meeting(meetings, aengine)
    listener = LiveSubscriber(redis_sync, meeting_id)
    # The removed chunk's sentence is retracted. The repeat changes a counter.
    removed = chunk_event(9, "c3", "Ann", "", 5.0, 6.5, 8.0)
    await append_events(meetings, meeting_id, [*TALK[:-1], removed, TALK[-1]])
    with running_lane(postgres_url, redis_url, "batch-1"):
        await wait_until(ended_without_pending(engine, meeting_id))
    events = listener.receive_all()
    assert check_events(events) >= {"sentence", "retracted", "caption", "status"}
    assert {name for event in events if event["kind"] == "status" for name in event["payload"]} >= {"status", "reason"}


@pytest.mark.usefixtures("unhurried")
async def test_a_lane_that_is_stopped_at_any_entry_resumes_without_loss_or_duplicates(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    whole = await open_lane_meeting(meetings, aengine)
    await append_events(meetings, whole, TALK)
    with running_lane(postgres_url, redis_url, "batch-1"):
        await wait_until(ended_without_pending(engine, whole))
    pieces = await open_lane_meeting(meetings, aengine)
    for k, event in enumerate(TALK):
        await append_events(meetings, pieces, [event])
        with running_lane(postgres_url, redis_url, "batch-1"):
            if event is TALK[-1]:
                await wait_until(ended_without_pending(engine, pieces))
            elif k % 2:
                await asyncio.sleep(0.15)

    def strip(row: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(value for value in row if value not in (whole, pieces))

    assert [strip(row) for row in sentence_rows(engine, pieces)] == [strip(row) for row in sentence_rows(engine, whole)]
    log = event_rows(engine, pieces)
    assert [seq for seq, _, _ in log] == list(range(1, len(log) + 1))


async def test_a_replaced_lane_process_cannot_write(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    meeting_id = await open_lane_meeting(meetings, aengine)
    with pytest.raises(FencedError), running_lane(postgres_url, redis_url, "batch-1") as lane:
        await wait_until(lambda: query_rows(engine, "select epoch from lanes where id = 'batch-1'") == [(1,)])
        # The first heartbeat is usually a second away, so the write is fenced first.
        with engine.begin() as connection:
            connection.execute(text("update lanes set epoch = 2 where id = 'batch-1'"))
        await append_events(meetings, meeting_id, TALK)
        await wait_until(lane.has_ended.is_set)
    assert sentence_rows(engine, meeting_id) == []
    with running_lane(postgres_url, redis_url, "batch-1"):
        await wait_until(ended_without_pending(engine, meeting_id))
    assert len(sentence_rows(engine, meeting_id)) >= 4


async def test_an_unusable_entry_becomes_a_dead_letter_and_the_meeting_continues(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    meeting_id = await open_lane_meeting(meetings, aengine)
    await append_events(meetings, meeting_id, TALK[:2])
    redis_sync.xadd(
        redis_keys.lane_log("batch-1"),
        {
            "schema": "1",
            "team_id": "default",
            "meeting_id": str(meeting_id),
            "n": "3",
            "event_id": "bad",
            "kind": "chunk",
            "arrived_at": str(RECORDING_START_MS),
            "payload": '{"chunk_id": "x", "speaker": "Ann", "start": 1, "end": 2}',
        },
    )
    redis_sync.xadd(redis_keys.lane_log("batch-1"), {"what": "is this"})
    await append_events(meetings, meeting_id, TALK[2:])
    with running_lane(postgres_url, redis_url, "batch-1"):
        await wait_until(ended_without_pending(engine, meeting_id))
    reasons = query_rows(engine, "select reason, team_id, meeting_id from dead_letters order by id")
    assert reasons == [("text: Field required", "default", meeting_id), ("schema: must be 1", None, None)]
    assert len(sentence_rows(engine, meeting_id)) >= 4


async def test_a_revision_after_the_horizon_is_counted_and_becomes_a_dead_letter(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    meeting_id = await open_lane_meeting(meetings, aengine)
    late = chunk_event(8, "c1", "Eve", "Something else.", 0.003, 2.0, 140.0)
    await append_events(
        meetings, meeting_id, [*TALK[:-1], chunk_event(7, "c9", "Bob", "Still here.", 130.0, 131.0, 132.0), late]
    )
    await append_events(meetings, meeting_id, [end_event(150.0)])
    with running_lane(postgres_url, redis_url, "batch-1"):
        await wait_until(ended_without_pending(engine, meeting_id))
    assert query_rows(engine, "select counters->>'late' from meetings") == [("1",)]
    [(reason, fields)] = query_rows(engine, "select reason, fields from dead_letters")
    assert reason.startswith("late")
    assert "Something else." in fields["payload"]
    assert "Something else." not in [row[5] for row in sentence_rows(engine, meeting_id)]


async def test_the_last_sentence_of_a_quiet_live_meeting_is_emitted(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    meeting_id = await open_lane_meeting(meetings, aengine, clock=Clock.LIVE)
    with running_lane(postgres_url, redis_url, "live-1", kind="live"):
        await append_events(meetings, meeting_id, [chunk_event(1, "c1", "Ann", "We are done here.", 0.0, 2.0, 0)])
        await wait_until(lambda: bool(query_rows(engine, "select 1 from captions where status = 'translated'")))
    assert query_rows(engine, "select text, status from meetings, sentences") == [("We are done here.", "live")]


async def test_a_live_meeting_times_out_and_speech_reopens_it(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    meeting_id = await open_lane_meeting(meetings, aengine)
    gap = 1_900.0
    talk = [TALK[0], chunk_event(20, "c20", "Bob", "Is anybody here?", gap, gap + 2, gap + 2.5), end_event(gap + 5)]
    await append_events(meetings, meeting_id, talk)
    with running_lane(postgres_url, redis_url, "batch-1"):
        await wait_until(ended_without_pending(engine, meeting_id))
    statuses = [payload["status"] for _, kind, payload in event_rows(engine, meeting_id) if kind == "status"]
    assert statuses[0] == "live"
    assert statuses[-1] == "ended"
    assert query_rows(engine, "select generation, status from meetings") == [(2, "ended")]
    assert sorted(row[5] for row in sentence_rows(engine, meeting_id)) == ["Good morning", "Is anybody here?"]
    # Stream seconds count from the meeting's first start.
    emitted = dict(query_rows(engine, "select text, first_emitted from sentences"))
    assert emitted["Good morning"] < 10
    assert gap < emitted["Is anybody here?"] < gap + 10


async def test_a_live_lane_leaves_late_captions_pending_and_never_stops(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    async def silent(request: TranslationRequest) -> Translation:
        await asyncio.sleep(60)
        raise AssertionError

    meeting_id = await open_lane_meeting(meetings, aengine, clock=Clock.LIVE)
    talk = [chunk_event(k, f"c{k}", "Ann", f"This is number {k}.", k, k + 0.9, 0) for k in range(6)]
    with running_lane(postgres_url, redis_url, "live-1", silent, kind="live", capacity=2, in_flight=1, deadline=0.5):
        await append_events(meetings, meeting_id, [*talk, NewEvent("end", MeetingEnded())])
        await wait_until(lambda: len(query_rows(engine, "select 1 from captions where reason is not null")) == 6)
    reasons = {reason for (reason,) in query_rows(engine, "select reason from captions")}
    assert reasons == {"capacity", "deadline"}
    pending = [p for _, kind, p in event_rows(engine, meeting_id) if kind == "caption"]
    assert [(p["status"], p["text"], p["version"]) for p in pending] == [("pending", None, 0)] * 6


async def test_a_busy_meeting_exhausts_only_its_own_share_of_the_capacity(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    busy = await open_lane_meeting(meetings, aengine, targets=("pt", "de"), clock=Clock.LIVE)
    quiet = await open_lane_meeting(meetings, aengine, clock=Clock.LIVE)

    async def slow_for_the_busy(request: TranslationRequest) -> Translation:
        await asyncio.sleep(60 if request.meeting_id == str(busy) else 0)
        return await translate_to_capitals(request)

    def pending_count() -> int:
        return len(query_rows(engine, "select 1 from captions where meeting_id = :id and reason is not null", id=busy))

    with running_lane(
        postgres_url, redis_url, "live-1", slow_for_the_busy, kind="live", capacity=8, in_flight=8, deadline=20
    ):
        await append_events(
            meetings, busy, [chunk_event(k, f"c{k}", "Ann", f"This is number {k}.", k, k + 0.9, 0) for k in range(30)]
        )
        # Requests beyond the meeting's share of the capacity are pending at once; the others still wait.
        await wait_until(lambda: pending_count() >= 40)
        talk = [chunk_event(k, f"c{k}", "Bob", f"That is number {k}.", k, k + 0.9, 0) for k in range(3)]
        await append_events(meetings, quiet, [*talk, NewEvent("end", MeetingEnded())])
        await wait_until(
            lambda: query_rows(engine, "select 1 from meetings where id = :id and status = 'ended'", id=quiet) != []
        )
        await wait_until(
            lambda: (
                len(query_rows(engine, "select 1 from captions where meeting_id = :id and text is not null", id=quiet))
                == 3
            )
        )
        assert (
            query_rows(engine, "select reason from captions where meeting_id = :id and reason is not null", id=quiet)
            == []
        )


async def test_a_batch_lane_waits_for_an_unavailable_service(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    refused = 0

    async def away_at_first(request: TranslationRequest) -> Translation:
        nonlocal refused
        if refused < 10:
            refused += 1
            raise UnavailableError("away")
        return await translate_to_capitals(request)

    meeting_id = await open_lane_meeting(meetings, aengine)
    await append_events(meetings, meeting_id, TALK)
    with running_lane(postgres_url, redis_url, "batch-1", away_at_first, capacity=2, in_flight=2):
        await wait_until(ended_without_pending(engine, meeting_id))
    statuses = {status for (status,) in query_rows(engine, "select status from captions")}
    assert statuses == {"translated"}
    assert not [p for _, kind, p in event_rows(engine, meeting_id) if kind == "caption" and p["status"] == "pending"]


async def test_an_added_language_gets_pending_captions_for_earlier_sentences(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    meeting_id = await open_lane_meeting(meetings, aengine)
    config = MeetingConfig(source_language="en", target_languages=("pt", "de"))
    change = NewEvent("config", ConfigChanged(config=config), RECORDING_START_MS + 6_000)
    await append_events(meetings, meeting_id, [*TALK[:5], change, *TALK[5:]])

    def german() -> dict[str, str]:
        query = "select s.text, c.status from captions c join sentences s on s.id = c.sentence_id"
        return dict(query_rows(engine, f"{query} where c.language = 'de'"))

    with running_lane(postgres_url, redis_url, "batch-1"):
        await wait_until(lambda: query_rows(engine, "select status from meetings") == [("ended",)])
        await wait_until(lambda: german()["First the budget."] == "translated")
    assert german().keys() == {words for _, words in SENTENCES}
    assert german()["Good morning everybody."] == "pending"


async def test_a_language_added_in_an_open_meeting_gets_pending_captions(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    meeting_id = await open_lane_meeting(meetings, aengine)
    config = MeetingConfig(source_language="en", target_languages=("pt", "de"))
    later = chunk_event(9, "c9", "Bob", "Nothing more from me. Thanks", 9.0, 11.0, 11.5)
    await append_events(
        meetings,
        meeting_id,
        [*TALK[:-1], later, NewEvent("c", ConfigChanged(config=config), RECORDING_START_MS + 12_000)],
    )
    with running_lane(postgres_url, redis_url, "batch-1"):
        await wait_until(lambda: bool(query_rows(engine, "select 1 from captions where language = 'de'")))
    german = query_rows(
        engine,
        "select s.text from captions c join sentences s on s.id = c.sentence_id where c.language = 'de'"
        " and c.status = 'pending'",
    )
    assert {words for (words,) in german} >= {words for _, words in SENTENCES}


async def test_the_log_is_trimmed_below_what_open_meetings_need(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    done = await open_lane_meeting(meetings, aengine)
    await append_events(meetings, done, TALK)
    still_open = await open_lane_meeting(meetings, aengine)
    await append_events(meetings, still_open, TALK[:2])
    with running_lane(postgres_url, redis_url, "batch-1"):
        await wait_until(ended_without_pending(engine, done))
        reader = LaneStream(redis_sync, "batch-1")
        await wait_until(lambda: reader.length() <= 4)
        await append_events(meetings, still_open, TALK[2:])
        await wait_until(ended_without_pending(engine, still_open))
        await wait_until(lambda: reader.length() <= 1)
    assert len(sentence_rows(engine, still_open)) == len(sentence_rows(engine, done))


async def test_log_lines_contain_no_transcript_text(
    meetings: MeetingService,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    async def broken(request: TranslationRequest) -> Translation:
        raise ValueError(request.text)

    meeting_id = await open_lane_meeting(meetings, aengine)
    secret = [chunk_event(1, "c1", "Ann", "Xylophone quarrel.", 0.0, 2.0, 2.0), end_event(5.0)]
    await append_events(meetings, meeting_id, secret)
    with running_lane(postgres_url, redis_url, "batch-1", broken):
        await wait_until(lambda: bool(query_rows(engine, "select 1 from captions where reason is not null")))
    assert query_rows(engine, "select reason from captions") == [("failed: ValueError",)]
    captured = capfd.readouterr()
    assert "Xylophone" not in captured.out + captured.err
