"""A circuit breaker before an engine that a test scripts, and before a real server that goes away and comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, ClassVar

import pytest
import structlog
from purgatory.domain import model

from operators.errors import Malformed, Misconfigured, Unavailable
from serve.engines import breaker
from serve.engines.breaker import ANSWERED_S, FAILURES, OPEN_S, Guarded
from serve.engines.engine import CONTROL, Generation, Message, Prompt, Unanswerable, whole
from serve.engines.remote import FailedAtServer, RefusedByServer

QUESTION = Prompt((Message("user", "Yes."),), 5)
DOWN = Unavailable("down")


class Scripted:
    """An engine that does as `will` says, or `control` for a control question: raises it, or answers, and waits for `go` first."""

    name = "scripted"
    version = "1"

    def __init__(self) -> None:
        self.will: Exception | str = "Yes."
        self.control: Exception | str = "OK."
        self.asked = self.controls = 0
        self.go = asyncio.Event()
        self.go.set()

    async def generate(self, question: Prompt) -> AsyncGenerator[str | Generation]:
        self.asked += 1
        self.controls += question == CONTROL
        await self.go.wait()
        will = self.control if question == CONTROL else self.will
        if isinstance(will, Exception):
            raise will
        yield will
        yield Generation(will, "1", "stop", 0, 0, 0.1, 0.1)

    async def check_health(self) -> None:
        await whole(self.generate(QUESTION))

    async def close(self) -> None:
        self.asked = -1


class Metric:
    """Stands in for Ray's, which can be read in a running cluster only. It checks tags as strictly."""

    values: ClassVar[dict[tuple[str, str, str], float]] = {}

    def __init__(self, name: str, description: str, tag_keys: tuple[str, ...]) -> None:
        assert description
        self._name, self._keys = name, tag_keys

    def set_default_tags(self, tags: dict[str, str]) -> None:
        assert tuple(tags) == self._keys == ("engine", "model")
        self._at = (self._name, *tags.values())

    def set(self, value: float) -> None:
        self.values[self._at] = value

    def inc(self) -> None:
        self.values[self._at] = self.values.get(self._at, 0) + 1


@pytest.fixture
def engine() -> Scripted:
    return Scripted()


class Clock:
    """The breaker's time, which passes when the test says so. The wall clock may be set back beside it."""

    def __init__(self) -> None:
        self.now = time.time()
        self.set_back = 0.0

    def time(self) -> float:
        return self.now - self.set_back

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (breaker, model):
        monkeypatch.setattr(module, "time", clock)
    return clock


async def fail(guarded: Guarded, times: int = 1) -> Unavailable:
    for _ in range(times):
        with pytest.raises(Unavailable) as caught:
            await whole(guarded.generate(QUESTION))
    return caught.value


async def test_failures_in_a_row_open_it_and_it_refuses_at_once_with_the_seconds_left(
    engine: Scripted, clock: Clock
) -> None:
    guarded = Guarded(engine)
    engine.will = DOWN
    assert (await fail(guarded, FAILURES)).wait is None
    engine.will = "Yes."
    for passed in range(3):
        refusal = await fail(guarded)
        assert refusal.wait == pytest.approx(OPEN_S - passed)
        assert "left alone" in str(refusal)
        clock.now += 1
    assert engine.asked == FAILURES
    # What it holds on to does not grow with what is refused.
    assert guarded._circuit._state.__traceback__ is None


async def test_an_answer_in_between_begins_the_count_anew(engine: Scripted) -> None:
    guarded = Guarded(engine)
    engine.will = DOWN
    await fail(guarded, FAILURES - 1)
    engine.will = "Yes."
    await whole(guarded.generate(QUESTION))
    engine.will = DOWN
    await fail(guarded, FAILURES - 1)
    # The server answered to that, too.
    engine.will = Unanswerable("too long")
    with pytest.raises(Unanswerable):
        await whole(guarded.generate(QUESTION))
    engine.will = DOWN
    await fail(guarded, FAILURES - 1)
    engine.will = "Yes."
    assert (await whole(guarded.generate(QUESTION))).text == "Yes."


async def test_what_nobody_waits_for_any_more_says_nothing_either_way(engine: Scripted) -> None:
    guarded = Guarded(engine)
    engine.will = DOWN
    await fail(guarded, FAILURES - 1)
    engine.go.clear()
    for _ in range(2 * FAILURES):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await whole(guarded.generate(QUESTION))
    engine.go.set()
    engine.will = "Yes."
    async with aclosing(guarded.generate(QUESTION)) as answer:
        assert await anext(answer) == "Yes."
    assert engine.asked == 3 * FAILURES
    # Neither opened it, and neither began the count anew: the next failure opens it.
    engine.will = DOWN
    await fail(guarded)
    assert (await fail(guarded)).wait is not None


async def test_once_its_time_is_over_one_question_finds_out(engine: Scripted, clock: Clock) -> None:
    guarded = Guarded(engine)
    engine.will = DOWN
    await fail(guarded, FAILURES)
    clock.now += OPEN_S + 1
    # Still down: one question is enough.
    engine.go.clear()
    trying = asyncio.create_task(whole(guarded.generate(QUESTION)))
    await asyncio.sleep(0)
    await fail(guarded, 3)
    assert engine.asked == FAILURES + 1
    engine.go.set()
    with pytest.raises(Unavailable, match="down"):
        await trying
    assert (await fail(guarded)).wait is not None
    clock.now += OPEN_S + 1
    # Cancelled, the one that was to find out has not: the next one does.
    engine.go.clear()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await whole(guarded.generate(QUESTION))
    engine.go.set()
    engine.will = "Yes."
    for _ in range(3):
        assert (await whole(guarded.generate(QUESTION))).text == "Yes."
    engine.will = DOWN
    await fail(guarded, FAILURES - 1)
    engine.will = "Yes."
    await whole(guarded.generate(QUESTION))


async def test_a_server_that_asks_to_be_left_alone_is(engine: Scripted, clock: Clock) -> None:
    guarded = Guarded(engine)
    engine.will = Unavailable("busy", 7.0)
    await fail(guarded)
    engine.will = "Yes."
    assert (await fail(guarded)).wait == pytest.approx(7.0)
    assert engine.asked == 1
    clock.now += 8
    assert (await whole(guarded.generate(QUESTION))).text == "Yes."
    # But not for ever, and nobody is told to wait for longer.
    engine.will = Unavailable("busy", 1e9)
    assert (await fail(guarded)).wait == pytest.approx(600)
    assert (await fail(guarded)).wait == pytest.approx(600)


async def test_a_clock_that_is_set_back_does_not_keep_it_open_for_longer(engine: Scripted, clock: Clock) -> None:
    guarded = Guarded(engine)
    engine.will = DOWN
    await fail(guarded, FAILURES)
    engine.will = "Yes."
    clock.set_back = 3_600
    assert (await fail(guarded)).wait == pytest.approx(OPEN_S)
    clock.now += OPEN_S + 1
    assert (await whole(guarded.generate(QUESTION))).text == "Yes."


async def test_health_checks_go_past_it(engine: Scripted) -> None:
    guarded = Guarded(engine)
    engine.will = DOWN
    for _ in range(2 * FAILURES):
        with pytest.raises(Unavailable, match="down"):
            await guarded.check_health()
    assert engine.asked == 2 * FAILURES
    # It is closed as ever: the first question gets through.
    await fail(guarded, FAILURES)
    assert engine.asked == 3 * FAILURES
    engine.will = "Yes."
    await guarded.check_health()
    assert (await fail(guarded)).wait is not None


@pytest.mark.parametrize("by", ["a question", "a check"])
async def test_an_engine_that_answered_once_is_sound_from_then_on(engine: Scripted, by: str) -> None:
    guarded = Guarded(engine)
    if by == "a question":
        await whole(guarded.generate(QUESTION))
    await guarded.check_health()
    assert engine.asked == 1
    engine.will = DOWN
    await guarded.check_health()
    await fail(guarded)
    await guarded.check_health()
    assert engine.asked == 2


async def test_its_state_and_what_it_refused_are_told(
    engine: Scripted, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    values: dict[Any, float] = {}
    monkeypatch.setattr(Metric, "values", values)
    for name in ("Gauge", "Counter"):
        monkeypatch.setattr(breaker.metrics, name, Metric)
    state, refused = ((name, "scripted", "1") for name in ("parley_engine_breaker", "parley_engine_refused"))
    guarded = Guarded(engine)
    assert values == {state: 0}
    engine.will = DOWN
    await fail(guarded, FAILURES)
    assert values[state] == 2
    await fail(guarded, 3)
    assert values == {state: 2, refused: 3}
    clock.now += OPEN_S + 1
    engine.go.clear()
    trying = asyncio.create_task(whole(guarded.generate(QUESTION)))
    await asyncio.sleep(0)
    assert values[state] == 1
    engine.will = "Yes."
    engine.go.set()
    await trying
    assert values == {state: 0, refused: 3}
    engine.will = Unavailable("busy", 5.0)
    await fail(guarded)
    assert values[state] == 2


async def test_it_is_the_engine_to_whoever_asks(engine: Scripted) -> None:
    guarded = Guarded(engine)
    assert (guarded.name, guarded.version) == ("scripted", "1")
    await guarded.close()
    assert engine.asked == -1


MODERATED = RefusedByServer("400 data_inspection_failed")
PARAMETER = RefusedByServer("400 Unsupported parameter: 'max_tokens'")
NO_KEY = Misconfigured("the model's server refuses the key: look at the engine's `key`")


async def test_a_question_that_a_server_refuses_is_no_outage(engine: Scripted, clock: Clock) -> None:
    guarded = Guarded(engine)
    engine.will = MODERATED
    for _ in range(3 * FAILURES):
        with pytest.raises(RefusedByServer, match="data_inspection_failed"):
            await whole(guarded.generate(QUESTION))
    # The first one is told from an outage by a control question; its answer counts for a while.
    assert engine.controls == 1
    clock.now += ANSWERED_S
    with pytest.raises(RefusedByServer):
        await whole(guarded.generate(QUESTION))
    assert engine.controls == 2
    engine.will = "Yes."
    assert (await whole(guarded.generate(QUESTION))).text == "Yes."
    engine.will = MODERATED
    with pytest.raises(RefusedByServer):
        await whole(guarded.generate(QUESTION))
    assert engine.controls == 2


async def test_questions_refused_at_the_same_time_share_a_control_question(engine: Scripted) -> None:
    guarded = Guarded(engine)
    engine.will = MODERATED
    engine.go.clear()
    asked = [asyncio.create_task(whole(guarded.generate(QUESTION))) for _ in range(10)]
    while engine.asked < len(asked):
        await asyncio.sleep(0)
    engine.go.set()
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(each) for each in results] == [RefusedByServer] * 10
    assert engine.controls == 1


@pytest.mark.parametrize(
    ("control", "kind", "words"),
    [
        (PARAMETER, Misconfigured, "every question: .*max_tokens"),
        (NO_KEY, Misconfigured, "refuses the key"),
        (DOWN, Unavailable, "down"),
        (Malformed("no answer"), Malformed, "no answer"),
    ],
)
async def test_a_refusal_is_not_about_the_question_where_a_control_question_fails_too(
    engine: Scripted, control: Exception, kind: type[Exception], words: str
) -> None:
    guarded = Guarded(engine)
    engine.will, engine.control = MODERATED, control
    with pytest.raises(kind, match=words):
        await whole(guarded.generate(QUESTION))


async def test_a_server_that_is_misconfigured_is_told_once_and_asked_ever_more_seldom(
    engine: Scripted, clock: Clock
) -> None:
    guarded = Guarded(engine)
    engine.will = NO_KEY
    waits: list[float] = []
    with structlog.testing.capture_logs() as logs:
        for _ in range(8):
            waits.append((await fail(guarded)).wait or 0.0)
            assert "refuses the key" in str(await fail(guarded))
            clock.now += waits[-1]
        engine.will = "Yes."
        assert (await whole(guarded.generate(QUESTION))).text == "Yes."
        engine.will = NO_KEY
        assert (await fail(guarded)).wait == waits[0]
    assert waits == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert [(each["log_level"], each.get("problem")) for each in logs] == [
        ("error", str(NO_KEY)),
        ("info", None),
        ("error", str(NO_KEY)),
    ]
    # Nothing was asked while it was left alone.
    assert engine.asked == len(waits) + 2


async def test_a_model_s_name_may_have_any_letters(engine: Scripted) -> None:
    engine.version = "模型-7B é"
    # Ray's metrics are the real ones here.
    assert (await whole(Guarded(engine).generate(QUESTION))).text == "Yes."


async def test_a_question_at_which_a_server_fails_opens_it_for_no_other_one(engine: Scripted, clock: Clock) -> None:
    guarded = Guarded(engine)
    engine.will = FailedAtServer("the model's server answers 500")
    for round_ in range(1, 4):
        # An outage at first; the last one in a row is told from it by a control question.
        assert not isinstance(await fail(guarded, FAILURES - 1), Malformed)
        assert isinstance(await fail(guarded), Malformed)
        assert engine.controls == round_
    engine.will = "Yes."
    assert (await whole(guarded.generate(QUESTION))).text == "Yes."


async def test_a_server_that_fails_at_a_control_question_too_is_left_alone(engine: Scripted, clock: Clock) -> None:
    guarded = Guarded(engine)
    engine.will = engine.control = FailedAtServer("the model's server answers 500")
    assert not isinstance(await fail(guarded, FAILURES), Malformed)
    assert "left alone" in str(await fail(guarded))
    # Half open, a question at which it fails alone opens it no more.
    clock.now += OPEN_S + 1
    engine.control = "OK."
    assert isinstance(await fail(guarded), Malformed)
    engine.will = "Yes."
    assert (await whole(guarded.generate(QUESTION))).text == "Yes."
