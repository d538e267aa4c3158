"""Deduplication of a meeting's log: the effect of each item, without repeats and outdated revisions.

The last arrival of a chunk wins, except that an interim never replaces the chunk's final. A chunk accepts revisions for a
fixed time after its last entry. Then it closes, and its speaker's speech before its start is late. A chunk id identifies
revisions, even of a closed chunk.

Speakers are renamed here, so that the next operators see present names only. A rename is an entry of the log. Some speakers
have only a label as name, such as `Speaker 1`. The first chunk with the same speaker id and another name renames them, too.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import NamedTuple

from operators.characters import is_blank
from operators.entries import (
    Chunk,
    ConfigChanged,
    Entry,
    LogItem,
    MeetingEnded,
    MeetingMoved,
    MeetingStarted,
    SentenceCorrected,
    SpeakerRenamed,
    Tick,
)
from operators.speaker_keys import (
    chunk_speaker_key,
    has_same_speaker,
    is_resubmitted,
    is_speaker_label,
    rename_key,
    speaker_key,
    split_speaker_key,
)
from operators.stream import ChunkRevision, ChunkUpdate, SpeakerRename

REVISION_HORIZON_MS = 120_000
"""Milliseconds after a chunk's last entry in which the chunk accepts revisions, inclusive."""


class OpenChunk(NamedTuple):
    """A chunk that accepts revisions.

    Attributes:
        first_ordinal: ordinal of the chunk's first entry.
        last_arrived_at: arrival time of its last entry (ms).
        digest: hash of the current content, without the speaker.
        speaker_key: key of the current speaker.
        start: current start, seconds from the meeting's start.
        is_final: whether the source has marked the text as final.
    """

    first_ordinal: int
    last_arrived_at: int
    digest: str
    speaker_key: str
    start: float
    is_final: bool = False


class ClosedWatermark(NamedTuple):
    """The point up to which a speaker's speech is closed: the latest start of a closed chunk (s), and the chunks at it."""

    start: float
    chunk_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DedupState:
    """The deduplication state of a meeting.

    Attributes:
        team_id, meeting_id: empty before the first entry.
        n: ordinal of the last entry; 0 before the first.
        began_at: arrival time of the first entry (ms).
        open_chunks: the open chunks by id, in the order of their last entries.
        watermarks: the closed watermark of each speaker key.
        renames: the present key of each renamed speaker, by the key that the source uses.
        labels: the key of each speaker whose name is only a label, by the source's speaker id.
    """

    team_id: str = ""
    meeting_id: str = ""
    n: int = 0
    began_at: int = 0
    open_chunks: dict[str, OpenChunk] = field(default_factory=dict[str, OpenChunk])
    watermarks: dict[str, ClosedWatermark] = field(default_factory=dict[str, ClosedWatermark])
    renames: dict[str, str] = field(default_factory=dict[str, str])
    labels: dict[str, str] = field(default_factory=dict[str, str])


def step(state: DedupState, item: LogItem) -> tuple[DedupState, ChunkUpdate]:
    """Process one item.

    Args:
        state: the meeting's state, initially `DedupState()`.
        item: an entry, in the order of the log, or a tick.

    Returns:
        The next state, and the item's effect. Each item produces an update, because it advances the time.
    """
    at = item.at if isinstance(item, Tick) else item.arrived_at
    if isinstance(item, Entry):
        began_at = state.began_at if state.n else _started_at(item)
        if not state.n and isinstance(item.payload, MeetingStarted):
            for renamed in item.payload.renames:
                state, _ = _rename_speaker(state, *_renamed_keys(renamed), item.n)
        state = replace(state, team_id=item.team_id, meeting_id=item.meeting_id, n=item.n, began_at=began_at)
    state, closed = _close_expired(state, at)
    update = ChunkUpdate(
        state.team_id, state.meeting_id, at=at, n=state.n, began_at=state.began_at, closed_chunk_ids=closed
    )
    if isinstance(item, Tick):
        return (DedupState() if item.is_idle else state), replace(update, meeting_ended=item.is_idle)
    match item.payload:
        case Chunk() as chunk:
            return _apply_chunk(state, update, chunk, item.first_ordinal)
        case MeetingStarted(config=config) | ConfigChanged(config=config):
            return state, replace(update, config=config)
        case SpeakerRenamed() as renamed:
            state, renames = _rename_speaker(state, *_renamed_keys(renamed), update.n)
            return state, replace(update, renames=renames)
        case SentenceCorrected() as correction:
            return state, replace(update, correction=correction)
        case MeetingEnded():
            return DedupState(), replace(update, meeting_ended=True)
        case MeetingMoved():
            return state, update


def _started_at(first: Entry) -> int:
    """Return when the meeting began (ms). The first entry of a later generation has the time of the first generation."""
    began_at = first.payload.began_at if isinstance(first.payload, MeetingStarted) else None
    return first.arrived_at if began_at is None else began_at


def _close_expired(state: DedupState, at: int) -> tuple[DedupState, tuple[str, ...]]:
    """Close the chunks whose last entry lies beyond the horizon."""
    closed: list[str] = []
    for chunk_id, chunk in state.open_chunks.items():
        if at - chunk.last_arrived_at <= REVISION_HORIZON_MS:
            break
        closed.append(chunk_id)
    if not closed:
        return state, ()
    watermarks = dict(state.watermarks)
    for chunk_id in closed:
        chunk = state.open_chunks[chunk_id]
        watermark = watermarks.get(chunk.speaker_key)
        if watermark is None or chunk.start > watermark.start:
            watermarks[chunk.speaker_key] = ClosedWatermark(chunk.start, (chunk_id,))
        elif chunk.start == watermark.start:
            watermarks[chunk.speaker_key] = ClosedWatermark(watermark.start, (*watermark.chunk_ids, chunk_id))
    still_open = {chunk_id: chunk for chunk_id, chunk in state.open_chunks.items() if chunk_id not in closed}
    return replace(state, open_chunks=still_open, watermarks=watermarks), tuple(closed)


def _renamed_keys(renamed: SpeakerRenamed) -> tuple[str, str]:
    old_key = speaker_key(renamed.speaker, renamed.speaker_id)
    return old_key, speaker_key(renamed.new_speaker, renamed.new_speaker_id)


def _rename_speaker(
    state: DedupState, old_key: str, new_key: str, n: int
) -> tuple[DedupState, tuple[SpeakerRename, ...]]:
    """Rename a speaker at the entry with ordinal `n`. A speaker who was renamed before, and has no speech since, stays."""
    is_former = old_key in state.renames and old_key not in state.renames.values()
    if old_key == new_key or (is_former and not _has_speech(state, old_key)):
        return state, ()
    rename = SpeakerRename(old_key, new_key, n if _has_speech(state, new_key) else 0)
    sources = {old_key: old_key} | state.renames
    renames = {source: new_key if key == old_key else key for source, key in sources.items()}
    state = replace(
        state,
        open_chunks={
            chunk_id: chunk._replace(speaker_key=rename_key(chunk.speaker_key, rename))
            for chunk_id, chunk in state.open_chunks.items()
        },
        watermarks={rename_key(key, rename): watermark for key, watermark in state.watermarks.items()},
        renames={source: key for source, key in renames.items() if source != key},
        labels={speaker_id: key for speaker_id, key in state.labels.items() if key != old_key},
    )
    return state, (rename,)


def _has_speech(state: DedupState, key: str) -> bool:
    """Return whether the meeting has chunks of a key's speaker."""
    keys = (*state.watermarks, *(chunk.speaker_key for chunk in state.open_chunks.values()))
    return any(has_same_speaker(other, key) for other in keys)


def _name_speaker(state: DedupState, chunk: Chunk, n: int) -> tuple[DedupState, Chunk, tuple[SpeakerRename, ...]]:
    """Give a chunk its speaker's present name. If it names a speaker who had only a label, rename that speaker."""
    source_key = speaker_key(chunk.speaker, chunk.speaker_id)
    key = state.renames.get(source_key, source_key)
    renames: tuple[SpeakerRename, ...] = ()
    if chunk.speaker_id is not None:
        label_key = state.labels.get(chunk.speaker_id, key)
        state, renames = _rename_speaker(state, label_key, key, n)
        if is_speaker_label(split_speaker_key(key)[0]) and state.labels.get(chunk.speaker_id) != key:
            state = replace(state, labels=state.labels | {chunk.speaker_id: key})
    if key != source_key:
        speaker, speaker_id = split_speaker_key(key)
        chunk = chunk.model_copy(update={"speaker": speaker, "speaker_id": speaker_id})
    return state, chunk, renames


def _apply_chunk(state: DedupState, update: ChunkUpdate, chunk: Chunk, first: int) -> tuple[DedupState, ChunkUpdate]:
    before = state
    state, chunk, renames = _name_speaker(state, chunk, update.n)
    open_chunk = state.open_chunks.get(chunk.chunk_id)
    if chunk.resubmitted and open_chunk is not None and not is_resubmitted(open_chunk.speaker_key):
        chunk = chunk.model_copy(update={"resubmitted": None})  # The chunk is still open, so this is a normal revision.
    digest = _content_digest(chunk)
    if open_chunk is not None and open_chunk.is_final and chunk.is_final is False:
        return before, replace(update, is_outdated=True)
    # A resubmitted text can be added beside a closed chunk. The chunk itself can't be retracted any more.
    if open_chunk is None and 0 < first < update.n and (not chunk.resubmitted or is_blank(chunk.text)):
        return before, replace(update, late_chunk=chunk)
    key = _speech_key(chunk, open_chunk)
    has_moved = open_chunk is None or (key, chunk.start) != (open_chunk.speaker_key, open_chunk.start)
    if has_moved and not chunk.resubmitted:
        watermark = state.watermarks.get(key)
        if watermark and (
            chunk.start < watermark.start or (chunk.start == watermark.start and chunk.chunk_id in watermark.chunk_ids)
        ):
            return before, replace(update, late_chunk=chunk)
    n = update.n if open_chunk is None else open_chunk.first_ordinal
    still_open = dict(state.open_chunks)
    still_open.pop(chunk.chunk_id, None)  # Open chunks are ordered by their last entry.
    still_open[chunk.chunk_id] = OpenChunk(n, update.at, digest, key, chunk.start, chunk.is_final is True)
    state = replace(state, open_chunks=still_open)
    if open_chunk is not None and (open_chunk.digest, open_chunk.speaker_key) == (digest, key):
        return state, replace(update, renames=renames, is_repeat=True)
    return state, replace(update, renames=renames, revision=ChunkRevision(n, update.at, chunk, key))


def _speech_key(chunk: Chunk, open_chunk: OpenChunk | None) -> str:
    """Return the key of the speech that a chunk belongs to. A revision by the same speaker stays where the chunk is."""
    key = chunk_speaker_key(chunk)
    if (
        open_chunk is not None
        and has_same_speaker(open_chunk.speaker_key, key)
        and is_resubmitted(open_chunk.speaker_key) == is_resubmitted(key)
    ):
        return open_chunk.speaker_key
    return key


def _content_digest(chunk: Chunk) -> str:
    content = repr((chunk.text, chunk.start, chunk.end, chunk.language, chunk.is_final))
    return blake2b(content.encode(), digest_size=8).hexdigest()
