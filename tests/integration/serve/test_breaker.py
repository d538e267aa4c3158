"""A circuit breaker before a real server that goes away and comes back."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from operators.errors import Misconfigured, Unavailable
from serve.engines import breaker
from serve.engines.breaker import FAILURES, Guarded
from serve.engines.engine import Message, Prompt, Unanswerable, whole
from serve.engines.openai import OpenAiEngine
from serve.engines.prompted import PromptedTranslator
from tests.harness.openai_server import KEY, MODEL, openai_server

QUESTION = Prompt((Message("user", "Yes."),), 5)


async def refusal(guarded: Guarded) -> str:
    with pytest.raises(Unavailable) as caught:
        await whole(guarded.generate(QUESTION))
    return str(caught.value)


async def test_a_real_server_that_goes_away_is_left_alone() -> None:
    with openai_server() as (url, _):
        engine = OpenAiEngine(url, MODEL, KEY)
        guarded = Guarded(engine)
        assert (await whole(guarded.generate(QUESTION))).text == "Yes."
    for _ in range(FAILURES):
        assert "left alone" not in await refusal(guarded)
    assert "left alone" in await refusal(guarded)
    # Its replica is sound all the same.
    await guarded.check_health()
    await guarded.close()


def asked(text: str) -> Prompt:
    return Prompt((Message("user", text),), 50)


async def test_a_sentence_that_a_real_server_refuses_stops_no_other() -> None:
    with openai_server() as (url, _):
        guarded = Guarded(OpenAiEngine(url, MODEL, KEY))
        for _ in range(2 * FAILURES):
            with pytest.raises(Unanswerable, match=r"data_inspection_failed .*inappropriate") as caught:
                await whole(guarded.generate(asked("as:moderated Kowalska earns more.")))
            assert "Kowalska" not in str(caught.value)
            assert (await whole(guarded.generate(QUESTION))).text == "Yes."
        await guarded.close()


@pytest.mark.parametrize(
    ("refuses", "unsupported", "words"),
    [
        (403, (), "refuses every question: .*403 as it stands"),
        (402, (), "account"),
        (404, (), "doesn't know the model"),
        (None, ("reasoning_effort",), "Unsupported parameter: 'reasoning_effort'"),
    ],
)
async def test_a_real_server_that_refuses_every_question_is_left_alone_with_its_own_words(
    refuses: int | None, unsupported: tuple[str, ...], words: str
) -> None:
    with openai_server() as (url, server):
        guarded = Guarded(OpenAiEngine(url, MODEL, KEY, {"reasoning_effort": "none"}))
        server.refuses, server.unsupported = refuses, unsupported
        with pytest.raises(Misconfigured, match=words):
            await whole(guarded.generate(asked("as:moderated Kowalska earns more.")))
        before = len(server.bodies)
        with pytest.raises(Unavailable, match=f"left alone .*{words}") as caught:
            await whole(guarded.generate(QUESTION))
        assert caught.value.wait
        assert len(server.bodies) == before
        await guarded.close()


async def test_what_concerns_every_question_is_told_until_the_server_answers_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(breaker, "_FIRST_PROBE_S", 0.05)
    monkeypatch.setattr(breaker, "_LAST_PROBE_S", 0.2)
    monkeypatch.setattr(breaker, "_LEAST_PAUSE_S", 0.01)
    with openai_server() as (url, server), structlog.testing.capture_logs() as logs:
        guarded = Guarded(OpenAiEngine(url, MODEL, KEY))
        translator = PromptedTranslator(guarded)
        assert translator.problem is None
        server.refuses = 402
        # Questions that are refused at the same time are one refusal.
        results = await asyncio.gather(*(refusal(guarded) for _ in range(20)))
        assert all("account" in each for each in results)
        assert "wants the account to be paid: 402" in str(translator.problem)
        async with asyncio.timeout(30):
            while len(server.bodies) < 24:
                await asyncio.sleep(0.01)
        # Nobody asks anything: it is found out all the same.
        server.refuses = None
        async with asyncio.timeout(30):
            while translator.problem is not None:
                await asyncio.sleep(0.01)
        assert (await whole(guarded.generate(QUESTION))).text == "Yes."
        await guarded.close()
    assert [each["event"] for each in logs] == [
        "the model's server refuses every question",
        "the model's server answers again",
    ]
