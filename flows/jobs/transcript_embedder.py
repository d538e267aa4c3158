"""The transcript embedder: keeps vectors of each sentence and window of sentences, so that questions find them by their meaning.

It embeds what changed since the last pass. Until a sentence has its vector, a search finds it by its words, and a question about
a meeting reads the newest sentences in any case.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.jobs.due_calls import DueCalls, OutagePauses, describe_failure
from operators.chat.sentence_windows import SentenceWindow, make_windows
from operators.embeddings import EmbeddingRequest, Embeddings
from storage.postgres import transcript_queries
from storage.retrieval.due_embeddings import (
    DueMeeting,
    read_digests,
    read_due_meetings,
    record_embedded,
    record_embedding_failure,
    write_windows,
)

MAX_CALLS = 1
"""Meetings that are embedded at once: vectors are wanted for questions, and captions need the CPU first."""
BATCH_WINDOWS = 16
"""Windows of one call, with two texts each. They are written together, so that an interruption loses no more."""
MAX_WINDOWS = 256
"""Windows of a meeting that are embedded before another meeting has its turn."""
PASS_PAUSE_S = 5.0
"""Seconds between two passes over a meeting."""
MAX_OUTAGE_PAUSE_S, FAILURE_PAUSE_S = 60.0, 600.0
"""Longest pause in an outage, and the pause after another failure, in seconds."""
CALL_TIMEOUT_S, QUERY_TIMEOUT_S = 120.0, 10.0
"""Timeouts of a call for windows, and of a call for a question, in seconds. The first call starts a replica."""
POLL_S = 1.0
"""Seconds between two checks for due meetings."""

Embed = Callable[[EmbeddingRequest], Awaitable[Embeddings]]

log = structlog.get_logger(__name__)


class TranscriptEmbedder(DueCalls[DueMeeting]):
    """Embeds the sentences of due meetings, and questions.

    Args:
        database: the database.
        embed: the embedding service. It raises `UnavailableError` during an outage.
        is_configured: tells whether an engine serves embeddings.
    """

    def __init__(self, database: AsyncEngine, embed: Embed, is_configured: Callable[[], bool]) -> None:
        super().__init__(MAX_CALLS, POLL_S)
        self._database, self._embed, self._is_configured = database, embed, is_configured
        self._model: str | None = None
        self._pauses = OutagePauses(MAX_OUTAGE_PAUSE_S)

    async def embed_question(self, question: str) -> tuple[str, Sequence[float]] | None:
        """Return the model and the vector of a question; None if no engine can embed it now."""
        if not self._is_configured():
            return None
        try:
            embeddings = await self._call(EmbeddingRequest((question,), "query"), QUERY_TIMEOUT_S)
        except Exception as error:  # noqa: BLE001 - the question is answered by a search for its words
            log.warning("question not embedded", error=type(error).__name__)
            return None
        return embeddings.model, embeddings.vectors[0]

    async def _read_due(self, except_ids: Sequence[UUID], limit: int) -> list[DueMeeting]:
        if not self._is_configured():
            return []
        async with self._database.connect() as conn:
            return await read_due_meetings(conn, self._model, except_ids, limit)

    async def _process(self, item: DueMeeting) -> None:
        meeting = item
        async with self._database.connect() as conn:
            sentences = await transcript_queries.read_sentences(conn, meeting.team_id, meeting.id)
        windows = await asyncio.to_thread(make_windows, sentences)
        model = await self._learn_model(windows)
        async with self._database.connect() as conn:
            digests = await read_digests(conn, meeting.id, model) if model else {}
        due = [window for window in windows if digests.get(window.sentence_ids[0]) != window.digest]
        # The newest ones first: a question is likely to be about them.
        due.reverse()
        for start in range(0, min(len(due), MAX_WINDOWS), BATCH_WINDOWS):
            await self._embed_windows(meeting, due[start : start + BATCH_WINDOWS])
        self._pauses.forget(meeting.id)
        if len(due) <= MAX_WINDOWS and model == self._model:
            async with self._database.begin() as conn:
                await record_embedded(conn, meeting, model, windows, PASS_PAUSE_S)

    async def _learn_model(self, windows: Sequence[SentenceWindow]) -> str | None:
        """Return the model of new vectors; None if it isn't known and nothing is to embed."""
        if self._model is None and windows:
            # Otherwise the first meeting after a start would be embedded again as a whole.
            await self._call(EmbeddingRequest((windows[-1].sentence,), "passage"), CALL_TIMEOUT_S)
        return self._model

    async def _embed_windows(self, meeting: DueMeeting, windows: Sequence[SentenceWindow]) -> None:
        request = EmbeddingRequest(tuple(text for window in windows for text in window.texts), "passage")
        try:
            embeddings = await self._call(request, CALL_TIMEOUT_S)
        except Exception as error:
            if describe_failure(error).is_outage:
                raise
            # One text that the engine refuses must not keep the others from their vectors.
            log.warning("windows not embedded", meeting=str(meeting.id), error=type(error).__name__, count=len(windows))
            if len(windows) > 1:
                for window in windows:
                    await self._embed_windows(meeting, [window])
            return
        async with self._database.begin() as conn:
            await write_windows(conn, meeting, embeddings.model, windows, embeddings.vectors)

    async def _call(self, request: EmbeddingRequest, timeout_s: float) -> Embeddings:
        async with asyncio.timeout(timeout_s):
            embeddings = await self._embed(request)
        self._model = embeddings.model
        return embeddings

    async def _record_failure(self, item: DueMeeting, error: BaseException) -> None:
        failure = describe_failure(error)
        pause_s = self._pauses.next_s(item.id) if failure.is_outage else FAILURE_PAUSE_S
        async with self._database.begin() as conn:
            await record_embedding_failure(conn, item, pause_s, counts=not failure.is_outage)
