"""The embedding service: vectors of texts, by one engine."""

from __future__ import annotations

import time
from collections.abc import Callable

from ray.serve import metrics

from operators.embeddings import EmbeddingRequest, Embeddings
from operators.errors import UnavailableError
from serve.engines.embedding_engine import EmbeddingEngine
from serve.engines.health_check import EngineHealthCheck
from serve.engines.protocol import NonRetryableError, problem_of

_LATENCY_BUCKETS_S = [0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0]


class EmbeddingService:
    """Embeds texts with one engine. It never logs a text.

    Args:
        make_engine: makes the engine, in the process that uses it.
    """

    def __init__(self, make_engine: Callable[[], EmbeddingEngine]) -> None:
        self._engine = make_engine()
        self._health_check = EngineHealthCheck(self._engine.check_health)
        self._texts = metrics.Counter(
            "parley_embedding_texts",
            "Texts of finished requests for embeddings, by outcome",
            tag_keys=("kind", "outcome"),  # pyright: ignore[reportArgumentType] - typed for one key only
        )
        self._seconds = metrics.Histogram(
            "parley_embedding_seconds",
            "Time to all vectors of a request",
            boundaries=_LATENCY_BUCKETS_S,
            tag_keys=("kind",),
        )

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        """Embed texts.

        Args:
            request: the texts.

        Returns:
            The vectors, in the order of the texts.

        Raises:
            NonRetryableError: the engine can never embed these texts.
            UnavailableError: the engine can't answer now; a later attempt may succeed.
        """
        started_at, outcome = time.monotonic(), "cancelled"
        try:
            embeddings = await self._engine.embed(request)
            self._health_check.record_output()
            outcome = "embedded"
        except NonRetryableError:
            outcome = "unanswerable"
            raise
        except UnavailableError:
            outcome = "unavailable"
            raise
        except Exception:
            outcome = "failed"
            raise
        finally:
            self._seconds.observe(time.monotonic() - started_at, tags={"kind": request.kind})
            self._texts.inc(len(request.texts), tags={"kind": request.kind, "outcome": outcome})
        return embeddings

    async def check_health(self) -> None:
        """Check that the engine works. Serve replaces a replica after three failures in a row.

        Raises:
            UnavailableError: the engine doesn't work or is unresponsive; see `serve.engines.health_check`.
        """
        await self._health_check.check()

    async def problem(self) -> str:
        """Return why the engine can't answer at the moment, in words; empty if no problem is known."""
        return problem_of(self._engine) or ""

    async def close(self) -> None:
        """Close the engine. A service whose engine could not be made has none."""
        if hasattr(self, "_engine"):
            await self._engine.close()
