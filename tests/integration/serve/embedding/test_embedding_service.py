"""Tests of the embedding service with a remote engine."""

from __future__ import annotations

from functools import partial

import pytest

from operators.embeddings import EmbeddingRequest
from operators.engine_config import OpenAiConfig
from operators.errors import UnavailableError
from serve.deploy.engine_factory import build_embedding_engine
from serve.embedding.embedding_service import EmbeddingService
from serve.engines.protocol import NonRetryableError
from tests.harness.doubles.openai_server import API_KEY, EMBEDDING_MODEL, openai_server


async def test_errors_and_the_problem_of_a_server_reach_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_EMBEDDING_KEY", API_KEY)
    with openai_server() as (url, state):
        config = OpenAiConfig(url=url, model=EMBEDDING_MODEL, key="PARLEY_EMBEDDING_KEY", body={"user": "parley"})
        service = EmbeddingService(partial(build_embedding_engine, config))
        embeddings = await service.embed(EmbeddingRequest(("Good morning.",) * 3, "passage"))
        assert (embeddings.model, len(embeddings.vectors)) == (f"openai {EMBEDDING_MODEL} 26", 3)
        assert state.bodies[0]["user"] == "parley"
        with pytest.raises(NonRetryableError, match="inappropriate content"):
            await service.embed(EmbeddingRequest(("as:moderated",), "query"))
        assert await service.problem() == ""
        state.refusal_status = 402
        with pytest.raises(UnavailableError, match="requires payment"):
            await service.embed(EmbeddingRequest(("Good morning.",), "query"))
        assert "requires payment" in await service.problem()
        # A new replica would not pay the bill.
        await service.check_health()
        await service.close()
