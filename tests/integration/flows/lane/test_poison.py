"""What can't be stored fails alone: that caption or that meeting, never its neighbours, and never the lane."""

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
from operators.errors import Malformed
from operators.model import ENTRY_SCHEMA, Chunk, Clock
from operators.translation import CaptionStatus, Translation, TranslationRequest
from storage import keys
from storage.log import Log, NewEvent
from storage.meetings import Meetings
from tests.harness.lanes import ending, feed, open_recorded, over_and_paid, rows, running, said, shout, until

pytestmark = pytest.mark.usefixtures("clean_database")

POISON = ["Ol\x00á", "Ol\ud83dá", "\ude00", "a" * 200 + "\x00"]


def hostile(hated: set[str]) -> Any:
    """A service that answers some meetings with what no database takes, with errors, and with broken answers."""
    chance = random.Random(1)

    async def translate(request: TranslationRequest) -> Translation:
        if request.meeting_id not in hated:
            return await shout(request)
        match chance.randrange(5):
            case 0:
                raise ValueError("no translation")
            case 1:
                raise Malformed("no answer")
            case 2:
                return Translation(CaptionStatus.UNTRANSLATED, None, "shout\x00", chance.choice(POISON))
            case _:
                warnings = (chance.choice(POISON),)
                return Translation(CaptionStatus.TRANSLATED, chance.choice(POISON), "shout 1", warnings=warnings)

    return translate


def talk(sentences: int) -> list[NewEvent]:
    lines = [
        said(k, f"c{k}", "Ann", f"Number {k} is said.", 2.0 * k, 2.0 * k + 1, 2.0 * k + 1) for k in range(1, sentences)
    ]
    return [*lines, ending(2.0 * sentences + 5)]


@pytest.fixture
def meetings(aengine: AsyncEngine, redis_async: Any) -> Meetings:
    return Meetings(aengine, Log(redis_async))


def statuses(engine: Engine, meeting_id: UUID) -> set[str]:
    return {one for (one,) in rows(engine, "select status from captions where meeting_id = :id", id=meeting_id)}


async def test_hostile_answers_to_one_meeting_cost_the_others_nothing(
    meetings: Meetings,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    ids = [await open_recorded(meetings, aengine) for _ in range(10)]
    bad, *good = ids
    service = hostile({str(bad)})
    for meeting_id in ids:
        await feed(meetings, meeting_id, talk(20))
    # The lane raises at its end what it died of.
    with running(postgres_url, redis_url, "batch-1", service):
        await until(over_and_paid(engine, *good))
        await until(lambda: rows(engine, "select status from meetings where id = :id", id=bad) == [("ended",)])
    assert set().union(*(statuses(engine, one) for one in good)) == {"translated"}
    counted = "select counters ->> 'dead' from meetings where id = :id"
    [(dead,)] = rows(engine, counted, id=bad)
    letters = rows(engine, "select reason, fields ->> 'kind' from dead_letters where meeting_id = :id", id=bad)
    assert len(letters) == int(dead) > 0
    assert set(letters) == {("its translation can't be stored: it holds what is no text", "caption")}
    # What failed is tried again, a bounded number of times, and ends with the reason.
    backfill = Backfill(engine, redis_sync, service)
    for _ in range(50):
        await backfill.run_once()
        with engine.begin() as connection:
            connection.execute(text("update captions set due_at = now() where status = 'pending'"))
    assert statuses(engine, bad) == {"untranslated"}
    reasons = {one for (one,) in rows(engine, "select reason from captions where meeting_id = :id", id=bad)}
    assert "its translation can't be stored: it holds what is no text" in reasons
    assert rows(engine, "select 1 from captions where meeting_id = :id and text is not null", id=bad) == []
    log = rows(engine, "select seq from outbox where meeting_id = :id order by seq", id=bad)
    assert [seq for (seq,) in log] == list(range(1, len(log) + 1))


async def test_a_lane_asks_once_where_the_answer_is_malformed(
    meetings: Meetings, aengine: AsyncEngine, engine: Engine, postgres_url: str, redis_url: str
) -> None:
    meeting_id = await open_recorded(meetings, aengine)
    asked: list[str] = []

    async def malformed(request: TranslationRequest) -> Translation:
        asked.append(request.text)
        raise Malformed("no answer")

    await feed(meetings, meeting_id, talk(8))
    with running(postgres_url, redis_url, "batch-1", malformed):
        await until(lambda: rows(engine, "select count(*) from captions where reason is not null") == [(7,)])
    assert statuses(engine, meeting_id) == {"pending"}
    assert len(asked) == len(set(asked)) == 7


async def test_a_pending_caption_that_is_poison_keeps_no_other_from_being_paid(
    meetings: Meetings,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # No pause is over before this test ends it.
    monkeypatch.setattr(backfill_module, "FIRST_PAUSE_S", 3_600.0)

    async def broken(request: TranslationRequest) -> Translation:
        raise RuntimeError

    ids = [await open_recorded(meetings, aengine) for _ in range(3)]
    bad, *good = ids
    for meeting_id in ids:
        await feed(meetings, meeting_id, talk(8))
    with running(postgres_url, redis_url, "batch-1", broken):
        await until(lambda: rows(engine, "select count(*) from captions where reason is not null") == [(21,)])
    asked: list[TranslationRequest] = []

    async def poison(request: TranslationRequest) -> Translation:
        asked.append(request)
        if request.meeting_id != str(bad):
            return await shout(request)
        if request.text.startswith("Number 1 "):
            raise Malformed("no answer")
        return Translation(CaptionStatus.TRANSLATED, "a\x00b", "shout 1")

    backfill = Backfill(engine, redis_sync, poison)
    began = time.monotonic()
    while rows(engine, "select 1 from captions where status = 'pending' and failures = 0"):
        assert time.monotonic() - began < 60
        await backfill.run_once()
    assert set().union(*(statuses(engine, one) for one in good)) == {"translated"}
    # The malformed answer is left alone for a growing while, and given up in the end.
    failing = "select failures, extract(epoch from due_at - now()) from captions where status = 'pending'"
    pauses: list[float] = []
    while found := rows(engine, failing):
        [(failures, pause)] = found
        assert failures == len(pauses) + 1
        pauses.append(float(pause))
        with engine.begin() as connection:
            connection.execute(text("update captions set due_at = now() where status = 'pending'"))
        await backfill.run_once()
    assert len(pauses) == MAX_ATTEMPTS - 1
    assert all(later > 2 * earlier for earlier, later in pairwise(pauses))
    assert (
        len([one for one in asked if one.text.startswith("Number 1 ") and one.meeting_id == str(bad)]) == MAX_ATTEMPTS
    )
    reason = (
        "select reason from captions join sentences on id = sentence_id and sentences.meeting_id = captions.meeting_id"
    )
    [(why,)] = rows(engine, f"{reason} where sentences.text like 'Number 1 %' and captions.meeting_id = :id", id=bad)
    assert why == f"failed {MAX_ATTEMPTS} times: Malformed"


async def test_a_meeting_that_can_not_be_stored_fails_alone(
    meetings: Meetings,
    aengine: AsyncEngine,
    engine: Engine,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    good, bad = [await open_recorded(meetings, aengine, clock=Clock.LIVE) for _ in range(2)]

    async def say(meeting_id: UUID, k: int) -> None:
        chunk = Chunk(chunk_id=f"c{k}", speaker="Ann", text=f"Number {k}.", start=2.0 * k, end=2.0 * k + 1)
        await meetings.append("default", meeting_id, [NewEvent(f"e{k}", chunk)])

    def sentences(meeting_id: UUID) -> int:
        [(count,)] = rows(
            engine, "select count(*) from captions where meeting_id = :id and text is not null", id=meeting_id
        )
        return count

    with running(postgres_url, redis_url, "live-1", kind="live"):
        for meeting_id in (good, bad):
            await say(meeting_id, 1)
        await until(lambda: sentences(good) == sentences(bad) == 1)
        # An entry of a team that there isn't breaks a constraint, however it came to be in the log.
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
        redis_sync.xadd(keys.lane("live-1"), fields)  # type: ignore[arg-type]
        await until(lambda: rows(engine, "select status from meetings where id = :id", id=bad) == [("failed",)])
        await say(good, 2)
        await until(lambda: sentences(good) == 2)
    [(reason, kept)] = rows(
        engine, "select reason, fields ->> 'sentences' from dead_letters where meeting_id = :id", id=bad
    )
    assert reason == "its content can't be stored"
    stored = {words for (words,) in rows(engine, "select text from sentences where meeting_id = :id", id=bad)}
    assert "Number 2." in stored or "Number 2." in kept, "nothing that was said is lost"
    assert redis_sync.hget(keys.meeting(str(bad)), "status") == "failed"
    # Started again, the lane has nothing to do with it.
    with running(postgres_url, redis_url, "live-1", kind="live"):
        await say(good, 3)
        await until(lambda: sentences(good) == 3)


async def test_a_config_that_can_not_be_read_keeps_no_other_meeting_from_being_paid(
    meetings: Meetings, aengine: AsyncEngine, engine: Engine, redis_sync: redis.Redis, postgres_url: str, redis_url: str
) -> None:
    async def broken(request: TranslationRequest) -> Translation:
        raise RuntimeError

    strange, good = [await open_recorded(meetings, aengine) for _ in range(2)]
    for meeting_id in (strange, good):
        await feed(meetings, meeting_id, talk(4))
    with running(postgres_url, redis_url, "batch-1", broken):
        await until(lambda: rows(engine, "select count(*) from captions where reason is not null") == [(6,)])
    with engine.begin() as connection:
        connection.execute(
            text("update meetings set config = config || '{\"of_a_newer_release\": 1}' where id = :id"), {"id": strange}
        )
    backfill = Backfill(engine, redis_sync, shout)
    while await backfill.run_once():
        pass
    assert (statuses(engine, strange), statuses(engine, good)) == ({"pending"}, {"translated"})
    [(later,)] = rows(
        engine, "select bool_and(due_at > now() + interval '30 s') from captions where meeting_id = :id", id=strange
    )
    assert later
