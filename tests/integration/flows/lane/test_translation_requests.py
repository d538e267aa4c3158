"""What a lane asks the translation service, from the log on: terms, style, both windows, what was shown before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.jobs.backfill import Backfill
from operators.model import ConfigChanged, MeetingConfig, Term
from operators.translation import Translation, TranslationRequest, Wanted
from storage.log import Log, NewEvent
from storage.meetings import Meetings
from storage.owed import owed
from storage.placement import ensure_lane
from tests.harness.lanes import BASE, ending, feed, open_recorded, over_and_paid, rows, running, said, shout, until

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
TOLD = (Wanted("IT", "TI"), Wanted("Parley", "Parley"), Wanted("road map", "roteiro"))
OPENING = [
    NewEvent("config", ConfigChanged(config=CONFIG), BASE),
    said(1, "a", "Ann", "Here is the road map.", 0.0, 2.0, 2.0),
    said(2, "b", "Bob", "Ask IT about it.", 3.0, 4.0, 4.0),
    said(3, "c", "Bob", "They know.", 8.0, 9.0, 9.0),
]
LATER = [
    said(4, "d", "Ann", "Parley is ready.", 12.0, 13.0, 13.0),
    said(5, "d", "Ann", "Parley is nearly ready.", 12.0, 13.0, 20.0),
    said(6, "e", "Bob", "Good.", 26.0, 27.0, 27.0),
]
AFTER = [
    said(7, "d", "Ann", "Parley is very nearly ready.", 12.0, 13.0, 28.0),
    said(8, "f", "Ann", "And it is fast.", 32.0, 33.0, 33.0),
    ending(50.0),
]


class Recorder:
    """Answers in capitals, and notes what it has answered."""

    def __init__(self) -> None:
        self.asked: list[TranslationRequest] = []

    async def __call__(self, request: TranslationRequest) -> Translation:
        answer = await shout(request)
        self.asked.append(request)
        return answer

    def about(self, words: str) -> TranslationRequest:
        """The last request for a sentence."""
        return [request for request in self.asked if request.text == words][-1]


def quoted(request: TranslationRequest) -> list[tuple[str, str | None]]:
    return [(one.text, one.translation) for one in request.context]


async def test_requests_carry_what_the_meeting_wants_and_what_was_shown(
    aengine: AsyncEngine, engine: Engine, redis_async: Any, postgres_url: str, redis_url: str
) -> None:
    meetings = Meetings(aengine, Log(redis_async))
    meeting_id = await open_recorded(meetings, aengine)
    first, second = Recorder(), Recorder()
    with running(postgres_url, redis_url, "batch-1", first):
        for count, event in enumerate((*OPENING, *LATER)):
            await feed(meetings, meeting_id, [event])
            # One after the other, as in a live meeting. Each settles by the time of the next.
            await until(lambda settled=count - 1: len(first.asked) >= settled)
    assert all((r.glossary, r.style, r.source_language) == (TOLD, "formal", "en") for r in first.asked)
    assert first.about("Here is the road map.").terms == (Wanted("road map", "roteiro"),)
    assert first.about("Ask IT about it.").terms == (Wanted("IT", "TI"),)
    assert first.about("They know.").terms == ()
    ready = first.about("Parley is ready.")
    assert quoted(ready) == [
        ("Here is the road map.", "pt-BR:HERE IS THE ROAD MAP."),
        ("They know.", "pt-BR:THEY KNOW."),
    ]
    assert ready.previous is None
    assert first.about("Parley is nearly ready.").previous == "pt-BR:PARLEY IS READY."
    # Another process asks the same for the rest: what was shown is stored.
    with running(postgres_url, redis_url, "batch-1", second):
        await feed(meetings, meeting_id, AFTER)
        await until(over_and_paid(engine, meeting_id))
    fast = second.about("And it is fast.")
    assert (fast.glossary, fast.style, fast.previous) == (TOLD, "formal", None)
    ready = second.about("Parley is very nearly ready.")
    assert ready.previous == "pt-BR:PARLEY IS NEARLY READY."
    assert quoted(ready) == quoted(first.about("Parley is nearly ready."))
    mine, good = quoted(fast)
    # Where these are translated by then, it is as they read now.
    assert mine[0] == "Parley is very nearly ready."
    assert mine[1] in (None, "pt-BR:PARLEY IS VERY NEARLY READY.")
    assert good in (("Good.", None), ("Good.", "pt-BR:GOOD."))


async def test_a_meeting_that_comes_from_another_lane_is_asked_for_as_if_it_had_stayed(
    aengine: AsyncEngine, engine: Engine, redis_async: Any, postgres_url: str, redis_url: str
) -> None:
    meetings = Meetings(aengine, Log(redis_async))
    meeting_id = await open_recorded(meetings, aengine)
    async with aengine.begin() as connection:
        await ensure_lane(connection, "batch-2", "batch")
    first, second = Recorder(), Recorder()
    with (
        running(postgres_url, redis_url, "batch-1", first),
        running(postgres_url, redis_url, "batch-2", second),
    ):
        await feed(meetings, meeting_id, [*OPENING, *LATER[:2]])
        await until(lambda: len(first.asked) >= len(OPENING))
        assert await meetings.move("default", meeting_id, "batch-2")
        await feed(meetings, meeting_id, LATER[2:])
        await until(lambda: len(second.asked) > 0)
        await feed(meetings, meeting_id, [ending(50.0)])
        await until(over_and_paid(engine, meeting_id))
    ready = second.about("Parley is nearly ready.")
    assert ready.previous == "pt-BR:PARLEY IS READY."
    assert quoted(ready) == [
        ("Here is the road map.", "pt-BR:HERE IS THE ROAD MAP."),
        ("They know.", "pt-BR:THEY KNOW."),
    ]


async def test_the_backfill_asks_the_very_same_and_quotes_what_is_stored(
    aengine: AsyncEngine,
    engine: Engine,
    redis_async: Any,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
) -> None:
    asked: list[TranslationRequest] = []

    async def broken(request: TranslationRequest) -> Translation:
        asked.append(request)
        raise RuntimeError

    meetings = Meetings(aengine, Log(redis_async))
    meeting_id = await open_recorded(meetings, aengine)
    speech = [
        said(k, f"c{k}", "ABC"[k * k % 3], f"Number {k} is on the road map.", 4.0 * k, 4.0 * k + 1, 4.0 * k + 1)
        for k in range(1, 12)
    ]
    await feed(meetings, meeting_id, [OPENING[0], *speech, ending(90.0)])
    with running(postgres_url, redis_url, "batch-1", broken):
        given_up = "select count(*) from captions where reason is not null"
        await until(lambda: rows(engine, given_up) == [(len(speech),)])
    with engine.begin() as connection:
        connection.execute(text("update captions set due_at = now()"))
        debts = {request.sentence_id: request for request in owed(connection, 100)}
    lanes = {request.sentence_id: request for request in asked}
    assert debts == lanes
    assert len(debts) == len(speech)
    assert any(len(request.context) == 2 for request in debts.values())
    recorder = Recorder()
    backfill = Backfill(engine, redis_sync, recorder)
    while await backfill.run_once():
        pass
    words = "Number 11 is on the road map."
    with engine.begin() as connection:
        owe_again = (
            "update captions c set status = 'pending', due_at = now() from sentences s where s.id = c.sentence_id"
        )
        connection.execute(text(f"{owe_again} and s.text = :words"), {"words": words})
    assert await backfill.run_once() == 1
    last = recorder.about(words)
    assert quoted(last) == [(one.text, f"pt-BR:{one.text.upper()}") for one in lanes[last.sentence_id].context]
    assert {replace(one, context=()) for one in recorder.asked} == {replace(one, context=()) for one in asked}
    # What was in doubt is nothing to go on with.
    with engine.begin() as connection:
        connection.execute(text("update captions set warnings = '{number: 10}' where text like '%10%'"))
        connection.execute(text(f"{owe_again} and s.text = :words"), {"words": words})
    assert await backfill.run_once() == 1
    assert ("Number 10 is on the road map.", None) in quoted(recorder.about(words))
