"""The number of texts in a request for vectors."""

from __future__ import annotations

import pytest

from operators.embeddings import MAX_TEXTS, EmbeddingRequest
from operators.errors import InvalidInputError


def test_a_request_has_one_text_or_more_up_to_the_maximum() -> None:
    assert len(EmbeddingRequest(("a",) * MAX_TEXTS, "passage").texts) == 64
    for count in (0, MAX_TEXTS + 1):
        with pytest.raises(InvalidInputError, match="texts: must have 1 to 64 texts"):
            EmbeddingRequest(("a",) * count, "query")
