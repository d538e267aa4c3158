"""Speaker keys: chunks with the same key are segmented as one person's speech.

A key is the speaker's name, with the speaker's id if there is one. Two kinds of speech have a key with a third
part, because the speaker's other speech must not join them:

- a chunk that was resubmitted from a dead letter, because the speech after it is closed;
- the speech of a speaker before it was merged into another one.
"""

from __future__ import annotations

import re

from operators.entries import Chunk
from operators.stream import SpeakerRename

_SEPARATOR = "\x1f"  # Python treats it as white space, so no normalized name or speaker id contains it.
_LABEL_PATTERN = re.compile("Speaker [1-9][0-9]{0,5}")


def is_speaker_label(name: str) -> bool:
    """Return whether a name only numbers an unknown speaker, as in `Speaker 1`."""
    return _LABEL_PATTERN.fullmatch(name) is not None


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
    return bool(_third_part(key).partition(_SEPARATOR)[0])


def is_merged(key: str) -> bool:
    """Return whether a key belongs to the speech of a speaker before it was merged into another one."""
    return _SEPARATOR in _third_part(key)


def split_speaker_key(key: str) -> tuple[str, str | None]:
    """Return a key's speaker: the name, and the id or None."""
    speaker, *rest = key.split(_SEPARATOR, 2)
    return speaker, (rest[0] or None) if rest else None


def has_same_speaker(key: str, other: str) -> bool:
    """Return whether two keys belong to the same speaker."""
    return split_speaker_key(key) == split_speaker_key(other)


def _third_part(key: str) -> str:
    return "".join(key.split(_SEPARATOR, 2)[2:])


def is_renamed(key: str, rename: SpeakerRename) -> bool:
    """Return whether a key belongs to a renamed speaker."""
    return has_same_speaker(key, rename.old_key)


def rename_key(key: str, rename: SpeakerRename) -> str:
    """Return a key after a rename. Merged speech keeps a key of its own."""
    if not is_renamed(key, rename):
        return key
    third_part = _third_part(key) + (f"{_SEPARATOR}{rename.merge_ordinal}" if rename.merge_ordinal else "")
    if not third_part:
        return rename.new_key
    speaker, speaker_id = split_speaker_key(rename.new_key)
    return _SEPARATOR.join((speaker, speaker_id or "", third_part))
