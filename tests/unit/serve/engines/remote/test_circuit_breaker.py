"""Tests serve/engines/remote/circuit_breaker.py with a scripted engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, ClassVar

import pytest
import structlog

from operators.errors import MalformedResponseError, MisconfiguredError, UnavailableError
from serve.engines.protocol import CONTROL_PROMPT, Generation, Message, NonRetryableError, Prompt, collect
from serve.engines.remote import circuit_breaker
from serve.engines.remote.circuit_breaker import MAX_FAILURE_COUNT, OPEN_S, RECENT_ANSWER_S, CircuitBreakerEngine
from serve.engines.server_errors import ServerFailureError, ServerRejectedError

QUESTION = Prompt((Message("user", "Yes."),), 5)
OUTAGE = UnavailableError("down")


class ScriptedPromptEngine:
    """An engine that raises or returns `reply`, or `control_reply` for a control request, after `may_answer` is set."""

    name = "scripted"
    version = "1"

    def __init__(self) -> None:
        self.reply: Exception | str = "Yes."
        self.control_reply: Exception | str = "OK."
        self.question_count = self.control_count = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def generate(self, question: Prompt) -> AsyncGenerator[str | Generation]:
        self.question_count += 1
        self.control_count += question == CONTROL_PROMPT
        await self.may_answer.wait()
        will = self.control_reply if question == CONTROL_PROMPT else self.reply
        if isinstance(will, Exception):
            raise will
        yield will
        yield Generation(will, "1", "stop", 0, 0, 0.1, 0.1)

    async def check_health(self) -> None:
        await collect(self.generate(QUESTION))

    async def close(self) -> None:
        self.question_count = -1


class FakeRayGauge:
    """Replaces Ray's metric, which can be read in a running cluster only. It checks tags as strictly."""

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
def engine() -> ScriptedPromptEngine:
    return ScriptedPromptEngine()


class FakeTime:
    """The breaker's clock, which a test advances."""

    def __init__(self) -> None:
        self.now = time.monotonic()

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    clock = FakeTime()
    monkeypatch.setattr(circuit_breaker, "time", clock)
    return clock


async def fail_times(guarded: CircuitBreakerEngine, times: int = 1) -> UnavailableError:
    for _ in range(times):
        with pytest.raises(UnavailableError) as caught:
            await collect(guarded.generate(QUESTION))
    return caught.value


async def test_consecutive_failures_open_the_breaker_and_requests_fail_at_once(
    engine: ScriptedPromptEngine, clock: FakeTime
) -> None:
    guarded = CircuitBreakerEngine(engine)
    engine.reply = OUTAGE
    assert (await fail_times(guarded, MAX_FAILURE_COUNT)).retry_after_s is None
    engine.reply = "Yes."
    for passed in range(3):
        refusal = await fail_times(guarded)
        assert refusal.retry_after_s == pytest.approx(OPEN_S - passed)
        assert "gets no requests" in str(refusal)
        clock.now += 1
    assert engine.question_count == MAX_FAILURE_COUNT


async def test_an_answer_resets_the_failure_count(engine: ScriptedPromptEngine) -> None:
    guarded = CircuitBreakerEngine(engine)
    engine.reply = OUTAGE
    await fail_times(guarded, MAX_FAILURE_COUNT - 1)
    engine.reply = "Yes."
    await collect(guarded.generate(QUESTION))
    engine.reply = OUTAGE
    await fail_times(guarded, MAX_FAILURE_COUNT - 1)
    # A rejection is an answer of the server as well.
    engine.reply = NonRetryableError("too long")
    with pytest.raises(NonRetryableError):
        await collect(guarded.generate(QUESTION))
    engine.reply = OUTAGE
    await fail_times(guarded, MAX_FAILURE_COUNT - 1)
    engine.reply = "Yes."
    assert (await collect(guarded.generate(QUESTION))).text == "Yes."


async def test_a_cancelled_request_counts_neither_way(engine: ScriptedPromptEngine) -> None:
    guarded = CircuitBreakerEngine(engine)
    engine.reply = OUTAGE
    await fail_times(guarded, MAX_FAILURE_COUNT - 1)
    engine.may_answer.clear()
    for _ in range(2 * MAX_FAILURE_COUNT):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await collect(guarded.generate(QUESTION))
    engine.may_answer.set()
    engine.reply = "Yes."
    async with aclosing(guarded.generate(QUESTION)) as answer:
        assert await anext(answer) == "Yes."
    assert engine.question_count == 3 * MAX_FAILURE_COUNT
    # Neither opened the breaker nor reset the count: the next failure opens it.
    engine.reply = OUTAGE
    await fail_times(guarded)
    assert (await fail_times(guarded)).retry_after_s is not None


async def test_a_half_open_breaker_passes_one_request(engine: ScriptedPromptEngine, clock: FakeTime) -> None:
    guarded = CircuitBreakerEngine(engine)
    engine.reply = OUTAGE
    await fail_times(guarded, MAX_FAILURE_COUNT)
    clock.now += OPEN_S + 1
    # The server is still down: one request reopens the breaker.
    engine.may_answer.clear()
    trying = asyncio.create_task(collect(guarded.generate(QUESTION)))
    await asyncio.sleep(0)
    await fail_times(guarded, 3)
    assert engine.question_count == MAX_FAILURE_COUNT + 1
    engine.may_answer.set()
    with pytest.raises(UnavailableError, match="down"):
        await trying
    assert (await fail_times(guarded)).retry_after_s is not None
    clock.now += OPEN_S + 1
    # The trial request was cancelled, so the next one is the trial.
    engine.may_answer.clear()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await collect(guarded.generate(QUESTION))
    engine.may_answer.set()
    engine.reply = "Yes."
    for _ in range(3):
        assert (await collect(guarded.generate(QUESTION))).text == "Yes."
    engine.reply = OUTAGE
    await fail_times(guarded, MAX_FAILURE_COUNT - 1)
    engine.reply = "Yes."
    await collect(guarded.generate(QUESTION))


async def test_retry_after_blocks_requests(engine: ScriptedPromptEngine, clock: FakeTime) -> None:
    guarded = CircuitBreakerEngine(engine)
    engine.reply = UnavailableError("busy", 7.0)
    await fail_times(guarded)
    engine.reply = "Yes."
    assert (await fail_times(guarded)).retry_after_s == pytest.approx(7.0)
    assert engine.question_count == 1
    clock.now += 8
    assert (await collect(guarded.generate(QUESTION))).text == "Yes."
    # The wait is bounded, in the error as well.
    engine.reply = UnavailableError("busy", 1e9)
    assert (await fail_times(guarded)).retry_after_s == pytest.approx(600)
    assert (await fail_times(guarded)).retry_after_s == pytest.approx(600)


async def test_health_checks_bypass_the_breaker(engine: ScriptedPromptEngine) -> None:
    guarded = CircuitBreakerEngine(engine)
    engine.reply = OUTAGE
    for _ in range(2 * MAX_FAILURE_COUNT):
        with pytest.raises(UnavailableError, match="down"):
            await guarded.check_health()
    assert engine.question_count == 2 * MAX_FAILURE_COUNT
    # The breaker is still closed: the first request passes.
    await fail_times(guarded, MAX_FAILURE_COUNT)
    assert engine.question_count == 3 * MAX_FAILURE_COUNT
    engine.reply = "Yes."
    await guarded.check_health()
    assert (await fail_times(guarded)).retry_after_s is not None


@pytest.mark.parametrize("by", ["a question", "a check"])
async def test_an_engine_is_healthy_after_its_first_answer(engine: ScriptedPromptEngine, by: str) -> None:
    guarded = CircuitBreakerEngine(engine)
    if by == "a question":
        await collect(guarded.generate(QUESTION))
    await guarded.check_health()
    assert engine.question_count == 1
    engine.reply = OUTAGE
    await guarded.check_health()
    await fail_times(guarded)
    await guarded.check_health()
    assert engine.question_count == 2


async def test_state_and_rejections_are_exported_as_metrics(
    engine: ScriptedPromptEngine, clock: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    values: dict[Any, float] = {}
    monkeypatch.setattr(FakeRayGauge, "values", values)
    for name in ("Gauge", "Counter"):
        monkeypatch.setattr(circuit_breaker.metrics, name, FakeRayGauge)
    state, refused = ((name, "scripted", "1") for name in ("parley_engine_breaker", "parley_engine_refused"))
    guarded = CircuitBreakerEngine(engine)
    assert values == {state: 0}
    engine.reply = OUTAGE
    await fail_times(guarded, MAX_FAILURE_COUNT)
    assert values[state] == 2
    await fail_times(guarded, 3)
    assert values == {state: 2, refused: 3}
    clock.now += OPEN_S + 1
    engine.may_answer.clear()
    trying = asyncio.create_task(collect(guarded.generate(QUESTION)))
    await asyncio.sleep(0)
    assert values[state] == 1
    engine.reply = "Yes."
    engine.may_answer.set()
    await trying
    assert values == {state: 0, refused: 3}
    engine.reply = UnavailableError("busy", 5.0)
    await fail_times(guarded)
    assert values[state] == 2


async def test_the_breaker_has_the_name_and_version_of_its_engine(engine: ScriptedPromptEngine) -> None:
    guarded = CircuitBreakerEngine(engine)
    assert (guarded.name, guarded.version) == ("scripted", "1")
    await guarded.close()
    assert engine.question_count == -1


MODERATED = ServerRejectedError("400 data_inspection_failed")
PARAMETER = ServerRejectedError("400 Unsupported parameter: 'max_tokens'")
NO_KEY = MisconfiguredError("the model's server refuses the key: check the engine's `key`")


async def test_a_rejected_request_is_no_failure(engine: ScriptedPromptEngine, clock: FakeTime) -> None:
    guarded = CircuitBreakerEngine(engine)
    engine.reply = MODERATED
    for _ in range(3 * MAX_FAILURE_COUNT):
        with pytest.raises(ServerRejectedError, match="data_inspection_failed"):
            await collect(guarded.generate(QUESTION))
    # The first rejection is followed by a control request, whose answer counts for a while.
    assert engine.control_count == 1
    clock.now += RECENT_ANSWER_S
    with pytest.raises(ServerRejectedError):
        await collect(guarded.generate(QUESTION))
    assert engine.control_count == 2
    engine.reply = "Yes."
    assert (await collect(guarded.generate(QUESTION))).text == "Yes."
    engine.reply = MODERATED
    with pytest.raises(ServerRejectedError):
        await collect(guarded.generate(QUESTION))
    assert engine.control_count == 2


async def test_concurrent_rejections_share_a_control_request(engine: ScriptedPromptEngine) -> None:
    guarded = CircuitBreakerEngine(engine)
    engine.reply = MODERATED
    engine.may_answer.clear()
    tasks = [asyncio.create_task(collect(guarded.generate(QUESTION))) for _ in range(10)]
    while engine.question_count < len(tasks):
        await asyncio.sleep(0)
    engine.may_answer.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in results] == [ServerRejectedError] * 10
    assert engine.control_count == 1


@pytest.mark.parametrize(
    ("control", "kind", "words"),
    [
        (PARAMETER, MisconfiguredError, "every request: .*max_tokens"),
        (NO_KEY, MisconfiguredError, "refuses the key"),
        (OUTAGE, UnavailableError, "down"),
        (MalformedResponseError("no answer"), MalformedResponseError, "no answer"),
    ],
)
async def test_a_rejected_control_request_means_misconfiguration(
    engine: ScriptedPromptEngine, control: Exception, kind: type[Exception], words: str
) -> None:
    guarded = CircuitBreakerEngine(engine)
    engine.reply, engine.control_reply = MODERATED, control
    with pytest.raises(kind, match=words):
        await collect(guarded.generate(QUESTION))


async def test_a_misconfigured_server_is_logged_once_and_probed_with_growing_pauses(
    engine: ScriptedPromptEngine, clock: FakeTime
) -> None:
    guarded = CircuitBreakerEngine(engine)
    engine.reply = NO_KEY
    waits: list[float] = []
    with structlog.testing.capture_logs() as logs:
        for _ in range(8):
            waits.append((await fail_times(guarded)).retry_after_s or 0.0)
            assert "refuses the key" in str(await fail_times(guarded))
            clock.now += waits[-1]
        engine.reply = "Yes."
        assert (await collect(guarded.generate(QUESTION))).text == "Yes."
        engine.reply = NO_KEY
        assert (await fail_times(guarded)).retry_after_s == waits[0]
    assert waits == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert [(each["log_level"], each.get("problem")) for each in logs] == [
        ("error", str(NO_KEY)),
        ("info", None),
        ("error", str(NO_KEY)),
    ]
    # The server got no requests during the pause.
    assert engine.question_count == len(waits) + 2


async def test_a_model_name_may_have_any_characters(engine: ScriptedPromptEngine) -> None:
    engine.version = "模型-7B é"
    # This test uses Ray's real metrics.
    assert (await collect(CircuitBreakerEngine(engine).generate(QUESTION))).text == "Yes."


async def test_a_failing_request_does_not_open_the_breaker_for_others(
    engine: ScriptedPromptEngine, clock: FakeTime
) -> None:
    guarded = CircuitBreakerEngine(engine)
    engine.reply = ServerFailureError("the model's server answers 500")
    for round_ in range(1, 4):
        # These count as an outage, until the last one in a row is followed by a control request.
        assert not isinstance(await fail_times(guarded, MAX_FAILURE_COUNT - 1), MalformedResponseError)
        assert isinstance(await fail_times(guarded), MalformedResponseError)
        assert engine.control_count == round_
    engine.reply = "Yes."
    assert (await collect(guarded.generate(QUESTION))).text == "Yes."


async def test_a_failed_control_request_opens_the_breaker(engine: ScriptedPromptEngine, clock: FakeTime) -> None:
    guarded = CircuitBreakerEngine(engine)
    engine.reply = engine.control_reply = ServerFailureError("the model's server answers 500")
    assert not isinstance(await fail_times(guarded, MAX_FAILURE_COUNT), MalformedResponseError)
    assert "gets no requests" in str(await fail_times(guarded))
    # A failing request doesn't reopen a half-open breaker.
    clock.now += OPEN_S + 1
    engine.control_reply = "OK."
    assert isinstance(await fail_times(guarded), MalformedResponseError)
    engine.reply = "Yes."
    assert (await collect(guarded.generate(QUESTION))).text == "Yes."
