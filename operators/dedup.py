"""Repeats and revisions: what each item of a meeting's log means once what was known already is taken out.

The last arrival of a chunk wins, except that no interim replaces the chunk's final. A chunk takes revisions for a fixed time
after its last entry; then it closes, and what falls behind it is late. Its id tells what is a revision, closed or not.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import NamedTuple

from operators.model import Chunk, ConfigChanged, Ended, Entry, Item, Moved, Revision, Started, Tick, Update
from operators.voices import is_apart, voice_of

REVISION_HORIZON_MS = 120_000
"""A chunk takes revisions up to this long after its last entry, the limit included."""


class Open(NamedTuple):
    """A chunk that takes revisions: ordinal of its first entry, time of its last one (ms), and what that one said in which voice.

    `final` is whether its source has said that its text stays.
    """

    n: int
    at: int
    digest: str
    voice: str
    start: float
    final: bool = False


class Mark(NamedTuple):
    """How far a voice's speech is closed: the latest start of a closed chunk (s), and the chunks that have it."""

    start: float
    chunk_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class State:
    """A meeting's open chunks, those quiet longest first, and each voice's mark.

    Attributes:
        team_id, meeting_id: empty before the first entry.
        n: ordinal of the last entry; 0 before the first.
        began: when the first entry arrived (ms).
    """

    team_id: str = ""
    meeting_id: str = ""
    n: int = 0
    began: int = 0
    open: dict[str, Open] = field(default_factory=dict[str, Open])
    marks: dict[str, Mark] = field(default_factory=dict[str, Mark])


def step(state: State, item: Item) -> tuple[State, Update]:
    """Take one item.

    Args:
        state: the meeting's state; `State()` at first.
        item: an entry, in the order of the log, or a tick.

    Returns:
        The state after it, and what it means. Each item gives an update, for time has moved.
    """
    at = item.at if isinstance(item, Tick) else item.arrived_at
    if isinstance(item, Entry):
        began = state.began if state.n else _began(item)
        state = replace(state, team_id=item.team_id, meeting_id=item.meeting_id, n=item.n, began=began)
    state, closed = _close(state, at)
    update = Update(state.team_id, state.meeting_id, at=at, n=state.n, began=state.began, closed=closed)
    if isinstance(item, Tick):
        return (State() if item.idle else state), replace(update, ended=item.idle)
    match item.payload:
        case Chunk() as chunk:
            return _take(state, update, chunk, item.first)
        case Started(config=config) | ConfigChanged(config=config):
            return state, replace(update, config=config)
        case Ended():
            return State(), replace(update, ended=True)
        case Moved():
            return state, update


def _began(first: Entry) -> int:
    """When the meeting began (ms), by its first entry since its state is kept: a later generation says when the first was."""
    began_at = first.payload.began_at if isinstance(first.payload, Started) else None
    return first.arrived_at if began_at is None else began_at


def _close(state: State, at: int) -> tuple[State, tuple[str, ...]]:
    """Close the chunks whose last entry lies beyond the horizon."""
    closed: list[str] = []
    for chunk_id, chunk in state.open.items():
        if at - chunk.at <= REVISION_HORIZON_MS:
            break
        closed.append(chunk_id)
    if not closed:
        return state, ()
    marks = dict(state.marks)
    for chunk_id in closed:
        chunk = state.open[chunk_id]
        mark = marks.get(chunk.voice)
        if mark is None or chunk.start > mark.start:
            marks[chunk.voice] = Mark(chunk.start, (chunk_id,))
        elif chunk.start == mark.start:
            marks[chunk.voice] = Mark(mark.start, (*mark.chunk_ids, chunk_id))
    still_open = {chunk_id: chunk for chunk_id, chunk in state.open.items() if chunk_id not in closed}
    return replace(state, open=still_open, marks=marks), tuple(closed)


def _take(state: State, update: Update, chunk: Chunk, first: int) -> tuple[State, Update]:
    known = state.open.get(chunk.chunk_id)
    if chunk.resubmitted and known is not None and not is_apart(known.voice):
        chunk = chunk.model_copy(update={"resubmitted": None})  # Its chunk still takes revisions.
    digest = _digest(chunk)
    if known is not None and known.final and chunk.is_final is False:
        return state, replace(update, outdated=True)
    if known is None and 0 < first < update.n and not chunk.resubmitted:
        return state, replace(update, late=chunk)
    spoken = voice_of(chunk)
    moved = known is None or (spoken, chunk.start) != (known.voice, known.start)
    if moved and not chunk.resubmitted:
        mark = state.marks.get(spoken)
        if mark and (chunk.start < mark.start or (chunk.start == mark.start and chunk.chunk_id in mark.chunk_ids)):
            return state, replace(update, late=chunk)
    n = update.n if known is None else known.n
    still_open = dict(state.open)
    still_open.pop(chunk.chunk_id, None)  # The order is that of the last entry.
    still_open[chunk.chunk_id] = Open(n, update.at, digest, spoken, chunk.start, chunk.is_final is True)
    state = replace(state, open=still_open)
    if known is not None and known.digest == digest:
        return state, replace(update, repeated=True)
    return state, replace(update, revised=Revision(n, update.at, chunk))


def _digest(chunk: Chunk) -> str:
    content = repr((chunk.text, chunk.start, chunk.end, chunk.speaker, chunk.language, chunk.is_final))
    content += chunk.speaker_id or ""
    return blake2b(content.encode(), digest_size=8).hexdigest()
