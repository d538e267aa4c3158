"""The interface of an engine that embeds texts, and the rules for its texts and vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from operators.embeddings import EmbeddingRequest, Embeddings
from operators.errors import MalformedResponseError
from serve.engines.sanitizer import sanitize

MAX_CHARACTERS = 2_000
"""Maximum length of an embedded text in characters. A longer text is cut: one vector can't represent more."""
_MIN_LENGTH = 1e-12
"""Minimum length of a model's vector. A shorter one has no direction."""


class EmbeddingEngine(Protocol):
    """Embeds texts. One instance processes many requests at once, on one event loop."""

    @property
    def name(self) -> str:
        """The engine's name in metrics."""
        ...

    @property
    def version(self) -> str:
        """The engine's version or model."""
        ...

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        """Embed texts. Cancelling the call cancels the work.

        Raises:
            NonRetryableError: the engine can never embed these texts.
            UnavailableError: the engine can't answer now; a later retry may succeed.
        """
        ...

    async def check_health(self) -> None:
        """Check that the engine works.

        Raises:
            UnavailableError: the engine does not work, and a new replica might.
        """
        ...

    async def close(self) -> None:
        """Release the engine's resources. No call may follow."""
        ...


def prepare_text(text: str) -> str:
    """Return the beginning of a text, up to `MAX_CHARACTERS`, without NUL, other control characters and lone surrogates."""
    return sanitize(text[:MAX_CHARACTERS])


def to_unit_vector(vector: Sequence[float]) -> tuple[float, ...]:
    """Return a model's vector with length 1.

    Raises:
        MalformedResponseError: the vector has no direction: it is empty or zero, or a component is infinite or no number.
    """
    length = math.hypot(*vector)
    if not (math.isfinite(length) and length >= _MIN_LENGTH):
        raise MalformedResponseError("the model gave a vector without a direction")
    return tuple(component / length for component in vector)
