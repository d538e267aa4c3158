"""The ingest API of the log on a real server: events are accepted once, in order of time, or refused with a reason."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import pairwise
from uuid import uuid4

import pytest
import redis
import redis.asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operators.entries import Chunk, ConfigChanged, Entry, MeetingEnded, MeetingStarted, SpeakerRenamed, parse_entry
from operators.errors import ConflictError, InvalidInputError, NotFoundError, UnavailableError
from operators.meeting_config import Clock, MeetingConfig
from storage import redis_keys
from storage.connections import async_redis
from storage.redis_log.event_log import IDLE_TIMEOUT_MS, LEASE_MS, RETENTION_S, LogLostEntriesError, LogWriter, NewEvent
from storage.redis_log.lane_stream import LaneStream, previous_stream_id

T0 = 1_700_000_000_000
CONFIG = MeetingConfig(source_language="en", target_languages=("pt",))
PORTUGUESE = MeetingConfig(source_language="pt", target_languages=("en", "de"))


def chunk_event(event_id: str, text: str = 'Olá \u0001 "mundo" \\ 你好', at: int | None = None) -> NewEvent:
    return NewEvent(event_id, Chunk(chunk_id=event_id, speaker="Ana", text=text, start=0.5, end=1.25), at)


@pytest.fixture
def log(redis_async: redis.asyncio.Redis) -> LogWriter:
    return LogWriter(redis_async)


async def open_log(log: LogWriter, clock: Clock = Clock.RECORDED, at: int | None = T0, lane: str = "a") -> str:
    meeting_id = str(uuid4())
    answer = await log.open(team_id="t", meeting_id=meeting_id, lane_id=lane, clock=clock, config=CONFIG, at_ms=at)
    assert (answer.outcome, answer.ordinal) == ("accepted", 1)
    return meeting_id


def read_entries(client: redis.Redis, meeting_id: str | None = None, lane: str = "a") -> list[Entry]:
    read = [parse_entry(fields) for _, fields in LaneStream(client, lane).read("0", 10_000)]
    return [entry for entry in read if meeting_id in (None, entry.meeting_id)]


async def test_an_opened_meeting_starts_with_its_config(log: LogWriter, redis_sync: redis.Redis) -> None:
    meeting_id = await open_log(log)
    (entry,) = read_entries(redis_sync)
    assert entry == Entry(
        "t",
        meeting_id,
        1,
        "started-1",
        T0,
        MeetingStarted(clock=Clock.RECORDED, generation=1, config=CONFIG, began_at=T0),
    )


async def test_opening_again_changes_nothing(log: LogWriter, redis_sync: redis.Redis) -> None:
    meeting_id = str(uuid4())
    both = [
        await log.open(team_id="t", meeting_id=meeting_id, lane_id=lane, clock=Clock.LIVE, config=CONFIG, at_ms=None)
        for lane in ("a", "b")
    ]
    assert [answer.outcome for answer in both] == ["accepted", "repeated"]
    assert both[0].log_id == both[1].log_id
    assert LaneStream(redis_sync, "a").length() == 1
    assert LaneStream(redis_sync, "b").length() == 0


async def test_a_payload_is_read_as_it_was_appended(log: LogWriter, redis_sync: redis.Redis) -> None:
    meeting_id = await open_log(log)
    event = chunk_event("e")
    config = NewEvent("c", ConfigChanged(config=PORTUGUESE), T0)
    answers = await log.append(meeting_id, [event, config, NewEvent("x", MeetingEnded(reason="'quoted'"), T0)])
    assert [(a.outcome, a.ordinal) for a in answers] == [("refused", None), ("accepted", 2), ("accepted", 3)]
    assert (answers[0].reason, answers[0].log_id) == ("no_time", None)
    assert [e.payload for e in read_entries(redis_sync)[1:]] == [config.payload, MeetingEnded(reason="'quoted'")]


async def test_a_repeat_is_no_refusal_even_after_the_end(log: LogWriter, redis_sync: redis.Redis) -> None:
    meeting_id = await open_log(log)
    await log.append(meeting_id, [chunk_event("e", at=T0), NewEvent("end", MeetingEnded(), T0)])
    answers = await log.append(
        meeting_id, [chunk_event("e", at=T0), chunk_event("f", at=T0), NewEvent("end", MeetingEnded(), T0)]
    )
    assert [(a.outcome, a.ordinal, a.reason) for a in answers] == [
        ("repeated", 2, None),
        ("refused", None, "ended"),
        ("repeated", 3, None),
    ]
    info = await log.read_state(meeting_id)
    assert info is not None
    assert (info.status, info.last_ordinal) == ("ended", 3)
    assert len(read_entries(redis_sync)) == 3


async def test_an_event_after_the_end_in_the_same_batch_is_refused(log: LogWriter) -> None:
    meeting_id = await open_log(log)
    answers = await log.append(meeting_id, [NewEvent("end", MeetingEnded(), T0), chunk_event("late", at=T0)])
    assert [a.outcome for a in answers] == ["accepted", "refused"]


async def test_a_paused_meeting_accepts_everything_except_chunks(log: LogWriter) -> None:
    meeting_id = await open_log(log)
    await log.pause(meeting_id)
    await log.pause(meeting_id)
    events = [chunk_event("e", at=T0), NewEvent("c", ConfigChanged(config=PORTUGUESE), T0)]
    answers = await log.append(meeting_id, events)
    assert [(a.outcome, a.reason) for a in answers] == [("refused", "paused"), ("accepted", None)]
    await log.resume(meeting_id)
    assert (await log.append(meeting_id, [chunk_event("e", at=T0)]))[0].outcome == "accepted"
    await log.pause(meeting_id)
    assert (await log.append(meeting_id, [NewEvent("end", MeetingEnded(), T0)]))[0].outcome == "accepted"
    for change in (log.pause, log.resume):
        with pytest.raises(ConflictError, match="ended"):
            await change(meeting_id)


async def test_an_unknown_meeting_is_not_found(log: LogWriter) -> None:
    nobody = str(uuid4())
    assert await log.read_state(nobody) is None
    for call in (log.append(nobody, [chunk_event("e")]), log.pause(nobody), log.resume(nobody), log.reseed(nobody, 3)):
        with pytest.raises(NotFoundError, match=nobody):
            await call


async def test_only_the_log_itself_writes_starts_and_moves(log: LogWriter) -> None:
    meeting_id = await open_log(log)
    started = NewEvent("s", MeetingStarted(clock=Clock.LIVE, generation=2, config=CONFIG))
    with pytest.raises(InvalidInputError, match=r"events\.1\.kind"):
        await log.append(meeting_id, [chunk_event("e", at=T0), started])
    info = await log.read_state(meeting_id)
    assert info is not None
    assert info.last_ordinal == 1, "a batch is accepted as a whole or not at all"


async def test_a_recording_needs_its_start_time(log: LogWriter) -> None:
    with pytest.raises(InvalidInputError, match="at"):
        await log.open(
            team_id="t", meeting_id=str(uuid4()), lane_id="a", clock=Clock.RECORDED, config=CONFIG, at_ms=None
        )


async def test_a_live_clock_uses_the_time_of_redis(log: LogWriter, redis_sync: redis.Redis) -> None:
    reader = LaneStream(redis_sync, "a")
    start = reader.now_ms()
    meeting_id = await open_log(log, Clock.LIVE, None)
    await log.append(meeting_id, [chunk_event("e", at=5), chunk_event("f", at=10**15)])
    times = [entry.arrived_at for entry in read_entries(redis_sync)]
    assert times == sorted(times)
    assert start <= times[0] <= times[-1] <= reader.now_ms()
    info = await log.read_state(meeting_id)
    assert info is not None
    assert info.lease_until_ms is None


@pytest.mark.parametrize(("gap", "reopens"), [(IDLE_TIMEOUT_MS - 1, False), (IDLE_TIMEOUT_MS, True)])
async def test_a_chunk_after_a_timeout_starts_the_next_generation(
    log: LogWriter, redis_sync: redis.Redis, gap: int, reopens: bool
) -> None:
    meeting_id = await open_log(log)
    await log.append(meeting_id, [NewEvent("c", ConfigChanged(config=PORTUGUESE), T0)])
    (answer,) = await log.append(meeting_id, [chunk_event("e", at=T0 + gap)])
    assert answer.ordinal == (4 if reopens else 3)
    again = [e for e in read_entries(redis_sync)[2:] if isinstance(e.payload, MeetingStarted)]
    began = read_entries(redis_sync)[0].arrived_at
    started = MeetingStarted(clock=Clock.RECORDED, generation=2, config=PORTUGUESE, began_at=began)
    assert again == ([Entry("t", meeting_id, 3, "started-2", T0 + gap, started)] if reopens else [])


async def test_the_next_generation_starts_with_the_renames_of_speakers(log: LogWriter, redis_sync: redis.Redis) -> None:
    names = ["Ann", 'An"na, {Jr.}', "Hannah"]
    renames = tuple(SpeakerRenamed(speaker=old, new_speaker=new) for old, new in pairwise(names))
    meeting_id = str(uuid4())
    await log.open(
        team_id="t",
        meeting_id=meeting_id,
        lane_id="a",
        clock=Clock.RECORDED,
        config=CONFIG,
        at_ms=T0,
        renames=renames[:1],
    )
    await log.append(meeting_id, [NewEvent("r", renames[1], T0)])
    await log.append(meeting_id, [chunk_event("e", at=T0 + IDLE_TIMEOUT_MS)])
    payloads = [entry.payload for entry in read_entries(redis_sync)]
    starts = [payload.renames for payload in payloads if isinstance(payload, MeetingStarted)]
    assert (starts, payloads[1]) == ([renames[:1], renames], renames[1])


async def test_a_client_may_use_the_event_ids_of_the_log_itself(log: LogWriter) -> None:
    meeting_id = await open_log(log)
    answers = await log.append(
        meeting_id, [chunk_event("started-1", at=T0), chunk_event("started-2", at=T0 + IDLE_TIMEOUT_MS)]
    )
    assert [a.outcome for a in answers] == ["accepted", "accepted"]


async def test_an_importers_calls_renew_its_lease(log: LogWriter, redis_sync: redis.Redis) -> None:
    meeting_id = await open_log(log)
    redis_sync.hset(redis_keys.meeting_log_state(meeting_id), "lease_until", "1")
    now = LaneStream(redis_sync, "a").now_ms()
    assert await log.append(meeting_id, []) == []
    info = await log.read_state(meeting_id)
    assert info is not None
    assert info.lease_until_ms is not None
    assert now + LEASE_MS <= info.lease_until_ms <= LaneStream(redis_sync, "a").now_ms() + LEASE_MS


async def test_a_chunk_retains_its_first_ordinal_in_later_generations(log: LogWriter, redis_sync: redis.Redis) -> None:
    meeting_id = await open_log(log)

    def revision(event_id: str, chunk_id: str, at: int) -> NewEvent:
        return NewEvent(event_id, Chunk(chunk_id=chunk_id, speaker=event_id, text="so", start=0, end=1), at)

    events = [revision("e", "a", T0), revision("f", "b", T0 + 1), revision("g", "a", T0 + 2)]
    await log.append(meeting_id, [*events, revision("h", "a", T0 + 2 + IDLE_TIMEOUT_MS)])
    found = [
        (entry.n, entry.first_ordinal)
        for entry in read_entries(redis_sync, meeting_id)
        if isinstance(entry.payload, Chunk)
    ]
    assert found == [(2, 2), (3, 3), (4, 2), (6, 2)]


async def test_the_state_of_a_meeting_expires_a_day_after_its_last_event(
    log: LogWriter, redis_sync: redis.Redis
) -> None:
    meeting_id = await open_log(log)
    await log.append(meeting_id, [chunk_event("e", at=T0), NewEvent("end", MeetingEnded(), T0)])
    both = [
        redis_keys.meeting_log_state(meeting_id),
        redis_keys.accepted_event_ids(meeting_id),
        redis_keys.chunk_ordinals(meeting_id),
    ]
    for key in both:
        assert 0 < redis_sync.ttl(key) <= RETENTION_S
        redis_sync.expire(key, 100)
    await log.append(meeting_id, [chunk_event("f", at=T0), chunk_event("e", at=T0)])
    assert all(redis_sync.ttl(key) <= 100 for key in both), "calls after the end don't renew it"


async def test_ordinals_are_raised_and_never_lowered(log: LogWriter) -> None:
    meeting_id = await open_log(log)
    assert await log.reseed(meeting_id, 10, 3) == 9
    assert await log.reseed(meeting_id, 4, 1) == 0
    (answer,) = await log.append(meeting_id, [chunk_event("e", at=T0 + IDLE_TIMEOUT_MS)])
    info = await log.read_state(meeting_id)
    assert info is not None
    assert (answer.ordinal, info.generation) == (12, 4)


async def test_lost_renames_of_speakers_are_restored(log: LogWriter, redis_sync: redis.Redis) -> None:
    names = ["Ann", 'An"na, {Jr.}', "Hannah"]
    renames = tuple(SpeakerRenamed(speaker=old, new_speaker=new) for old, new in pairwise(names))
    meeting_id = await open_log(log)
    await log.append(meeting_id, [NewEvent("r", renames[0], T0)])
    await log.reseed(meeting_id, 5, renames=renames)
    await log.reseed(meeting_id, 5, renames=renames[:1])
    await log.append(meeting_id, [chunk_event("e", at=T0 + IDLE_TIMEOUT_MS)])
    payloads = [entry.payload for entry in read_entries(redis_sync)]
    assert [payload.renames for payload in payloads if isinstance(payload, MeetingStarted)][-1] == renames


async def test_nothing_is_appended_below_the_minimum_ordinal(log: LogWriter, redis_sync: redis.Redis) -> None:
    meeting_id = await open_log(log)
    with pytest.raises(LogLostEntriesError):
        await log.append(meeting_id, [chunk_event("e", at=T0)], min_ordinal=2)
    assert len(read_entries(redis_sync)) == 1
    assert (await log.append(meeting_id, [chunk_event("e", at=T0)], min_ordinal=1))[0].ordinal == 2


async def test_a_meeting_that_redis_lost_continues_its_ordinals(log: LogWriter) -> None:
    meeting_id = str(uuid4())
    answer = await log.open(
        team_id="t",
        meeting_id=meeting_id,
        lane_id="a",
        clock=Clock.LIVE,
        config=CONFIG,
        at_ms=None,
        last_ordinal=41,
        generation=3,
    )
    assert (answer.event_id, answer.ordinal) == ("started-3", 42)


async def test_an_unreachable_server_is_unavailable() -> None:
    async with async_redis("redis://127.0.0.1:1/0") as nowhere:
        with pytest.raises(UnavailableError):
            await LogWriter(nowhere).append("m", [chunk_event("e")])


@pytest.fixture
def replica(redis_sync: redis.Redis) -> Iterator[redis.Redis]:
    """A server that is the replica of an unreachable one, as during a failover."""
    redis_sync.replicaof("127.0.0.1", "9")
    yield redis_sync
    redis_sync.config_set("replica-serve-stale-data", "yes")
    redis_sync.replicaof("NO", "ONE")


@pytest.mark.parametrize("stale", ["yes", "no"])
async def test_a_replica_without_its_master_is_unavailable(log: LogWriter, replica: redis.Redis, stale: str) -> None:
    replica.config_set("replica-serve-stale-data", stale)
    with pytest.raises(UnavailableError):
        await open_log(log)
    if stale == "no":
        with pytest.raises(UnavailableError):
            await log.read_state("m")
        with pytest.raises(redis.ResponseError, match="Link with MASTER is down"):
            LaneStream(replica, "a").last_id()


async def test_scripts_survive_a_restart_of_redis(log: LogWriter, redis_sync: redis.Redis) -> None:
    meeting_id = await open_log(log)
    redis_sync.script_flush()
    assert (await log.append(meeting_id, [chunk_event("e", at=T0)]))[0].outcome == "accepted"


async def test_the_reader_of_a_lane(log: LogWriter, redis_sync: redis.Redis) -> None:
    meeting_id = await open_log(log)
    answers = await log.append(meeting_id, [chunk_event(str(i), at=T0) for i in range(5)])
    reader = LaneStream(redis_sync, "a")
    ids = [log_id for log_id, _ in reader.read("0", 100)]
    assert ids[1:] == [answer.log_id for answer in answers]
    assert [log_id for log_id, _ in reader.read(ids[2], 2)] == ids[3:5]
    assert [log_id for log_id, _ in reader.read(previous_stream_id(ids[0]), 1)] == ids[:1]
    assert reader.read(ids[-1], 10) == reader.read(ids[-1], 10, 1) == []
    waiting = asyncio.create_task(asyncio.to_thread(reader.read, ids[-1], 10, 10_000))
    while redis_sync.info("clients")["blocked_clients"] == 0:
        await asyncio.sleep(0.01)
    await log.append(meeting_id, [chunk_event("more", at=T0)])
    assert len(await waiting) == 1
    assert reader.trim(ids[3]) == 3
    assert reader.length() == 4


# --- the log is the same, however events are batched and repeated ---

EVENTS = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.sampled_from(["chunk", "chunk", "chunk", "config"]),
        st.integers(T0, T0 + 3 * IDLE_TIMEOUT_MS),
    ),
    max_size=25,
)


def make_event(event: tuple[int, str, int]) -> NewEvent:
    number, kind, at = event
    if kind == "config":
        return NewEvent(f"e{number}", ConfigChanged(config=PORTUGUESE), at)
    return chunk_event(f"e{number}", f"word {number}", at)


async def append_batches(
    log: LogWriter, client: redis.Redis, batches: Sequence[Sequence[NewEvent]]
) -> list[tuple[object, ...]]:
    client.flushdb()
    meeting_id = await open_log(log)
    for batch in batches:
        answers = await log.append(meeting_id, batch)
        assert [a.event_id for a in answers] == [e.event_id for e in batch]
    written = read_entries(client, meeting_id)
    assert [e.n for e in written] == list(range(1, len(written) + 1))
    assert [e.arrived_at for e in written] == sorted(e.arrived_at for e in written)
    taken = [e.event_id for e in written if not isinstance(e.payload, MeetingStarted)]
    assert len(taken) == len(set(taken))
    assert set(taken) == {e.event_id for batch in batches for e in batch}
    starts = [e.payload.generation for e in written if isinstance(e.payload, MeetingStarted)]
    assert starts == list(range(1, len(starts) + 1))
    return [(e.n, e.event_id, e.arrived_at, e.payload) for e in written]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(events=EVENTS, cuts=st.sets(st.integers(1, 24)), repeats=st.sets(st.integers(0, 24)))
async def test_batching_and_repeating_change_nothing(
    log: LogWriter, redis_sync: redis.Redis, events: list[tuple[int, str, int]], cuts: set[int], repeats: set[int]
) -> None:
    new = [make_event(event) for event in events]
    edges = [0, *sorted(cut for cut in cuts if cut < len(new)), len(new)]
    batches = [new[a:b] for a, b in pairwise(edges)]
    again = [batch for i, batch in enumerate(batches) for _ in range(2 if i in repeats else 1)]
    one_by_one = await append_batches(log, redis_sync, [[event] for event in new])
    assert await append_batches(log, redis_sync, again) == one_by_one


async def test_concurrent_callers_share_one_sequence_of_ordinals(log: LogWriter, redis_sync: redis.Redis) -> None:
    meeting_id = await open_log(log, Clock.LIVE, None)
    await asyncio.gather(
        *(log.append(meeting_id, [chunk_event(f"{who % 4}-{i}")]) for i in range(20) for who in range(8))
    )
    written = read_entries(redis_sync, meeting_id)
    assert [e.n for e in written] == list(range(1, 82)), "80 events, each appended twice"
