"""Tests serve/engines/remote/translation_v3.py: requests, and the mapping of errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from cluster.ports import find_free_port
from operators.errors import ParleyError, UnavailableError
from serve.engines.protocol import Generation, Message, NonRetryableError, Prompt, collect
from serve.engines.remote.translation_v3 import TranslationV3Engine
from tests.harness.doubles.translation_v3_server import (
    API_KEY,
    MALFORMED_BODIES,
    MODEL,
    TranslationV3State,
    translation_v3_server,
)

Server = tuple[str, TranslationV3State]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    with translation_v3_server() as server:
        yield server


def make_prompt(text: str, max_tokens: int = 50) -> Prompt:
    return Prompt((Message("system", "Say it back."), Message("user", text)), max_tokens, temperature=0.5)


@pytest.mark.parametrize("older", [False, True])
async def test_the_prompt_is_sent_and_answered_in_one_piece(server: Server, older: bool) -> None:
    url, state = server
    state.uses_old_fields = older
    engine = TranslationV3Engine(url, API_KEY)
    pieces = [piece async for piece in engine.generate(make_prompt("We begin now."))]
    assert pieces[:-1] == ["We begin now."]
    answer = pieces[-1]
    assert isinstance(answer, Generation)
    assert (answer.text, answer.model, answer.finish, answer.completion_tokens) == ("We begin now.", MODEL, "stop", 0)
    assert 0 < answer.first_token_s <= answer.duration_s
    assert state.bodies == [{"prompt": "Say it back.\n\nWe begin now.", "max_tokens": 50, "temperature": 0.5}]
    assert engine.version == "v3"
    await engine.close()


async def test_a_configured_model_is_sent(server: Server) -> None:
    url, state = server
    engine = TranslationV3Engine(f"{url}/", API_KEY, "large")
    assert (await collect(engine.generate(make_prompt("Yes.")))).model == "large"
    assert state.bodies[0]["model"] == "large"
    assert engine.version == "large"
    await engine.close()


@pytest.mark.parametrize(
    ("said", "kind", "words", "wait"),
    [
        ("status 413", NonRetryableError, "refuses this request: 413", None),
        ("status 400", NonRetryableError, "refuses this request: 400", None),
        ("status 403", NonRetryableError, "refuses this request: 403", None),
        ("status 404", UnavailableError, "has no such API", None),
        ("status 429 7", UnavailableError, "answers 429", 7.0),
        ("status 503 inf", UnavailableError, "answers 503", None),
        ("status 500", UnavailableError, "answers 500", None),
        *((f"send {k} here", UnavailableError, "sent no answer", None) for k in range(len(MALFORMED_BODIES))),
    ],
)
async def test_only_errors_of_the_request_itself_are_permanent(
    server: Server, said: str, kind: type[ParleyError], words: str, wait: float | None
) -> None:
    engine = TranslationV3Engine(server[0], API_KEY)
    with pytest.raises(kind, match=words) as caught:
        await collect(engine.generate(make_prompt(said)))
    assert "here" not in str(caught.value)
    if isinstance(caught.value, UnavailableError):
        assert caught.value.retry_after_s == wait
    # The next request is answered.
    assert (await collect(engine.generate(make_prompt("Yes.")))).text == "Yes."
    await engine.close()


async def test_a_request_with_a_schema_is_rejected(server: Server) -> None:
    engine = TranslationV3Engine(server[0], API_KEY)
    with pytest.raises(NonRetryableError, match="no schemas"):
        await collect(engine.generate(Prompt((Message("user", "Yes."),), 5, schema={"type": "object"})))
    assert server[1].bodies == []
    await engine.close()


async def test_localhost_bypasses_the_proxy_and_the_key_is_stripped(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{find_free_port()}")
    engine = TranslationV3Engine(server[0], f"{API_KEY}\n")
    assert (await collect(engine.generate(make_prompt("Yes.")))).text == "Yes."
    await engine.close()


async def test_the_health_check_finds_a_wrong_key_and_a_server_that_is_down() -> None:
    with translation_v3_server() as (url, _):
        wrong, engine = TranslationV3Engine(url, "sk-other"), TranslationV3Engine(url, API_KEY)
        with pytest.raises(UnavailableError, match="refuses the key"):
            await wrong.check_health()
        await wrong.close()
        await engine.check_health()
    with pytest.raises(UnavailableError, match="can't be reached"):
        await engine.check_health()
    await engine.close()


async def test_concurrent_answers_are_not_mixed_up(server: Server) -> None:
    engine = TranslationV3Engine(server[0], API_KEY)
    answers = await asyncio.gather(*(collect(engine.generate(make_prompt(f"number {n}"))) for n in range(200)))
    assert [each.text for each in answers] == [f"number {n}" for n in range(200)]
    await engine.close()
