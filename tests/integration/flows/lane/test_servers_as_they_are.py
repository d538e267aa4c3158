"""From what is said to its caption by way of a real server that behaves as servers do: each caption ends as it should.

A live lane, the backfill, the whole engine and an OpenAI-style server on a socket; all but Ray Serve between them.
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
from operators.model import Chunk, Clock, Ended
from operators.models import OpenAi
from operators.translation import Translation, TranslationRequest
from serve.engines.making import Maker
from serve.translation import TranslationService
from storage.log import Log, NewEvent
from storage.meetings import Meetings
from storage.placement import ensure_lane
from tests.harness.lanes import Translate, feed, open_recorded, rows, running
from tests.harness.openai_server import KEY, MODEL, Asked, openai_server

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("clean_database")]

SAID = "The meeting starts on Monday at ten."
RIGHT = "A reunião começa na segunda-feira às dez."
LOADS_S = 6.0
"""Seconds: longer than a live caption may take here, and than a question waits for the model."""
DEADLINE_S = 3.0


@dataclass(frozen=True)
class Caption:
    """What became of a sentence, and after how many seconds."""

    status: str
    text: str | None
    reason: str | None
    seconds: float


class Scene:
    """Says sentences, each in a meeting of its own, and sees what becomes of them."""

    def __init__(self, meetings: Meetings, aengine: AsyncEngine, engine: Engine, backfill: Backfill) -> None:
        self._meetings, self._aengine, self._engine, self._backfill = meetings, aengine, engine, backfill

    async def say(self, how: str = "") -> UUID:
        meeting = await open_recorded(self._meetings, self._aengine, clock=Clock.LIVE)
        chunk = Chunk(chunk_id="1", speaker="Ann", text=f"{how} {SAID}".strip(), start=0.0, end=1.0)
        await feed(self._meetings, meeting, [NewEvent("1", chunk, None), NewEvent("2", Ended(), None)])
        return meeting

    async def becomes(self, meeting: UUID, seconds: float = 60.0) -> Caption:
        """Wait for the caption's end, while the backfill pays what is owed."""
        began = time.monotonic()
        while True:
            found = rows(self._engine, "select status, text, reason from captions where meeting_id = :id", id=meeting)
            if found and found[0][0] != "pending":
                return Caption(*found[0], time.monotonic() - began)
            assert time.monotonic() - began < seconds, f"it is still {found}"
            await self._backfill.run_once()
            # Its pauses grow to 15 s, which the test has no use for.
            with self._engine.begin() as connection:
                connection.execute(
                    text(
                        "update captions set due_at = now() where status = 'pending' and due_at < now() + interval '16 s'"
                    )
                )
            await asyncio.sleep(0.05)

    def rows(self, meeting: UUID) -> list[Any]:
        return rows(self._engine, "select status, text, reason from captions where meeting_id = :id", id=meeting)

    async def caption(self, how: str = "") -> Caption:
        return await self.becomes(await self.say(how))


def says(line: str) -> str:
    """What the server answers: as the sentence's first word has it."""
    marks = {"as:eos": f"{RIGHT} finish:eos", "as:empty": f"{RIGHT} finish:", "as:upper": f"{RIGHT} finish:STOP"}
    marks |= {"as:fence": f"```\n{RIGHT}\n```", "as:thought": f"<think>So.</think>\n{RIGHT}"}
    return next((answer for mark, answer in marks.items() if mark in line), RIGHT)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Asked]]:
    monkeypatch.setenv("PARLEY_TRANSLATION_KEY", KEY)
    with openai_server() as (url, asked):
        asked.says = says
        yield url, asked


@dataclass(frozen=True)
class Served:
    """The translation service on an event loop of its own, as in a replica."""

    translate: Translate
    problem: Callable[[], Awaitable[str]]


@pytest.fixture
def served(server: tuple[str, Asked]) -> Iterator[Served]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    spec = OpenAi(url=server[0], model=MODEL, key="PARLEY_TRANSLATION_KEY")
    maker = Maker(spec)
    service = TranslationService(maker.translator, 0, maker.change)

    def on_loop(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop)

    on_loop(service.reconfigure(spec.model_dump())).result(60)

    async def translate(request: TranslationRequest) -> Translation:
        return await asyncio.wrap_future(on_loop(service.translate(request)))

    async def problem() -> str:
        return await asyncio.wrap_future(on_loop(service.problem()))

    yield Served(translate, problem)
    on_loop(service.__del__()).result(60)
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
    served: Served,
) -> AsyncIterator[Scene]:
    async with aengine.begin() as connection:
        await ensure_lane(connection, "live-1", "live")
    backfill = Backfill(engine, redis_sync, served.translate)
    with running(postgres_url, redis_url, "live-1", served.translate, "live", deadline=DEADLINE_S):
        yield Scene(Meetings(aengine, Log(redis_async)), aengine, engine, backfill)


def show(what: str, caption: Caption) -> None:
    print(f"{what:<55} {caption.seconds:5.1f} s  {caption.status}  {caption.reason or ''}")


async def test_each_caption_ends_as_it_should(scene: Scene, server: tuple[str, Asked], served: Served) -> None:
    _, asked = server

    async def translated(what: str, how: str = "") -> None:
        caption = await scene.caption(how)
        show(what, caption)
        assert (caption.status, caption.text, caption.reason) == ("translated", RIGHT, None), what

    # A model that is loaded on demand: one question of our own, and the caption once it is there.
    asked.loads = LOADS_S
    await translated("the model is loaded when it is asked")
    assert [body["max_tokens"] for body in asked.bodies][:2].count(1) == 1
    assert asked.bodies[1]["max_tokens"] > 1
    # Answers as they are.
    for how in ("eos", "empty", "upper", "no-reason", "whole", "parts", "null-delta", "thinking", "fence", "thought"):
        await translated(f"an answer: {how}", f"as:{how}")
    # A question that is refused: for good, in the server's words, and nobody else waits for it.
    for how, words in (("moderated", "400 data_inspection_failed"), ("thinking-only", "PARLEY_TRANSLATION_BODY")):
        caption = await scene.caption(f"as:{how}")
        show(f"a question that is refused: {how}", caption)
        assert (caption.status, caption.text) == ("untranslated", None)
        assert words in str(caption.reason)
        assert "Monday" not in str(caption.reason)
        await translated("the next one")
    # Parameters that are not taken.
    asked.unsupported = ("max_tokens", "temperature", "stream_options", "system")
    await translated("parameters that are not taken")
    # Every question is refused: the captions wait, and somebody is told.
    for status, words in ((402, "account"), (401, "key"), (404, "model")):
        asked.refuses = status
        with structlog.testing.capture_logs() as logs:
            meeting = await scene.say()
            async with asyncio.timeout(60):
                while words not in (told := await served.problem()):
                    await asyncio.sleep(0.05)
            assert [status for status, *_ in scene.rows(meeting)] == ["pending"]
            asked.refuses = None
            caption = await scene.becomes(meeting)
        # However often the caption was asked for, the log tells it once.
        assert [line["event"] for line in logs if told in str(line)] == ["the model's server refuses every question"]
        show(f"{status} until it was mended: {told}", caption)
        assert (caption.status, caption.text) == ("translated", RIGHT)
        assert await served.problem() == ""
    # Too much to do, and errors in place of answers.
    asked.busy = 2
    await translated("429 twice, with Retry-After as a date")
