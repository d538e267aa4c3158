"""Voices: whose chunks are read as one person's speech.

A voice is a speaker's name, with the id that tells two people of one name apart where there is one. A chunk that was
resubmitted from a dead letter is a voice of its own, because speech after it is closed.
"""

from __future__ import annotations

from operators.model import Chunk

_SEPARATOR = "\x1f"  # White space to Python, so that no name and no speaker's id holds it.


def speaker_key(speaker: str, speaker_id: str | None = None) -> str:
    """The voice of a speaker."""
    return speaker if speaker_id is None else f"{speaker}{_SEPARATOR}{speaker_id}"


def chunk_speaker_key(chunk: Chunk) -> str:
    """The voice that a chunk is spoken in."""
    if chunk.resubmitted:
        return _SEPARATOR.join((chunk.speaker, chunk.speaker_id or "", chunk.chunk_id))
    return speaker_key(chunk.speaker, chunk.speaker_id)


def is_resubmitted(key: str) -> bool:
    """Whether a voice is that of a chunk that was resubmitted."""
    return key.count(_SEPARATOR) > 1


def split_speaker_key(key: str) -> tuple[str, str | None]:
    """Who speaks in a voice: the name, and the id where there is one."""
    speaker, *rest = key.split(_SEPARATOR, 2)
    return speaker, (rest[0] or None) if rest else None
