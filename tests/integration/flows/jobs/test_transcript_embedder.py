"""Tests flows/jobs/transcript_embedder.py and question_sources.py, with a scripted embedding model and the real pgvector."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.jobs import QuestionAnswerer, TranscriptEmbedder
from operators.embeddings import EmbeddingRequest, Embeddings
from operators.errors import MalformedResponseError, UnavailableError
from operators.insight_requests import Insight, InsightRequest
from tests.harness.api.intelligence_engines import serve_intelligence
from tests.harness.lane.fake_lane_writer import create_written_meeting, make_sentence

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]

CONCEPTS = [{"coffee", "drinks", "café"}, {"contract", "agreement", "vertrag"}, {"weather", "rain"}]
API = "/api/intelligence"


class ConceptVectors:
    """A model whose vectors have a dimension for each concept. It records the texts of passages."""

    def __init__(
        self, model: str = "concepts 1", error_for: Callable[[str], Exception | None] = lambda _: None
    ) -> None:
        self.model, self.error_for, self.passages = model, error_for, list[str]()

    async def __call__(self, request: EmbeddingRequest) -> Embeddings:
        for text in request.texts:
            if (error := self.error_for(text)) is not None:
                raise error
        if request.kind == "passage":
            self.passages += request.texts
        return Embeddings(self.model, tuple(map(self._embed, request.texts)))

    @staticmethod
    def _embed(text: str) -> tuple[float, ...]:
        words = set(re.findall(r"\w+", text.lower()))
        return (*(float(len(words & concept)) for concept in CONCEPTS), 0.1)


async def embed_all(aengine: AsyncEngine, model: ConceptVectors) -> TranscriptEmbedder:
    embedder = TranscriptEmbedder(aengine, model, lambda: True)
    while await embedder.start_due():
        await embedder.finish_running()
    return embedder


def make_due(engine: Engine) -> None:
    with engine.begin() as conn:
        conn.exec_driver_sql("update embedded_meetings set due_at = now()")


def stored_windows(engine: Engine, meeting: str) -> dict[str, str]:
    with engine.connect() as conn:
        rows = conn.exec_driver_sql(
            "select sentence_id, model from sentence_windows where meeting_id = %s order by sentence_id", (meeting,)
        )
        return {row[0]: row[1] for row in rows}


SENTENCES = [make_sentence(f"{n}.0", f"Filler number {n}.", n) for n in range(1, 6)]


async def test_only_windows_that_changed_are_embedded_again(stage: ApiHarness, aengine: AsyncEngine) -> None:
    meeting, writer = await create_written_meeting(stage)
    writer.write_sentences(*SENTENCES)
    model = ConceptVectors()
    embedder = await embed_all(aengine, model)
    assert list(stored_windows(stage.engine, meeting)) == ["1.0", "2.0", "3.0", "4.0", "5.0"]
    assert await embedder.start_due() == 0, "an unchanged meeting is not due"
    model.passages.clear()
    writer.write_sentences(make_sentence("5.0", "Changed.", 5, revision=2), make_sentence("6.0", "New.", 6))
    assert await embedder.start_due() == 0, "there is a pause between two passes"
    make_due(stage.engine)
    await embed_all(aengine, model)
    # A new process learns the model by one text.
    assert model.passages == [
        "New.",
        *("New.", "Changed.", "Filler number 4.", "Filler number 4. Changed. New."),
        *("Filler number 3.", "Filler number 3. Filler number 4. Changed."),
    ]
    writer.retract(make_sentence("6.0", "New.", 6))
    make_due(stage.engine)
    await embed_all(aengine, model)
    assert list(stored_windows(stage.engine, meeting)) == ["1.0", "2.0", "3.0", "4.0", "5.0"]


async def test_a_new_model_embeds_everything_again(stage: ApiHarness, aengine: AsyncEngine) -> None:
    meeting, writer = await create_written_meeting(stage)
    writer.write_sentences(*SENTENCES)
    await embed_all(aengine, ConceptVectors())
    make_due(stage.engine)
    changed = TranscriptEmbedder(aengine, ConceptVectors("concepts 2"), lambda: True)
    assert await changed.embed_question("coffee") == ("concepts 2", (1.0, 0.0, 0.0, 0.1))
    while await changed.start_due():
        await changed.finish_running()
    assert set(stored_windows(stage.engine, meeting).values()) == {"concepts 2"}


async def test_a_text_that_the_engine_refuses_keeps_no_other_from_its_vector(
    stage: ApiHarness, aengine: AsyncEngine
) -> None:
    meeting, writer = await create_written_meeting(stage)
    writer.write_sentences(*SENTENCES)
    refused = ConceptVectors(error_for=lambda text: MalformedResponseError("no") if "number 1." in text else None)
    await embed_all(aengine, refused)
    assert list(stored_windows(stage.engine, meeting)) == ["2.0", "3.0", "4.0", "5.0"]


async def test_an_outage_is_waited_out(stage: ApiHarness, aengine: AsyncEngine) -> None:
    meeting, writer = await create_written_meeting(stage)
    writer.write_sentences(*SENTENCES)
    embedder = await embed_all(aengine, ConceptVectors(error_for=lambda _: UnavailableError("away")))
    assert await embedder.embed_question("coffee") is None
    assert stored_windows(stage.engine, meeting) == {}
    make_due(stage.engine)
    await embed_all(aengine, ConceptVectors())
    assert len(stored_windows(stage.engine, meeting)) == 5


@pytest.fixture
async def long_meeting(stage: ApiHarness) -> str:
    """A meeting that doesn't fit the model's window, with one sentence about coffee in its first half."""
    serve_intelligence(stage.engine)
    meeting, writer = await create_written_meeting(stage)
    filler = [make_sentence(f"{n}.0", f"Filler number {n} about nothing that matters here.", n) for n in range(1, 801)]
    filler[99] = make_sentence("100.0", "There will be a café on the second floor.", 100)
    writer.write_sentences(*filler)
    return meeting


@pytest.mark.parametrize("is_team", [False, True])
async def test_a_question_finds_sentences_by_their_meaning(
    stage: ApiHarness, aengine: AsyncEngine, long_meeting: str, is_team: bool
) -> None:
    embedder = await embed_all(aengine, ConceptVectors())
    seen: list[tuple[str, ...]] = []

    async def answer(request: InsightRequest) -> Insight:
        seen.append(request.transcript_lines)
        return Insight("", {"claims": []}, "scripted 1", 1, 1, 1, "stop")

    path = f"{API}/agent/conversations" if is_team else f"{API}/sessions/{long_meeting}/agent/conversations"
    conversation = (await stage.http.post(path)).json()["id"]
    for embed in (embedder.embed_question, _embed_nothing):
        body = {"question": "Where do they serve drinks?"}
        await stage.http.post(f"{API}/agent/conversations/{conversation}/messages", json=body, params={"wait_s": 0})
        answerer = QuestionAnswerer(aengine, answer, embed)
        while await answerer.start_due():
            await answerer.finish_running()
    assert any("café" in line for line in seen[0])
    assert not any("café" in line for lines in seen[1:] for line in lines), "its words alone find nothing"


async def _embed_nothing(question: str) -> Any:
    return None


async def test_another_team_s_windows_are_not_found(stage: ApiHarness, aengine: AsyncEngine, long_meeting: str) -> None:
    from storage.retrieval.window_search import search_team_windows

    await embed_all(aengine, ConceptVectors())
    async with aengine.connect() as conn:
        own = await search_team_windows(conn, "default", "concepts 1", (1.0, 0.0, 0.0, 0.1))
        other_team = await search_team_windows(conn, "other", "concepts 1", (1.0, 0.0, 0.0, 0.1))
        other_model = await search_team_windows(conn, "default", "concepts 2", (1.0, 0.0))
    assert (UUID(long_meeting), ("100.0", "101.0", "102.0")) in own[:3]
    assert other_team == other_model == []
