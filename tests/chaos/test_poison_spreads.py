"""One meeting of ten gets every hostile answer and says everything hostile: the other nine lose nothing and wait for nothing."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from operators.model import Chunk, ConfigChanged, Ended, MeetingConfig
from operators.models import OpenAi
from operators.translation import Translation, TranslationRequest
from serve.engines.breaker import CONTROL
from serve.engines.making import Maker
from serve.prompts import SAID
from serve.translation import TranslationService
from storage.embedded import StoreUrls
from storage.log import Log, NewEvent
from storage.meetings import Meetings
from tests.chaos.hall import PATIENCE, Hall, open_hall, tell
from tests.chaos.outcome import Outcome, read
from tests.chaos.recordings import CONFIG, number
from tests.chaos.report import FULL, Row
from tests.chaos.steward import Steward
from tests.harness import hostile
from tests.harness.cases import ANSWERS
from tests.harness.lanes import Translate, rows, running, until
from tests.harness.openai_server import KEY, MODEL, openai_server

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("clean_database"),
    # Client and server share this process: the loops end with questions under way, and httpx's generators are collected
    # wherever it happens to be at work.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SECONDS = 180.0 if FULL else 20.0
EVERY = 1.0
"""Seconds between two lines of a meeting."""
POISON_EVERY = 0.2
KEY_VARIABLE = "PARLEY_POISON_KEY"
CASES: list[dict[str, str]] = json.loads(ANSWERS.read_text())
ORDERS = [
    "as:whole",
    "as:parts",
    "as:null-delta",
    "as:thinking",
    "as:thinking-only",
    "as:no-reason",
    "as:error:500",
    "as:error-within",
    "as:moderated",
]
"""How the stand-in for a server is told to answer, as words of the sentence (`tests.harness.openai_server`)."""
ENDS = ["", "break-off", "fail", "send:0", "send:1", "send:2", "send:3", "finish:eos", "finish:length", "finish:日本"]
"""How it ends its answer, as words of the answer."""
TIMES = (
    "create table poison_times (meeting_id uuid, asked timestamptz, answered timestamptz,"
    " sentence_id text, language text, revision int, primary key (meeting_id, sentence_id, language, revision));"
    "create function poison_times() returns trigger language plpgsql as $$ begin"
    " if new.status = 'pending' then insert into poison_times values (new.meeting_id, clock_timestamp(), null,"
    "  new.sentence_id, new.language, new.revision) on conflict do nothing;"
    " else update poison_times set answered = clock_timestamp() where meeting_id = new.meeting_id"
    "  and sentence_id = new.sentence_id and language = new.language and revision = new.revision; end if;"
    " return null; end $$;"
    "create trigger poison_times after insert or update on captions for each row execute function poison_times()"
)

Report = Callable[[Row], None]


@pytest.fixture
def urls(postgres_url: str, redis_url: str) -> StoreUrls:
    return StoreUrls(postgres_url, redis_url)


@pytest.fixture
async def meetings(aengine: AsyncEngine, redis_async: Any) -> AsyncIterator[Meetings]:
    door = Meetings(aengine, Log(redis_async))
    ledger = asyncio.create_task(door.run_ledger())
    yield door
    ledger.cancel()


@pytest.fixture
def times(engine: Engine, clean_database: None) -> Generator[None]:
    """When each caption is asked for, which is once its sentence has settled, and when it is answered."""
    with engine.begin() as connection:
        connection.execute(text(TIMES))
    yield
    with engine.begin() as connection:
        connection.execute(text("drop table poison_times; drop function poison_times cascade"))


async def warm(engine: Engine, hall: Hall) -> None:
    """Wait until a caption of each meeting is translated, and forget how long the first ones took."""
    await hall.translated()
    with engine.begin() as connection:
        connection.execute(text("truncate poison_times"))


def p99(engine: Engine, ids: Sequence[UUID]) -> float:
    """Seconds from settled to caption that one in a hundred is above."""
    query = "select extract(epoch from answered - asked) from poison_times where meeting_id = any(:ids)"
    taken = [float(seconds) for (seconds,) in rows(engine, query, ids=list(ids)) if seconds is not None]
    return statistics.quantiles(taken, n=100)[-1]


def answers(chance: random.Random) -> Callable[[str], str]:
    """What the model says: the nine are translated, the tenth gets anything."""

    def say(line: str) -> str:
        line = line.removeprefix(SAID)
        if line == CONTROL.messages[-1].content:
            return "OK"
        if line.startswith("Number ") and line.endswith(" is what we say here."):
            return f"O número {number(line)} é o que dizemos aqui."
        if line == CASES[0]["source"] or line.startswith("Answer with the whole translation"):
            return f"{chance.choice(CASES)['answer']} {chance.choice(ENDS)}".strip()
        return f"{hostile.text(chance, 20_000)} {chance.choice(ENDS)}"

    return say


def service(url: str, label: str) -> Translate:
    """The translation service with an engine on a server elsewhere, as each process that asks it has its own."""
    made: dict[asyncio.AbstractEventLoop, asyncio.Future[TranslationService]] = {}

    async def make() -> TranslationService:
        spec = OpenAi(url=url, model=MODEL, key=KEY_VARIABLE)
        maker = Maker(spec)
        new = TranslationService(maker.translator, 10_000, maker.change)
        await new.reconfigure(spec.model_dump())
        return new

    async def translate(request: TranslationRequest) -> Translation:
        loop = asyncio.get_running_loop()
        if loop not in made:
            made[loop] = asyncio.ensure_future(make())
        return replace(await (await made[loop]).translate(request), engine=label)

    return translate


async def poison(door: Meetings, meeting_id: UUID, over: asyncio.Event) -> int:
    """Say what is hostile in a meeting until it is over. Returns how many events were taken."""
    chance, taken, k = random.Random(14), 0, 0
    while not over.is_set():
        k += 1
        event = hostile_event(chance, k)
        if event is not None:
            [answer] = await door.append("default", meeting_id, [event])
            taken += answer.n is not None
        with suppress(TimeoutError):
            async with asyncio.timeout(POISON_EVERY):
                await over.wait()
    await door.append("default", meeting_id, [NewEvent("end", Ended(reason="\u202e' or 1=1 --"))])
    return taken + 1


def hostile_event(chance: random.Random, k: int) -> NewEvent | None:
    """A chunk, at times a config; None where the model refuses it."""
    good = {"chunk_id": f"c{k}", "speaker": "Eve", "text": CASES[0]["source"], "start": 2.0 * k, "end": 2.0 * k + 1}
    with suppress(ValidationError):
        match chance.randrange(6):
            case 0 | 1:
                return NewEvent(f"line-{k}", Chunk.model_validate(good))
            case 2 | 3:
                ordered = f"We say {chance.choice(ORDERS)} as number {k}."
                return NewEvent(f"line-{k}", Chunk.model_validate(good | {"text": ordered}))
            case 4:
                terms = [{"term": hostile.text(chance, 200), "translations": {"pt": hostile.text(chance, 200)}}]
                config = MeetingConfig.model_validate({"target_languages": ["pt", "ja"], "glossary": terms})
                return NewEvent(f"config-{k}", ConfigChanged(config=config))
            case _:
                sent = hostile.changed(chance, good, ["text", "speaker", "speaker_id", "chunk_id", "language", "start"])
                return NewEvent(f"line-{k}", Chunk.model_validate(sent))
    return None


@asynccontextmanager
async def poisoned(door: Meetings, meeting_id: UUID) -> AsyncGenerator[None]:
    """Somebody says what is hostile in a meeting, for as long as the block."""
    over = asyncio.Event()
    task = asyncio.create_task(poison(door, meeting_id, over))
    try:
        yield
    finally:
        over.set()
        assert await task > 1


@contextmanager
def flow(urls: StoreUrls, url: str) -> Generator[None]:
    """A live lane and the steward, with the real service on that server."""
    with (
        Steward(urls.postgres, urls.redis, service(url, "backfill")),
        running(urls.postgres, urls.redis, "live-1", service(url, "lane"), "live"),
    ):
        yield


async def finished(engine: Engine, hall: Hall) -> Outcome:
    """Wait until the meetings of a hall are over, stored and paid. Returns what is stored of them alone."""
    ids = list(hall.ids.values())
    still = (
        "select 1 from meetings where id = any(:ids) and status <> 'ended' union all"
        " select 1 from captions where meeting_id = any(:ids) and status = 'pending' limit 1"
    )
    await until(lambda: not rows(engine, still, ids=ids), PATIENCE)
    whole = read(engine)
    return replace(
        whole,
        meetings={title: one for title, one in whole.meetings.items() if title in hall.ids},
        events={title: events for title, events in whole.events.items() if title in hall.ids},
        owed=0,
    )


async def test_poison_in_one_meeting_costs_nine_others_nothing(
    urls: StoreUrls,
    engine: Engine,
    aengine: AsyncEngine,
    meetings: Meetings,
    report: Report,
    times: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    # Each request must carry the transcript's text, and none may be made twice.
    plain = CONFIG.model_copy(update={"drafts": False, "context_sentences": 0, "context_of_speaker": 0})
    calm = await open_hall(engine, aengine, meetings, 10, "calm", plain)
    with openai_server() as (url, asked), flow(urls, url):
        asked.says = answers(random.Random(1))
        async with calm.talking(meetings, EVERY):
            await warm(engine, calm)
            await asyncio.sleep(SECONDS)
        before = await finished(engine, calm)
    calm.assert_sound(before)
    undisturbed = p99(engine, list(calm.ids.values())[:9])

    hall = await open_hall(engine, aengine, meetings, 10, "live", plain)
    bad = hall.ids.pop("live-10")
    del hall.taken["live-10"]
    with openai_server() as (url, asked), flow(urls, url):
        asked.says = answers(random.Random(2))
        async with poisoned(meetings, bad), hall.talking(meetings, EVERY):
            await warm(engine, hall)
            await asyncio.sleep(SECONDS)
        recovery = await hall.recovered()
        outcome = await finished(engine, hall)
        await until(
            lambda: rows(engine, "select status from meetings where id = :id", id=bad) == [("ended",)], PATIENCE
        )

    disturbed = p99(engine, list(hall.ids.values()))
    owed = [caption for _, caption in tell(outcome, "pending")]
    report(
        hall.row(
            "one meeting of ten poisoned",
            len(asked.bodies),
            outcome,
            recovery,
            **{
                "p99 ms": round(disturbed * 1000),
                "undisturbed ms": round(undisturbed * 1000),
                "p99 ratio": round(disturbed / undisturbed, 2),
                "owed meanwhile": len(owed),
            },
        )
    )
    hall.assert_sound(outcome)
    # A machine that is too slow may miss a deadline. Nothing else is a reason to owe a caption of theirs.
    assert {caption["reason"] for caption in owed} <= {"deadline"}
    check_poisoned(engine, bad)


def check_poisoned(engine: Engine, bad: UUID) -> None:
    """The poisoned meeting has its right captions, and nothing else was passed for one."""
    query = (
        "select s.text, c.status, c.text from captions c join sentences s on s.meeting_id = c.meeting_id"
        " and s.id = c.sentence_id where c.meeting_id = :id and c.language = 'pt'"
    )
    found = [one for one in rows(engine, query, id=bad) if one[0] == CASES[0]["source"]]
    assert {status for _, status, _ in found} >= {"translated"}
    assert {shown for _, status, shown in found if status == "translated"} <= {case["want"] for case in CASES}
