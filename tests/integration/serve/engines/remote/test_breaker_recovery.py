"""Tests serve/engines/remote/circuit_breaker.py with a real server that goes down and recovers."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from operators.errors import MisconfiguredError, UnavailableError
from serve.engines.protocol import Message, NonRetryableError, Prompt, collect
from serve.engines.remote import circuit_breaker
from serve.engines.remote.circuit_breaker import MAX_FAILURE_COUNT, CircuitBreakerEngine
from serve.engines.remote.openai import OpenAiEngine
from serve.translation.llm.translator import LlmTranslator
from tests.harness.doubles.openai_server import API_KEY, MODEL, openai_server

QUESTION = Prompt((Message("user", "Yes."),), 5)


async def refusal_text(guarded: CircuitBreakerEngine) -> str:
    with pytest.raises(UnavailableError) as caught:
        await collect(guarded.generate(QUESTION))
    return str(caught.value)


async def test_a_server_that_goes_down_opens_the_breaker() -> None:
    with openai_server() as (url, _):
        engine = OpenAiEngine(url, MODEL, API_KEY)
        guarded = CircuitBreakerEngine(engine)
        assert (await collect(guarded.generate(QUESTION))).text == "Yes."
    for _ in range(MAX_FAILURE_COUNT):
        assert "gets no requests" not in await refusal_text(guarded)
    assert "gets no requests" in await refusal_text(guarded)
    # The replica stays healthy.
    await guarded.check_health()
    await guarded.close()


def make_prompt(text: str) -> Prompt:
    return Prompt((Message("user", text),), 50)


async def test_a_rejected_sentence_does_not_block_others() -> None:
    with openai_server() as (url, _):
        guarded = CircuitBreakerEngine(OpenAiEngine(url, MODEL, API_KEY))
        for _ in range(2 * MAX_FAILURE_COUNT):
            with pytest.raises(NonRetryableError, match=r"data_inspection_failed .*inappropriate") as caught:
                await collect(guarded.generate(make_prompt("as:moderated Kowalska earns more.")))
            assert "Kowalska" not in str(caught.value)
            assert (await collect(guarded.generate(QUESTION))).text == "Yes."
        await guarded.close()


@pytest.mark.parametrize(
    ("refuses", "unsupported", "words"),
    [
        (403, (), "refuses every request: .*403 as it stands"),
        (402, (), "account"),
        (404, (), "doesn't know the model"),
        (None, ("reasoning_effort",), "Unsupported parameter: 'reasoning_effort'"),
    ],
)
async def test_a_server_that_rejects_every_request_opens_the_breaker_with_its_message(
    refuses: int | None, unsupported: tuple[str, ...], words: str
) -> None:
    with openai_server() as (url, server):
        guarded = CircuitBreakerEngine(OpenAiEngine(url, MODEL, API_KEY, {"reasoning_effort": "none"}))
        server.refusal_status, server.unsupported_parameters = refuses, unsupported
        with pytest.raises(MisconfiguredError, match=words):
            await collect(guarded.generate(make_prompt("as:moderated Kowalska earns more.")))
        before = len(server.bodies)
        with pytest.raises(UnavailableError, match=f"gets no requests .*{words}") as caught:
            await collect(guarded.generate(QUESTION))
        assert caught.value.retry_after_s
        assert len(server.bodies) == before
        await guarded.close()


async def test_the_problem_is_reported_until_the_server_answers_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(circuit_breaker, "_FIRST_PROBE_PAUSE_S", 0.05)
    monkeypatch.setattr(circuit_breaker, "_MAX_PROBE_PAUSE_S", 0.2)
    monkeypatch.setattr(circuit_breaker, "_MIN_PROBE_PAUSE_S", 0.01)
    with openai_server() as (url, server), structlog.testing.capture_logs() as logs:
        guarded = CircuitBreakerEngine(OpenAiEngine(url, MODEL, API_KEY))
        translator = LlmTranslator(guarded)
        assert translator.problem is None
        server.refusal_status = 402
        # Requests that are rejected at the same time count as one rejection.
        results = await asyncio.gather(*(refusal_text(guarded) for _ in range(20)))
        assert all("account" in each for each in results)
        assert "requires payment for the account: 402" in str(translator.problem)
        async with asyncio.timeout(30):
            while len(server.bodies) < 24:
                await asyncio.sleep(0.01)
        # The recovery is detected without any request.
        server.refusal_status = None
        async with asyncio.timeout(30):
            while translator.problem is not None:
                await asyncio.sleep(0.01)
        assert (await collect(guarded.generate(QUESTION))).text == "Yes."
        await guarded.close()
    assert [each["event"] for each in logs] == [
        "the model's server refuses every request",
        "the model's server answers again",
    ]
