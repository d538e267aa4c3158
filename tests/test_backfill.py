"""The backfill pays what is owed, whatever left it so."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.backfill import ATTEMPTS, Backfill
from operators.errors import Unavailable
from operators.model import Translation, TranslationRequest
from storage.log import Log
from storage.meetings import Meetings
from tests.lanes import feed, open_recorded, rows, running, shout, until
from tests.test_lane import SENTENCES, TALK, events

pytestmark = pytest.mark.usefixtures("clean_database")


@pytest.fixture
async def owing(
    aengine: AsyncEngine,
    engine: Engine,
    redis_async: Any,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> Any:
    """A meeting that has ended, with all of its captions owed: its lane died with the calls it had made."""

    async def broken(request: TranslationRequest) -> Translation:
        raise RuntimeError

    meetings = Meetings(aengine, Log(redis_async))
    meeting_id = await open_recorded(meetings, aengine)
    await feed(meetings, meeting_id, TALK)
    with running(postgres_url, redis_url, "batch-1", broken):
        await until(lambda: len(rows(engine, "select 1 from captions where reason is not null")) >= len(SENTENCES))
    return meeting_id


async def test_what_is_owed_is_paid_and_told(owing: Any, engine: Engine, redis_sync: redis.Redis) -> None:
    asked: list[TranslationRequest] = []

    async def note(request: TranslationRequest) -> Translation:
        asked.append(request)
        return await shout(request)

    backfill = Backfill(engine, redis_sync, note)
    while await backfill.round():
        pass
    assert {status for (status,) in rows(engine, "select status from captions")} == {"translated"}
    assert {r.text for r in asked} == {words for _, words in SENTENCES}
    assert all(r.source_language == "en" for r in asked)
    budget = next(r for r in asked if r.text == "First the budget.")
    assert budget.context[-1] in ("Bob: Yes.", "Ann: Shall we begin?")
    log = events(engine, owing)
    assert [seq for seq, _, _ in log] == list(range(1, len(log) + 1))
    assert len([p for _, kind, p in log if kind == "caption" and p["status"] == "translated"]) == len(SENTENCES)
    assert await backfill.round() == 0


async def test_a_service_that_is_away_is_asked_again_later(owing: Any, engine: Engine, redis_sync: redis.Redis) -> None:
    async def away(request: TranslationRequest) -> Translation:
        raise Unavailable("away")

    backfill = Backfill(engine, redis_sync, away)
    assert await backfill.round() == 0
    later = "select count(*) from captions where status = 'owed' and due_at > now()"
    [(postponed,)] = rows(engine, later)
    assert postponed > 0, "others get their turn meanwhile"
    assert {status for (status,) in rows(engine, "select status from captions")} == {"owed"}


async def test_a_sentence_that_breaks_the_service_ends_untranslated_with_the_reason(
    owing: Any, engine: Engine, redis_sync: redis.Redis
) -> None:
    async def breaks_on_yes(request: TranslationRequest) -> Translation:
        if request.text == "Yes.":
            raise ValueError(request.text)
        return await shout(request)

    backfill = Backfill(engine, redis_sync, breaks_on_yes)
    for _ in range(ATTEMPTS + len(SENTENCES)):
        await backfill.round()
        # What could not be paid is left alone for a while; this test has no time for that.
        with engine.begin() as connection:
            connection.execute(text("update captions set due_at = now() where status = 'owed'"))
    found = dict(rows(engine, "select s.text, c.status from captions c join sentences s on s.id = c.sentence_id"))
    assert found == {w: "untranslated" if w == "Yes." else "translated" for _, w in SENTENCES}
    [(words, reason)] = rows(engine, "select text, reason from captions where status = 'untranslated'")
    assert words is None
    assert reason == f"failed {ATTEMPTS} times: ValueError"


async def test_a_debt_that_is_not_due_is_left_to_its_lane(owing: Any, engine: Engine, redis_sync: redis.Redis) -> None:
    with engine.begin() as connection:
        connection.execute(text("update captions set due_at = now() + interval '1 minute'"))
    assert await Backfill(engine, redis_sync, shout).round() == 0


async def test_a_debt_for_an_older_revision_is_paid_for_the_present_one(
    owing: Any, engine: Engine, redis_sync: redis.Redis
) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("update sentences set revision = revision + 1, text = 'Yes indeed.' where text = 'Yes.'")
        )
    backfill = Backfill(engine, redis_sync, shout)
    while await backfill.round():
        pass
    paid = rows(
        engine,
        "select c.text, c.revision = s.revision from captions c join sentences s on s.id = c.sentence_id"
        " where s.text = 'Yes indeed.'",
    )
    assert paid == [("pt:YES INDEED.", True)]
    assert rows(engine, "select 1 from captions where status = 'owed'") == []
