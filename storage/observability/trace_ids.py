"""The ids of a sentence's trace. Each process derives them from the sentence's id, so that all add to one trace."""

from __future__ import annotations

from hashlib import blake2b

ROOT_SPAN = "sentence"
"""Name of the root span of each trace. Exactly one process adds it."""


def trace_id(meeting_id: str, sentence_id: str) -> int:
    """Derive the id of a sentence's trace."""
    return _digest(meeting_id, sentence_id, 16)


def root_span_id(meeting_id: str, sentence_id: str) -> int:
    """Derive the id of the root span of a sentence's trace."""
    return _digest(meeting_id, sentence_id, 8)


def _digest(meeting_id: str, sentence_id: str, size: int) -> int:
    # OpenTelemetry allows no id of 0.
    return int.from_bytes(blake2b(f"{meeting_id}/{sentence_id}".encode(), digest_size=size).digest(), "big") or 1
