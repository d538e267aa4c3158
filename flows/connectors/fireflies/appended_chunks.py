"""The chunks that a session appended to the log, and what a message or a transcript changes in them.

Nothing is stored here: what follows from the same chunks and messages is always the same, but for the time.
"""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from operators.characters import is_blank
from operators.entries import Chunk
from operators.sources.alignment import SAME_START_S, KnownChunk, align_revision, is_near
from operators.sources.fireflies import SENTENCE_ID_PREFIX
from storage.ingest.connector_memory import AppendedChunk

OPEN_MS = 100_000
"""Milliseconds after its last revision within which a chunk surely accepts another one."""
SAME_END_S = 0.05
"""Maximum difference of two ends of the same speech, in seconds: sources round them."""


class AppendedChunks:
    """The latest revision of each chunk."""

    def __init__(self) -> None:
        self._chunks: dict[str, AppendedChunk] = {}
        # The ids of the chunks that a transcript added: all, and those that may still change. Few messages are near one of
        # them, and to compare all chunks at each message would take too long.
        self._filled_ids: set[str] = set()
        self._open_added_ids: set[str] = set()
        # The chunks from before the connection, and the live ids whose messages have caught up with them.
        self._earlier_ids: frozenset[str] = frozenset()
        self._current_ids: set[str] = set()
        self._starts_over = False

    def __len__(self) -> int:
        return len(self._chunks)

    def remember(self, items: Iterable[AppendedChunk]) -> None:
        """Take over chunks that were appended."""
        changes = {item.chunk.chunk_id: item for item in items}
        self._chunks |= changes
        self._note_added(changes.values())

    def last_change_start(self) -> float:
        """Return the start of the chunk that changed last, in seconds from the meeting's start: there a gap may begin.

        It is not the end of the latest speech: a service that started over may revise a chunk from before.
        """
        changes = ((item.appended_at_ms, item.chunk.start) for item in self._chunks.values())
        return max(changes, default=(0, 0.0))[1]

    def begin_connection(self) -> None:
        """Record that a connection begins: a service that starts over repeats earlier states of the chunks known by now."""
        self._earlier_ids, self._starts_over = frozenset(self._chunks), False
        self._current_ids.clear()

    def changes_by_messages(self, chunks: Sequence[Chunk], at_ms: int) -> tuple[list[AppendedChunk], int]:
        """Return what live chunks change. Those equal to their latest revision, or to an earlier state of it, change nothing.

        Args:
            chunks: the live chunks, in order.
            at_ms: the time now (ms).

        Returns:
            The changes, which include those of what a transcript added, and the number of repeated chunks.
        """
        appended: list[AppendedChunk] = []
        repeated_count = 0
        latest = ChainMap[str, AppendedChunk]({}, self._chunks)
        for live_chunk in chunks:
            chunk = self._to_known_chunk(live_chunk, latest, at_ms)
            if chunk is not None:
                # From now on the service sends what follows on what the log has.
                self._current_ids.add(live_chunk.chunk_id)
            if chunk is None or _is_repeat(chunk, latest):
                repeated_count += 1
                continue
            before = latest.get(chunk.chunk_id)
            longest_end = chunk.end if before is None else max(before.longest_end, chunk.end)
            change = AppendedChunk(chunk, at_ms, longest_end=longest_end)
            changes = [*self._make_room(chunk, latest, at_ms), change]
            appended += changes
            self._note_added(changes)
            latest.update({each.chunk.chunk_id: each for each in changes})
        return appended, repeated_count

    def known_to(self, sentences: Sequence[Chunk], requested_at_ms: int) -> list[KnownChunk]:
        """Return the chunks as they are compared with a transcript.

        Args:
            sentences: the transcript's sentences.
            requested_at_ms: when the transcript was requested (ms). Chunks that changed since count as newer.
        """
        # The transcript of a service that lags, or that started over, ends before what came live.
        transcript_end = max((sentence.end for sentence in sentences), default=0.0) + SAME_END_S
        return [_to_known(item, requested_at_ms, transcript_end) for item in self._chunks.values()]

    def changes_by_transcript(self, aligned: Sequence[Chunk], at_ms: int) -> tuple[list[AppendedChunk], int]:
        """Return what the chunks of an aligned transcript change.

        Args:
            aligned: the result of `align_transcript`.
            at_ms: the time now (ms).

        Returns:
            The changes, and the number of repeated chunks.
        """
        appended: list[AppendedChunk] = []
        for chunk in aligned:
            if not _is_repeat(chunk, self._chunks):
                before = self._chunks.get(chunk.chunk_id)
                appended.append(
                    AppendedChunk(chunk, at_ms, is_added=True)
                    if before is None
                    else replace(before, chunk=chunk, appended_at_ms=at_ms)
                )
        return appended, len(aligned) - len(appended)

    def _to_known_chunk(self, chunk: Chunk, known: Mapping[str, AppendedChunk], at_ms: int) -> Chunk | None:
        """Return a live chunk under its id in the log; None if the log has a later state."""
        live_id = chunk.chunk_id
        latest = known.get(live_id) or self._find_filled(chunk, known)
        if latest is None:
            return chunk
        known_id = latest.chunk.chunk_id
        chunk = chunk.model_copy(update={"chunk_id": known_id})
        if chunk == latest.chunk:
            return chunk
        is_earlier = known_id in self._earlier_ids
        may_be_repeated = live_id not in self._current_ids and (known_id != live_id or is_earlier)
        if may_be_repeated and chunk.end < latest.chunk.end - SAME_END_S:
            self._starts_over |= is_earlier
            return None
        if self._starts_over and chunk.end <= max(latest.longest_end, latest.chunk.end) + SAME_END_S:
            if may_be_repeated and chunk.end > latest.chunk.end + SAME_END_S:
                # The state before a correction that ends earlier.
                return None
            if latest.appended_at_ms <= at_ms - OPEN_MS:
                # Another wording from earlier, which the log would refuse as late.
                return None
        return chunk

    def _find_filled(self, chunk: Chunk, known: Mapping[str, AppendedChunk]) -> AppendedChunk | None:
        """Return the chunk that a gap was filled with, if it is the same speech: its id is not the live one."""
        if chunk.end <= chunk.start:
            # A message without times says nothing about its place.
            return None
        for item in (known[chunk_id] for chunk_id in self._filled_ids if chunk_id in known):
            filled = item.chunk
            if (
                not is_blank(filled.text)
                and (filled.speaker, filled.speaker_id) == (chunk.speaker, chunk.speaker_id)
                and abs(filled.start - chunk.start) <= SAME_START_S
            ):
                return item
        return None

    def _make_room(self, chunk: Chunk, latest: Mapping[str, AppendedChunk], at_ms: int) -> list[AppendedChunk]:
        """Return the changes of what a transcript added, so that it does not repeat a live chunk's words."""
        added = [latest[chunk_id] for chunk_id in self._open_added_ids if chunk_id in latest]
        added = [item for item in added if item.is_added and item.appended_at_ms > at_ms - OPEN_MS]
        self._open_added_ids = {item.chunk.chunk_id for item in added}
        if not any(is_near(item.chunk, chunk) for item in added):
            return []
        known = [_to_known(item, at_ms) for item in latest.values()]
        return [AppendedChunk(change, at_ms, is_added=True) for change in align_revision(known, chunk)]

    def _note_added(self, items: Iterable[AppendedChunk]) -> None:
        added_ids = {item.chunk.chunk_id for item in items if item.is_added}
        self._open_added_ids |= added_ids
        self._filled_ids |= {chunk_id for chunk_id in added_ids if chunk_id.startswith(SENTENCE_ID_PREFIX)}


def _is_repeat(chunk: Chunk, latest: Mapping[str, AppendedChunk]) -> bool:
    """Return whether a chunk is equal to its latest revision."""
    before = latest.get(chunk.chunk_id)
    return before is not None and before.chunk == chunk


def _to_known(item: AppendedChunk, at_ms: int, transcript_end: float = math.inf) -> KnownChunk:
    """Return a chunk as it was at a time (ms). Speech after the end of a transcript (s) counts as newer."""
    return KnownChunk(
        item.chunk,
        is_open=item.appended_at_ms > at_ms - OPEN_MS,
        is_newer=item.appended_at_ms >= at_ms or item.chunk.end > transcript_end,
        is_added=item.is_added,
    )
