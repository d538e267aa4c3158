"""Utterances in progress: the interim chunks of a session, which finals replace.

A source repeats an utterance in progress with more or other words. Its final text follows, without an id in common.
So an interim and a final are matched by their channel (a participant or an audio channel) and their times. A final that is
delivered again has no interim any more, but gets the same id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from operators.entries import Chunk
from operators.fields import StrictModel

MAX_CHANNELS = 64
"""Most channels of a session that are remembered. The oldest one is forgotten first."""
MAX_OPEN_CHUNKS = 50
"""Most interim chunks of a channel. Further ones are left out until they are final."""
MAX_FINAL_IDS = 100
"""Most finals of a session whose interim's id is remembered."""
SAME_START_S = 0.3
"""Two chunks of a channel that start within this time of each other are the same utterance (s)."""


class InterimChunk(StrictModel):
    """An interim chunk that has no final yet. Times are seconds from the meeting's start."""

    chunk_id: str
    speaker: str
    speaker_id: str | None
    start: float
    end: float
    source: str


class FinalSpan(StrictModel):
    """The time of a channel's last final, in seconds from the meeting's start."""

    start: float
    end: float


class OpenUtterances(StrictModel):
    """The utterances in progress of a session.

    Attributes:
        open_chunks: the interim chunks by channel, in the order of their times.
        last_finals: the last final of each channel.
        final_ids: the ids of the last finals that have their interim's id, by the id that they would have without one.
    """

    open_chunks: dict[str, tuple[InterimChunk, ...]] = {}  # noqa: RUF012 - pydantic copies it
    last_finals: dict[str, FinalSpan] = {}  # noqa: RUF012 - pydantic copies it
    final_ids: dict[str, str] = {}  # noqa: RUF012 - pydantic copies it


def replace_interims(
    utterances: OpenUtterances, channel: str, chunks: Sequence[Chunk]
) -> tuple[OpenUtterances, list[Chunk]]:
    """Replace a channel's utterances in progress.

    Args:
        utterances: the session's utterances in progress.
        channel: the channel.
        chunks: all speech of the channel that has no final yet. Speech that a final covers already is ignored.

    Returns:
        The next state, and the chunks to append. Those that disappeared have an empty text.
    """
    final = utterances.last_finals.get(channel)
    current = [chunk for chunk in chunks if final is None or not _is_outdated(chunk, final)]
    if chunks and not current:
        return utterances, []
    matched, unmatched = _match(utterances.open_chunks.get(channel, ()), current[:MAX_OPEN_CHUNKS])
    still_open = tuple(to_interim_chunk(chunk) for chunk in matched)
    return _with_open_chunks(utterances, channel, still_open), [*map(retract, unmatched), *matched]


def apply_finals(
    utterances: OpenUtterances, channel: str, chunks: Sequence[Chunk], start: float, end: float
) -> tuple[OpenUtterances, list[Chunk]]:
    """Replace the part of a channel's utterances in progress that a final covers.

    Args:
        utterances: the session's utterances in progress.
        channel: the channel.
        chunks: the final text, in chunks; none if there was no speech.
        start, end: the time that the final covers, in seconds from the meeting's start.

    Returns:
        The next state, and the chunks to append. Interims within that time that have no final have an empty text.
    """
    matched, unmatched = _match(utterances.open_chunks.get(channel, ()), chunks, utterances.final_ids)
    retracted = [chunk for chunk in unmatched if (chunk.start + chunk.end) / 2 < end]
    still_open = tuple(chunk for chunk in unmatched if chunk not in retracted)
    utterances = _with_open_chunks(utterances, channel, still_open)
    last = utterances.last_finals.get(channel)
    if last is None or end >= last.end:
        others = [(known, span) for known, span in utterances.last_finals.items() if known != channel]
        finals = dict(others[1 - MAX_CHANNELS :]) | {channel: FinalSpan(start=start, end=end)}
        utterances = utterances.model_copy(update={"last_finals": finals})
    taken = {
        chunk.chunk_id: final.chunk_id
        for chunk, final in zip(chunks, matched, strict=True)
        if chunk.chunk_id != final.chunk_id and chunk.chunk_id not in utterances.final_ids
    }
    if taken:
        final_ids = dict([*utterances.final_ids.items(), *taken.items()][-MAX_FINAL_IDS:])
        utterances = utterances.model_copy(update={"final_ids": final_ids})
    return utterances, [*map(retract, retracted), *matched]


def _is_outdated(chunk: Chunk, final: FinalSpan) -> bool:
    return chunk.start <= final.start or (chunk.start + chunk.end) / 2 < final.end


def _match(
    open_chunks: Sequence[InterimChunk], chunks: Sequence[Chunk], final_ids: Mapping[str, str] | None = None
) -> tuple[list[Chunk], list[InterimChunk]]:
    """Give each chunk the id of the interim chunk at its time, or the id that it got before.

    Returns:
        These chunks, and the interim chunks that are left.
    """
    unmatched = list(open_chunks)
    repeated_ids = dict(final_ids or {})
    found: list[str | None] = []
    for chunk in chunks:
        known_id = repeated_ids.pop(chunk.chunk_id, None)
        if known_id is None:
            same = next((known for known in unmatched if _is_same_utterance(known, chunk)), None)
            if same is not None:
                unmatched.remove(same)
                known_id = same.chunk_id
        found.append(known_id)
    used_ids = {known.chunk_id for known in open_chunks}
    matched: list[Chunk] = []
    for chunk, known_id in zip(chunks, found, strict=True):
        chunk_id = known_id or _unused_id(chunk.chunk_id, used_ids)
        used_ids.add(chunk_id)
        matched.append(chunk.model_copy(update={"chunk_id": chunk_id}))
    return matched, unmatched


def _unused_id(chunk_id: str, used_ids: set[str]) -> str:
    """Return an id that no other chunk has. Only chunks of one speaker with the same start need a suffix."""
    number, unused = 1, chunk_id
    while unused in used_ids:
        number += 1
        unused = f"{chunk_id[:190]}#{number}"
    return unused


def _is_same_utterance(known: InterimChunk, chunk: Chunk) -> bool:
    overlap = min(known.end, chunk.end) - max(known.start, chunk.start)
    return overlap > 0 or abs(known.start - chunk.start) < SAME_START_S


def retract(known: InterimChunk) -> Chunk:
    """Build the chunk that retracts an interim chunk."""
    return Chunk(
        chunk_id=known.chunk_id,
        speaker=known.speaker,
        speaker_id=known.speaker_id,
        text="",
        start=known.start,
        end=known.end,
        is_final=False,
        source=known.source,
    )


def to_interim_chunk(chunk: Chunk) -> InterimChunk:
    """Return the fields of an interim chunk that match or retract it."""
    return InterimChunk(
        chunk_id=chunk.chunk_id,
        speaker=chunk.speaker,
        speaker_id=chunk.speaker_id,
        start=chunk.start,
        end=chunk.end,
        source=chunk.source,
    )


def _with_open_chunks(utterances: OpenUtterances, channel: str, chunks: tuple[InterimChunk, ...]) -> OpenUtterances:
    others = [(known, interims) for known, interims in utterances.open_chunks.items() if known != channel]
    open_chunks = dict(others[1 - MAX_CHANNELS :]) | ({channel: chunks} if chunks else {})
    return utterances.model_copy(update={"open_chunks": open_chunks})
