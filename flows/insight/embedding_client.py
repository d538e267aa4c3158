"""Client of the embedding applications on Ray Serve, in the order of the engine configuration."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flows.insight.application_failover import ApplicationFailover
from operators.embeddings import EmbeddingRequest, Embeddings


class EmbeddingClient:
    """Calls the most preferred embedding application that answers. Several event loops may use it, each in its own thread.

    Args:
        names: returns the applications' names, the preferred one first; none if no engine serves embeddings. See
            `flows.insight.configured_insight_applications`.
    """

    def __init__(self, names: Callable[[], Sequence[str]]) -> None:
        self._applications = ApplicationFailover(names, "embeddings")

    def is_configured(self) -> bool:
        """Whether an engine serves embeddings."""
        return self._applications.is_configured()

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        """Embed texts with the first engine that is available. Its model may differ from that of an earlier answer.

        Raises:
            DeferredError: no engine serves embeddings.
            UnavailableError: no engine is available. It is the error of the last one.
            RayTaskError: an engine can never answer this request. It is an instance of that error's type as well.
        """
        return await self._applications.call("embed", request)
