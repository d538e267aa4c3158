"""Requests to an embedding model, and its response: a vector for each text, for a search by meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from operators.errors import InvalidInputError

EmbeddingKind = Literal["query", "passage"]
"""The use of a text: a `query` searches, a `passage` is found. Some models embed the two differently."""
MAX_TEXTS = 64
"""Maximum number of texts of a request."""


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """Texts to embed.

    Attributes:
        texts: the texts, from one to `MAX_TEXTS`. The model reads only the beginning of a long text.
        kind: the use of the texts.

    Raises:
        InvalidInputError: there is no text, or there are too many.
    """

    texts: tuple[str, ...]
    kind: EmbeddingKind

    def __post_init__(self) -> None:
        if not 1 <= len(self.texts) <= MAX_TEXTS:
            raise InvalidInputError("texts", f"must have 1 to {MAX_TEXTS} texts")


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The vectors of a request's texts.

    Attributes:
        model: name and version of the model. Vectors of different models must not be compared.
        vectors: one vector for each text, in the order of the texts. Each has length 1, so a dot product of two is their cosine.
    """

    model: str
    vectors: tuple[tuple[float, ...], ...]
