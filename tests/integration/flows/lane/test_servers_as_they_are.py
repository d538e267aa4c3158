"""Captions from a model server that behaves like real servers: slow loading, refusals, errors, unusual answers.

A live lane, the backfill, the real engine and an OpenAI-compatible server on a socket; Ray Serve is left out.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
import redis
import structlog
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.jobs.backfill import Backfill
from operators.engine_config import OpenAiConfig
from operators.entries import Chunk, MeetingEnded
from operators.meeting_config import Clock
from operators.translation_requests import Translation, TranslationRequest
from serve.deploy.engine_factory import EngineFactory
from serve.translation.translation_service import TranslationService
from storage.ingest.meeting_service import MeetingService
from storage.postgres.lane_registry import ensure_lane
from storage.redis_log.event_log import LogWriter, NewEvent
from tests.harness.doubles.openai_server import API_KEY, MODEL, OpenAiServerState, openai_server
from tests.harness.lane.threaded_lane import Translate, append_events, open_lane_meeting, query_rows, running_lane

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("clean_database")]

SOURCE = "The meeting starts on Monday at ten."
GOOD_TRANSLATION = "A reunião começa na segunda-feira às dez."
LOADS_S = 6.0
"""Seconds to load the model: more than a live caption's deadline here, and more than a request waits for the model."""
DEADLINE_S = 3.0


@dataclass(frozen=True)
class TimedCaption:
    """The final caption of a sentence, and the seconds until then."""

    status: str
    text: str | None
    reason: str | None
    seconds: float


class SentenceRunner:
    """Appends sentences, each in a new meeting, and waits for their captions."""

    def __init__(self, meetings: MeetingService, aengine: AsyncEngine, engine: Engine, backfill: Backfill) -> None:
        self._meetings, self._aengine, self._engine, self._backfill = meetings, aengine, engine, backfill

    async def append_sentence(self, mode: str = "") -> UUID:
        meeting = await open_lane_meeting(self._meetings, self._aengine, clock=Clock.LIVE)
        chunk = Chunk(chunk_id="1", speaker="Ann", text=f"{mode} {SOURCE}".strip(), start=0.0, end=1.0)
        await append_events(self._meetings, meeting, [NewEvent("1", chunk, None), NewEvent("2", MeetingEnded(), None)])
        return meeting

    async def wait_for_caption(self, meeting: UUID, seconds: float = 60.0) -> TimedCaption:
        """Wait until the caption is complete, while the backfill translates pending captions."""
        started_at = time.monotonic()
        while True:
            caption_rows = query_rows(
                self._engine, "select status, text, reason from captions where meeting_id = :id", id=meeting
            )
            if caption_rows and caption_rows[0][0] != "pending":
                return TimedCaption(*caption_rows[0], time.monotonic() - started_at)
            assert time.monotonic() - started_at < seconds, f"it is still {caption_rows}"
            await self._backfill.run_once()
            # The test ends the backfill's pauses, which grow to 15 s.
            with self._engine.begin() as connection:
                connection.execute(
                    text(
                        "update captions set due_at = now() where status = 'pending' and due_at < now() + interval '16 s'"
                    )
                )
            await asyncio.sleep(0.05)

    def caption_rows(self, meeting: UUID) -> list[Any]:
        return query_rows(self._engine, "select status, text, reason from captions where meeting_id = :id", id=meeting)

    async def caption_of(self, mode: str = "") -> TimedCaption:
        return await self.wait_for_caption(await self.append_sentence(mode))


def reply_to(line: str) -> str:
    """Return the server's answer, by the mode word at the start of the sentence."""
    marks = {
        "as:eos": f"{GOOD_TRANSLATION} finish:eos",
        "as:empty": f"{GOOD_TRANSLATION} finish:",
        "as:upper": f"{GOOD_TRANSLATION} finish:STOP",
    }
    marks |= {"as:fence": f"```\n{GOOD_TRANSLATION}\n```", "as:thought": f"<think>So.</think>\n{GOOD_TRANSLATION}"}
    return next((answer for mark, answer in marks.items() if mark in line), GOOD_TRANSLATION)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, OpenAiServerState]]:
    monkeypatch.setenv("PARLEY_TRANSLATION_KEY", API_KEY)
    with openai_server() as (url, state):
        state.reply_to = reply_to
        yield url, state


@dataclass(frozen=True)
class ThreadedService:
    """The translation service on its own event loop, as in a replica."""

    translate: Translate
    problem: Callable[[], Awaitable[str]]


@pytest.fixture
def served(server: tuple[str, OpenAiServerState]) -> Iterator[ThreadedService]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    spec = OpenAiConfig(url=server[0], model=MODEL, key="PARLEY_TRANSLATION_KEY")
    maker = EngineFactory(spec)
    service = TranslationService(maker.create_translator, 0, maker.swap)

    def on_loop(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop)

    on_loop(service.reconfigure(spec.model_dump())).result(60)

    async def translate(request: TranslationRequest) -> Translation:
        return await asyncio.wrap_future(on_loop(service.translate(request)))

    async def problem() -> str:
        return await asyncio.wrap_future(on_loop(service.problem()))

    yield ThreadedService(translate, problem)
    on_loop(service.close()).result(60)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
async def scene(
    aengine: AsyncEngine,
    engine: Engine,
    redis_async: Any,
    redis_sync: redis.Redis,
    postgres_url: str,
    redis_url: str,
    served: ThreadedService,
) -> AsyncIterator[SentenceRunner]:
    async with aengine.begin() as connection:
        await ensure_lane(connection, "live-1", "live")
    backfill = Backfill(engine, redis_sync, served.translate)
    with running_lane(postgres_url, redis_url, "live-1", served.translate, "live", deadline=DEADLINE_S):
        yield SentenceRunner(MeetingService(aengine, LogWriter(redis_async)), aengine, engine, backfill)


def print_caption(what: str, caption: TimedCaption) -> None:
    print(f"{what:<55} {caption.seconds:5.1f} s  {caption.status}  {caption.reason or ''}")


async def test_each_caption_ends_with_the_expected_status(
    scene: SentenceRunner, server: tuple[str, OpenAiServerState], served: ThreadedService
) -> None:
    _, state = server

    async def translated(what: str, how: str = "") -> None:
        caption = await scene.caption_of(how)
        print_caption(what, caption)
        assert (caption.status, caption.text, caption.reason) == ("translated", GOOD_TRANSLATION, None), what

    # A model that is loaded on demand: one warm-up request, and the caption once the model is loaded.
    state.loading_s = LOADS_S
    await translated("a model that is loaded on demand")
    assert [body["max_tokens"] for body in state.bodies][:2].count(1) == 1
    assert state.bodies[1]["max_tokens"] > 1
    # Unusual forms of an answer.
    for how in ("eos", "empty", "upper", "no-reason", "whole", "parts", "null-delta", "thinking", "fence", "thought"):
        await translated(f"an answer: {how}", f"as:{how}")
    # A refused request: the caption is final, has the server's reason, and delays no other caption.
    for how, words in (("moderated", "400 data_inspection_failed"), ("thinking-only", "PARLEY_TRANSLATION_BODY")):
        caption = await scene.caption_of(f"as:{how}")
        print_caption(f"a refused request: {how}", caption)
        assert (caption.status, caption.text) == ("untranslated", None)
        assert words in str(caption.reason)
        assert "Monday" not in str(caption.reason)
        await translated("the next caption")
    # Unsupported parameters.
    state.unsupported_parameters = ("max_tokens", "temperature", "stream_options", "system")
    await translated("unsupported parameters")
    # Every request is refused: the captions wait, and the service reports the problem.
    for status, words in ((402, "account"), (401, "key"), (404, "model")):
        state.refusal_status = status
        with structlog.testing.capture_logs() as logs:
            meeting = await scene.append_sentence()
            async with asyncio.timeout(60):
                while words not in (problem := await served.problem()):
                    await asyncio.sleep(0.05)
            assert [status for status, *_ in scene.caption_rows(meeting)] == ["pending"]
            state.refusal_status = None
            caption = await scene.wait_for_caption(meeting)
        # The problem is logged once for all requests.
        assert [line["event"] for line in logs if problem in str(line)] == ["the model's server refuses every request"]
        print_caption(f"{status} for a while: {problem}", caption)
        assert (caption.status, caption.text) == ("translated", GOOD_TRANSLATION)
        assert await served.problem() == ""
    # An overloaded server.
    state.busy_responses = 2
    await translated("429 twice, with Retry-After as a date")
