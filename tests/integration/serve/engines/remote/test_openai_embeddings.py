"""serve/engines/remote/openai_embeddings.py against a server that keeps to the Embeddings API, or breaks it."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from cluster.ports import find_free_port
from operators.embeddings import EmbeddingRequest
from operators.errors import (
    MalformedResponseError,
    MisconfiguredError,
    ParleyError,
    UnavailableError,
    UnreachableError,
)
from serve.engines.protocol import NonRetryableError
from serve.engines.remote import openai_embeddings
from serve.engines.remote.openai_embeddings import OpenAiEmbeddingEngine
from tests.harness.doubles.openai_server import API_KEY, EMBEDDING_MODEL, OpenAiServerState, openai_server

REQUEST = EmbeddingRequest(("Good morning.", "The invoice is late."), "passage")
Server = tuple[OpenAiEmbeddingEngine, OpenAiServerState]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    with openai_server() as (url, state):
        engine = OpenAiEmbeddingEngine(url, EMBEDDING_MODEL, API_KEY, {"user": "parley"})
        yield engine, state
        await engine.close()


def answer_with(*vectors: Any) -> bytes:
    """Return an answer with these vectors. Python's JSON also writes NaN and infinity."""
    data = [{"object": "embedding", "index": k, "embedding": vector} for k, vector in enumerate(vectors)]
    return json.dumps({"object": "list", "data": data}).encode()


async def test_vectors_have_unit_length_and_the_order_of_the_texts(server: Server) -> None:
    engine, state = server
    embeddings = await engine.embed(EmbeddingRequest(("aab", "b"), "query"))
    assert embeddings.model == f"openai {EMBEDDING_MODEL} 26"
    first, second = embeddings.vectors
    assert [math.hypot(*vector) for vector in embeddings.vectors] == [pytest.approx(1.0), pytest.approx(1.0)]
    assert first[:2] == pytest.approx((2 / math.sqrt(5), 1 / math.sqrt(5)))
    assert second[:2] == (0.0, 1.0)
    [body] = state.bodies
    assert (body["input"], body["user"], body["encoding_format"]) == (["aab", "b"], "parley", "float")


async def test_hostile_texts_arrive_as_valid_text_of_limited_length(server: Server) -> None:
    engine, state = server
    state.embedding_answer = answer_with(*[[1.0]] * 4)
    await engine.embed(EmbeddingRequest(("", "a\x00b", "\ud800c", "d" * 1_000_000), "passage"))
    empty, without_nul, without_surrogate, cut = state.bodies[0]["input"]
    assert (empty, without_nul, without_surrogate) == (" ", "ab", "\ufffdc")
    assert cut == "d" * 2_000


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "sent no vectors"),
        (b"<html>", "sent no vectors"),
        (b"[]", "sent no vectors"),
        (b"{}", "0 vectors for 2 texts"),
        (b'{"data": null}', "0 vectors for 2 texts"),
        (b'{"data": {"0": [1.0]}}', "data: list_type"),
        (answer_with([1.0, 2.0]), "1 vectors for 2 texts"),
        (answer_with([1.0], [1.0], [1.0]), "3 vectors for 2 texts"),
        (b'{"data": [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}]}', "2 vectors for 2 texts"),
        (answer_with([1.0, 2.0], [1.0]), "different dimensions"),
        (answer_with([1.0], [math.nan]), "data.1.embedding.0"),
        (answer_with([1.0], [math.inf]), "data.1.embedding.0"),
        (answer_with([1.0], [10**400]), "data.1.embedding.0|without a direction"),
        (answer_with([1.0], [None]), "data.1.embedding.0"),
        (answer_with([1.0], ["1.0"]), "data.1.embedding.0"),
        (answer_with([1.0], "AACAPw=="), "data.1.embedding"),
        (answer_with([1.0, 1.0], [0.0, 0.0]), "without a direction"),
        (answer_with([], []), "without a direction"),
        (answer_with([1.0], [1e-320]), "without a direction"),
    ],
)
async def test_an_answer_that_breaks_the_api_is_malformed(server: Server, answer: bytes, words: str) -> None:
    engine, state = server
    state.embedding_answer = answer
    with pytest.raises(MalformedResponseError, match=words):
        await engine.embed(REQUEST)


async def test_huge_components_still_give_unit_length(server: Server) -> None:
    engine, state = server
    state.embedding_answer = answer_with([1e300, 1e300], [3e-9, 4e-9])
    first, second = (await engine.embed(REQUEST)).vectors
    assert first == pytest.approx((math.sqrt(0.5), math.sqrt(0.5)))
    assert second == pytest.approx((0.6, 0.8))


async def test_an_endless_or_slow_answer_is_cut_off(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, state = server
    monkeypatch.setattr(openai_embeddings, "MAX_ANSWER_BYTES", 100)
    with pytest.raises(MalformedResponseError, match="more than 100 bytes"):
        await engine.embed(REQUEST)
    monkeypatch.setattr(openai_embeddings, "TOTAL_TIMEOUT_S", 0.2)
    state.loading_s = 60.0
    with pytest.raises(UnavailableError, match="no whole answer in time"):
        await engine.embed(REQUEST)


async def test_a_rejected_text_is_refused_and_never_quoted(server: Server) -> None:
    engine, _ = server
    with capture_logs() as logs, pytest.raises(NonRetryableError) as caught:
        await engine.embed(EmbeddingRequest(("as:moderated the secret merger",), "passage"))
    assert "inappropriate content" in str(caught.value)
    assert "merger" not in f"{caught.value} {logs}"
    assert engine.problem is None


@pytest.mark.parametrize(
    ("text", "error_type"),
    [("status 503", UnavailableError), ("status 429", UnavailableError), ("status 413", NonRetryableError)],
)
async def test_a_status_decides_whether_a_retry_helps(text: str, error_type: type[ParleyError], server: Server) -> None:
    engine, _ = server
    with pytest.raises(error_type):
        await engine.embed(EmbeddingRequest((text,), "query"))
    assert engine.problem is None
    await engine.check_health()


async def test_a_server_that_refuses_every_request_is_a_problem_until_it_answers(server: Server) -> None:
    engine, state = server
    state.refusal_status = 400
    with capture_logs() as logs:
        for _ in range(2):
            with pytest.raises(MisconfiguredError, match="refuses every request: 400 as it stands"):
                await engine.embed(REQUEST)
    assert engine.problem == "the model's server refuses every request: 400 as it stands"
    assert len(logs) == 1
    await engine.check_health()
    state.refusal_status = None
    await engine.embed(REQUEST)
    assert engine.problem is None


async def test_a_wrong_key_or_model_and_a_server_that_is_off_are_problems(server: Server) -> None:
    url = str(server[0]._client.base_url)
    for engine, error_type, words in [
        (OpenAiEmbeddingEngine(url, EMBEDDING_MODEL, "sk-other"), MisconfiguredError, "refuses the key"),
        (OpenAiEmbeddingEngine(url, "other", API_KEY), MisconfiguredError, "doesn't know the model"),
        (OpenAiEmbeddingEngine(f"http://127.0.0.1:{find_free_port()}/v1", "m"), UnreachableError, "can't be reached"),
    ]:
        with pytest.raises(error_type, match=words):
            await engine.embed(REQUEST)
        assert words in (engine.problem or "")
        await engine.close()
