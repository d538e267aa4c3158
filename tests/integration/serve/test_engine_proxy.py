"""A model behind Translation Service V3: what it is sent, and what each of its refusals means."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from cluster.ports import free_port
from operators.errors import ParleyError, Unavailable
from serve.engines.engine import Generation, Message, Prompt, Unanswerable, whole
from serve.engines.proxy import ProxyEngine
from tests.harness.proxy_server import KEY, MALFORMED, MODEL, Asked, proxy_server

Server = tuple[str, Asked]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    with proxy_server() as server:
        yield server


def prompt(text: str, max_tokens: int = 50) -> Prompt:
    return Prompt((Message("system", "Say it back."), Message("user", text)), max_tokens, temperature=0.5)


@pytest.mark.parametrize("older", [False, True])
async def test_it_is_sent_one_ready_prompt_and_answers_in_one_piece(server: Server, older: bool) -> None:
    url, asked = server
    asked.older = older
    engine = ProxyEngine(url, KEY)
    pieces = [piece async for piece in engine.generate(prompt("We begin now."))]
    assert pieces[:-1] == ["We begin now."]
    answer = pieces[-1]
    assert isinstance(answer, Generation)
    assert (answer.text, answer.model, answer.finish, answer.tokens) == ("We begin now.", MODEL, "stop", 0)
    assert 0 < answer.first <= answer.seconds
    assert asked.bodies == [{"prompt": "Say it back.\n\nWe begin now.", "max_tokens": 50, "temperature": 0.5}]
    assert engine.version == "v3"
    await engine.close()


async def test_a_model_that_is_named_goes_along(server: Server) -> None:
    url, asked = server
    engine = ProxyEngine(f"{url}/", KEY, "large")
    assert (await whole(engine.generate(prompt("Yes.")))).model == "large"
    assert asked.bodies[0]["model"] == "large"
    assert engine.version == "large"
    await engine.close()


@pytest.mark.parametrize(
    ("said", "kind", "words", "wait"),
    [
        ("status 413", Unanswerable, "refuses this question: 413", None),
        ("status 400", Unanswerable, "refuses this question: 400", None),
        ("status 403", Unanswerable, "refuses this question: 403", None),
        ("status 404", Unavailable, "has no such API", None),
        ("status 429 7", Unavailable, "answers 429", 7.0),
        ("status 503 inf", Unavailable, "answers 503", None),
        ("status 500", Unavailable, "answers 500", None),
        *((f"send {k} here", Unavailable, "sent no answer", None) for k in range(len(MALFORMED))),
    ],
)
async def test_a_refusal_is_for_good_only_where_the_question_is_at_fault(
    server: Server, said: str, kind: type[ParleyError], words: str, wait: float | None
) -> None:
    engine = ProxyEngine(server[0], KEY)
    with pytest.raises(kind, match=words) as caught:
        await whole(engine.generate(prompt(said)))
    assert "here" not in str(caught.value)
    if isinstance(caught.value, Unavailable):
        assert caught.value.wait == wait
    # The next one is answered as ever.
    assert (await whole(engine.generate(prompt("Yes.")))).text == "Yes."
    await engine.close()


async def test_a_schema_is_refused_for_nothing_would_see_to_it(server: Server) -> None:
    engine = ProxyEngine(server[0], KEY)
    with pytest.raises(Unanswerable, match="no schemas"):
        await whole(engine.generate(Prompt((Message("user", "Yes."),), 5, schema={"type": "object"})))
    assert server[1].bodies == []
    await engine.close()


async def test_a_server_here_is_asked_past_the_environment_s_proxy_and_a_key_s_newline_is_none_of_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    engine = ProxyEngine(server[0], f"{KEY}\n")
    assert (await whole(engine.generate(prompt("Yes.")))).text == "Yes."
    await engine.close()


async def test_a_wrong_key_and_a_server_that_is_away_are_found_by_the_health_check() -> None:
    with proxy_server() as (url, _):
        wrong, engine = ProxyEngine(url, "sk-other"), ProxyEngine(url, KEY)
        with pytest.raises(Unavailable, match="refuses the key"):
            await wrong.check_health()
        await wrong.close()
        await engine.check_health()
    with pytest.raises(Unavailable, match="nobody answers"):
        await engine.check_health()
    await engine.close()


async def test_many_at_once_share_no_answers(server: Server) -> None:
    engine = ProxyEngine(server[0], KEY)
    answers = await asyncio.gather(*(whole(engine.generate(prompt(f"number {n}"))) for n in range(200)))
    assert [each.text for each in answers] == [f"number {n}" for n in range(200)]
    await engine.close()
