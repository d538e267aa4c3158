"""One of ten meetings sends hostile input and gets hostile answers. The other nine lose nothing and are not delayed."""

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

from operators.engine_config import OpenAiConfig
from operators.entries import Chunk, ConfigChanged, MeetingEnded
from operators.meeting_config import MeetingConfig
from operators.translation_requests import Translation, TranslationRequest
from serve.deploy.engine_factory import EngineFactory
from serve.engines.remote.circuit_breaker import CONTROL_PROMPT
from serve.translation.llm.prompts import SOURCE_MARK
from serve.translation.translation_service import TranslationService
from storage.ingest.meeting_service import MeetingService
from storage.redis_log.event_log import LogWriter, NewEvent
from storage.store_urls import StoreUrls
from tests.chaos.results.scenario_table import FULL, ScenarioRow
from tests.chaos.results.stored_result import StoredResult, read_result
from tests.chaos.systems.live_meetings import HANG_TIMEOUT_S, LiveMeetings, captions_with_status, open_live_meetings
from tests.chaos.systems.maintenance_thread import MaintenanceThread
from tests.chaos.systems.model_process import running_model_process
from tests.chaos.workload.recorded_meetings import CONFIG, number_in
from tests.harness.data import hostile_input
from tests.harness.data.regression_cases import MODEL_ANSWERS
from tests.harness.doubles.openai_server import API_KEY, MODEL
from tests.harness.lane.threaded_lane import Translate, query_rows, running_lane, wait_until

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("clean_database"),
    # Loops end with requests in flight, and httpx's generators are then collected at arbitrary points.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SCENARIO_S = 180.0 if FULL else 20.0
LINE_INTERVAL_S = 1.0
"""Seconds between two lines of a meeting, and between two hostile events: both runs have the same load."""
KEY_VARIABLE = "PARLEY_POISON_KEY"
ANSWER_CASES: list[dict[str, str]] = json.loads(MODEL_ANSWERS.read_text())
REPLY_MODES = [
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
"""Words in a sentence that select how the fake server answers (`tests.harness.doubles.openai_server`)."""
REPLY_ENDINGS = [
    "",
    "break-off",
    "fail",
    "send:0",
    "send:1",
    "send:2",
    "send:3",
    "finish:eos",
    "finish:length",
    "finish:日本",
]
"""Words in an answer that select how the fake server ends it."""
CALL_TIMES_SCHEMA = (
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

Report = Callable[[ScenarioRow], None]


@pytest.fixture
def urls(postgres_url: str, redis_url: str) -> StoreUrls:
    return StoreUrls(postgres_url, redis_url)


@pytest.fixture
async def meetings(aengine: AsyncEngine, redis_async: Any) -> AsyncIterator[MeetingService]:
    service = MeetingService(aengine, LogWriter(redis_async))
    ledger = asyncio.create_task(service.run_ledger())
    yield service
    ledger.cancel()


@pytest.fixture
def times(engine: Engine, clean_database: None) -> Generator[None]:
    """A table of the times at which each caption is requested and answered. The request comes when its sentence is final."""
    with engine.begin() as connection:
        connection.execute(text(CALL_TIMES_SCHEMA))
    yield
    with engine.begin() as connection:
        connection.execute(text("drop table poison_times; drop function poison_times cascade"))


async def warm_up(engine: Engine, live_meetings: LiveMeetings) -> None:
    """Wait until each meeting has a translated caption, then discard the times of the first ones."""
    await live_meetings.wait_until_translated()
    with engine.begin() as connection:
        connection.execute(text("truncate poison_times"))


def caption_p99_s(engine: Engine, ids: Sequence[UUID]) -> float:
    """Return the 99th percentile of the seconds from a final sentence to its caption."""
    query = "select extract(epoch from answered - asked) from poison_times where meeting_id = any(:ids)"
    durations_s = [float(seconds) for (seconds,) in query_rows(engine, query, ids=list(ids)) if seconds is not None]
    return statistics.quantiles(durations_s, n=100)[-1]


class HostileModel:
    """The model's replies: translations for nine meetings, arbitrary ones for the tenth."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)

    def reply_to(self, line: str) -> str:
        line, rng = line.removeprefix(SOURCE_MARK), self._rng
        if line == CONTROL_PROMPT.messages[-1].content:
            return "OK"
        if line.startswith("Number ") and line.endswith(" is what we say here."):
            return f"O número {number_in(line)} é o que dizemos aqui."
        if line == ANSWER_CASES[0]["source"] or line.startswith("Answer with the whole translation"):
            return f"{rng.choice(ANSWER_CASES)['answer']} {rng.choice(REPLY_ENDINGS)}".strip()
        return f"{hostile_input.hostile_text(rng, 20_000)} {rng.choice(REPLY_ENDINGS)}"


def make_translate(url: str, label: str) -> Translate:
    """Return a translate function of the service with a remote engine. Each event loop has its own service."""
    services: dict[asyncio.AbstractEventLoop, asyncio.Future[TranslationService]] = {}

    async def make_service() -> TranslationService:
        spec = OpenAiConfig(url=url, model=MODEL, key=KEY_VARIABLE)
        factory = EngineFactory(spec)
        service = TranslationService(factory.create_translator, 10_000, factory.swap)
        await service.reconfigure(spec.model_dump())
        return service

    async def translate(request: TranslationRequest) -> Translation:
        loop = asyncio.get_running_loop()
        if loop not in services:
            services[loop] = asyncio.ensure_future(make_service())
        return replace(await (await services[loop]).translate(request), engine=label)

    return translate


async def send_hostile_events(meetings: MeetingService, meeting_id: UUID, stopping: asyncio.Event) -> int:
    """Send hostile events in a meeting until `stopping` is set. Returns the number of accepted events."""
    rng, accepted_count, k = random.Random(14), 0, 0
    while not stopping.is_set():
        k += 1
        event = hostile_event(rng, k)
        if event is not None:
            [appended] = await meetings.append("default", meeting_id, [event])
            accepted_count += appended.ordinal is not None
        with suppress(TimeoutError):
            async with asyncio.timeout(LINE_INTERVAL_S):
                await stopping.wait()
    await meetings.append("default", meeting_id, [NewEvent("end", MeetingEnded(reason="\u202e' or 1=1 --"))])
    return accepted_count + 1


def hostile_event(rng: random.Random, k: int) -> NewEvent | None:
    """Return a hostile chunk or config. None if it fails the model's validation."""
    valid = {
        "chunk_id": f"c{k}",
        "speaker": "Eve",
        "text": ANSWER_CASES[0]["source"],
        "start": 2.0 * k,
        "end": 2.0 * k + 1,
    }
    with suppress(ValidationError):
        match rng.randrange(6):
            case 0 | 1:
                return NewEvent(f"line-{k}", Chunk.model_validate(valid))
            case 2 | 3:
                instruction = f"We say {rng.choice(REPLY_MODES)} as number {k}."
                return NewEvent(f"line-{k}", Chunk.model_validate(valid | {"text": instruction}))
            case 4:
                terms = [
                    {
                        "term": hostile_input.hostile_text(rng, 200),
                        "translations": {"pt": hostile_input.hostile_text(rng, 200)},
                    }
                ]
                config = MeetingConfig.model_validate({"target_languages": ["pt", "ja"], "glossary": terms})
                return NewEvent(f"config-{k}", ConfigChanged(config=config))
            case _:
                corrupted = hostile_input.corrupt_fields(
                    rng, valid, ["text", "speaker", "speaker_id", "chunk_id", "language", "start"]
                )
                return NewEvent(f"line-{k}", Chunk.model_validate(corrupted))
    return None


@asynccontextmanager
async def hostile_client(meetings: MeetingService, meeting_id: UUID) -> AsyncGenerator[asyncio.Task[int]]:
    """Send hostile events in a meeting during the block. Yields the task that returns the number of accepted events."""
    stopping = asyncio.Event()
    task = asyncio.create_task(send_hostile_events(meetings, meeting_id, stopping))
    try:
        yield task
    finally:
        stopping.set()
        assert await task > 1


@contextmanager
def running_lane_on_server(urls: StoreUrls, url: str) -> Generator[None]:
    """Run a live lane and the maintenance jobs, with the real service on the server at `url`."""
    with (
        MaintenanceThread(urls.postgres, urls.redis, make_translate(url, "backfill")),
        running_lane(urls.postgres, urls.redis, "live-1", make_translate(url, "lane"), "live"),
    ):
        yield


async def wait_for_result(engine: Engine, live_meetings: LiveMeetings) -> StoredResult:
    """Wait until the given meetings have ended without pending captions. Returns the stored rows of these meetings only."""
    ids = list(live_meetings.ids.values())
    unfinished = (
        "select 1 from meetings where id = any(:ids) and status <> 'ended' union all"
        " select 1 from captions where meeting_id = any(:ids) and status = 'pending' limit 1"
    )
    await wait_until(lambda: not query_rows(engine, unfinished, ids=ids), HANG_TIMEOUT_S)
    result = read_result(engine)
    return replace(
        result,
        meetings={title: meeting for title, meeting in result.meetings.items() if title in live_meetings.ids},
        events={title: events for title, events in result.events.items() if title in live_meetings.ids},
        pending=0,
    )


async def test_a_poisoned_meeting_does_not_affect_nine_others(
    urls: StoreUrls,
    engine: Engine,
    aengine: AsyncEngine,
    meetings: MeetingService,
    report: Report,
    times: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, API_KEY)
    # Each request must carry the transcript text, and no request may be made twice.
    plain = CONFIG.model_copy(update={"drafts": False, "context_sentences": 0, "context_of_speaker": 0})
    baseline_meetings = await open_live_meetings(engine, aengine, meetings, 10, "calm", plain)
    with running_model_process(HostileModel(1).reply_to) as url, running_lane_on_server(urls, url):
        async with baseline_meetings.sending(meetings, LINE_INTERVAL_S):
            await warm_up(engine, baseline_meetings)
            await asyncio.sleep(SCENARIO_S)
        before = await wait_for_result(engine, baseline_meetings)
    baseline_meetings.assert_complete(before)
    baseline_p99_s = caption_p99_s(engine, list(baseline_meetings.ids.values())[:9])

    live_meetings = await open_live_meetings(engine, aengine, meetings, 10, "live", plain)
    poisoned_id = live_meetings.ids.pop("live-10")
    del live_meetings.last_ordinals["live-10"]
    with running_model_process(HostileModel(2).reply_to) as url, running_lane_on_server(urls, url):
        async with (
            hostile_client(meetings, poisoned_id) as hostile_events,
            live_meetings.sending(meetings, LINE_INTERVAL_S),
        ):
            await warm_up(engine, live_meetings)
            await asyncio.sleep(SCENARIO_S)
        recovery = await live_meetings.wait_until_recovered()
        result = await wait_for_result(engine, live_meetings)
        await wait_until(
            lambda: query_rows(engine, "select status from meetings where id = :id", id=poisoned_id) == [("ended",)],
            HANG_TIMEOUT_S,
        )

    p99_s = caption_p99_s(engine, list(live_meetings.ids.values()))
    pending = [caption for _, caption in captions_with_status(result, "pending")]
    report(
        live_meetings.row(
            "one meeting of ten poisoned",
            hostile_events.result(),
            result,
            recovery,
            **{
                "p99 ms": round(p99_s * 1000),
                "baseline ms": round(baseline_p99_s * 1000),
                "p99 ratio": round(p99_s / baseline_p99_s, 2),
                "pending meanwhile": len(pending),
            },
        )
    )
    live_meetings.assert_complete(result)
    # A slow machine may miss a deadline. The other meetings' captions may be pending for no other reason.
    assert {caption["reason"] for caption in pending} <= {"deadline"}
    assert_poisoned_captions(engine, poisoned_id)


def assert_poisoned_captions(engine: Engine, poisoned_id: UUID) -> None:
    """Assert that the poisoned meeting has correct captions, and no wrong text was accepted as a translation."""
    query = (
        "select s.text, c.status, c.text from captions c join sentences s on s.meeting_id = c.meeting_id"
        " and s.id = c.sentence_id where c.meeting_id = :id and c.language = 'pt'"
    )
    captions = [row for row in query_rows(engine, query, id=poisoned_id) if row[0] == ANSWER_CASES[0]["source"]]
    assert {status for _, status, _ in captions} >= {"translated"}
    assert {caption_text for _, status, caption_text in captions if status == "translated"} <= {
        case["want"] for case in ANSWER_CASES
    }
