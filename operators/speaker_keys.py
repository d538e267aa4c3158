"""Speaker keys: chunks with the same key are segmented as one person's speech.

A key is the speaker's name, with the speaker's id if there is one. A chunk that was resubmitted from a dead letter has a key
of its own, because the speech after it is closed.
"""

from __future__ import annotations

from operators.entries import Chunk

_SEPARATOR = "\x1f"  # Python treats it as white space, so no normalized name or speaker id contains it.


def speaker_key(speaker: str, speaker_id: str | None = None) -> str:
    """Return the key of a speaker."""
    return speaker if speaker_id is None else f"{speaker}{_SEPARATOR}{speaker_id}"


def chunk_speaker_key(chunk: Chunk) -> str:
    """Return the key of a chunk's speaker, or the chunk's own key if it was resubmitted."""
    if chunk.resubmitted:
        return _SEPARATOR.join((chunk.speaker, chunk.speaker_id or "", chunk.chunk_id))
    return speaker_key(chunk.speaker, chunk.speaker_id)


def is_resubmitted(key: str) -> bool:
    """Return whether a key belongs to a resubmitted chunk."""
    return key.count(_SEPARATOR) > 1


def split_speaker_key(key: str) -> tuple[str, str | None]:
    """Return a key's speaker: the name, and the id or None."""
    speaker, *rest = key.split(_SEPARATOR, 2)
    return speaker, (rest[0] or None) if rest else None
