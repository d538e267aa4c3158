"""The sentence operator: turns chunk revisions into sentences, and tracks the identity and revisions of each sentence.

Each speaker has one open sentence. Sentences are emitted early, revised with their chunks, and stable once they no longer
change.

The segmentation is a pure function of the chunks' text and speech time (`operators.sentences.segmenter`), never of their
arrival. The time of emission depends on the updates' time (`operators.sentences.emission`). A sentence's id
has the chunk in which it begins, and the number of boundaries before it in that chunk. A chunk's revision changes as few
sentences as possible.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from operators.characters import is_blank
from operators.entries import SentenceCorrected
from operators.meeting_config import MeetingConfig
from operators.sentences.emission import SentenceState, StreamTime, emit_if_due, is_stable
from operators.sentences.interim import InterimState, next_interim, stable_word_count
from operators.sentences.segmenter import ChunkState, position_after, segment_speech
from operators.sentences.tracker_state import (
    DetachedSentence,
    SpeakerState,
    TrackerState,
    count_closed,
    drop_finished,
    without_retracted,
)
from operators.speaker_keys import has_same_speaker, is_merged, is_renamed, rename_key, split_speaker_key
from operators.stream import (
    ChunkRevision,
    ChunkUpdate,
    Interim,
    Retraction,
    Sentence,
    SentenceBoundary,
    SentenceChanges,
    SpeakerRename,
)


def step(state: TrackerState, update: ChunkUpdate) -> tuple[TrackerState, SentenceChanges]:
    """Process one update.

    Args:
        state: the meeting's state, initially `TrackerState()`.
        update: from `operators.dedup`.

    Returns:
        The next state, and the changes of the meeting's sentences.
    """
    work = _SentenceUpdate(state, update)
    for rename in update.renames:
        work.apply_rename(rename)
    if update.correction is not None:
        work.apply_correction(update.correction)
    if update.config is not None:
        work.apply_config(update.config)
    if update.revision is not None:
        work.apply_revision(update.revision)
    work.emit_due()
    work.retract_replaced()
    work.update_interims()
    if update.closed_chunk_ids:
        work.release_closed()
    return (TrackerState() if update.meeting_ended else work.next_state()), work.changes()


class _SentenceUpdate:
    """The processing of one update: a mutable copy of the state, and the changes so far."""

    def __init__(self, state: TrackerState, update: ChunkUpdate) -> None:
        self.speakers = dict(state.speakers)
        self.detached = dict(state.detached)
        self.language = state.language
        self.speech_watermark = state.speech_watermark
        if update.revision is not None and not is_blank(update.revision.chunk.text):
            self.speech_watermark = max(self.speech_watermark, update.revision.chunk.end)
        self.update = update
        stream_s = (update.at - update.began_at) / 1000
        self.now = StreamTime(update.at, stream_s, self.speech_watermark, update.meeting_ended)
        self.emitted: dict[str, Sentence] = {}
        self.renamed: dict[str, int] = {}
        self.corrected_ids: set[str] = set()
        self.stored_correction: SentenceCorrected | None = None
        self.is_conflicting = False
        self.stable: list[Sentence] = []
        self.retractions: list[Retraction] = []
        self.interims: list[Interim] = []

    def next_state(self) -> TrackerState:
        """Return the state after the update."""
        return TrackerState(self.speakers, self.detached, self.speech_watermark, self.language)

    def changes(self) -> SentenceChanges:
        """Return the changes that the update made."""
        # In order of speech across speakers, because captions are requested and shown in this order.
        emitted = sorted(self.emitted.values(), key=lambda sentence: sentence.start)
        self.stable.sort(key=lambda sentence: sentence.start)
        return SentenceChanges(
            tuple(emitted),
            tuple(self.retractions),
            tuple(self.stable),
            tuple(self.interims),
            tuple(self.renamed.items()),
            self.stored_correction,
            self.is_conflicting,
        )

    def apply_rename(self, rename: SpeakerRename) -> None:
        """Rename a speaker, and emit the speaker's sentences again. Their text stays, so they need no new translation."""
        renamed_speakers: dict[str, SpeakerState] = {}
        for speaker, speaker_state in self.speakers.items():
            key = rename_key(speaker, rename)
            sentences = tuple(self._rename_sentence(sentence, speaker, rename) for sentence in speaker_state.sentences)
            # If both keys exist, one has no chunks any more: they were revised to other speakers.
            if not speaker_state.chunks and key in renamed_speakers:
                continue
            renamed_speakers[key] = speaker_state._replace(sentences=sentences)
            if key != speaker:
                self._rename_interim(key, speaker, renamed_speakers)
        self.speakers = renamed_speakers
        self.detached = {
            sentence_id: DetachedSentence(rename_key(speaker, rename), self._rename_sentence(sentence, speaker, rename))
            for sentence_id, (speaker, sentence) in self.detached.items()
        }

    def _rename_sentence(self, sentence: SentenceState, speaker: str, rename: SpeakerRename) -> SentenceState:
        """Rename the speaker of a sentence's last emission, if it is the renamed one, and emit the sentence again."""
        if not sentence.revision or sentence.is_retracted:
            return sentence
        emitted_by = sentence.previous_speaker_key or speaker
        if sentence.previous_speaker_key is not None:
            previous = rename_key(sentence.previous_speaker_key, rename)
            has_returned = has_same_speaker(previous, rename_key(speaker, rename))
            sentence = sentence._replace(previous_speaker_key=None if has_returned else previous)
        if not is_renamed(emitted_by, rename):
            return sentence
        sentence = sentence._replace(revision=sentence.revision + 1)
        self.emitted[sentence.segment.id] = sentence.to_sentence(rename_key(emitted_by, rename))
        self.renamed[sentence.segment.id] = sentence.revision
        return sentence

    def _rename_interim(self, key: str, speaker: str, speakers: dict[str, SpeakerState]) -> None:
        """Show a renamed speaker's interim text under the new name. That of merged speech isn't shown any more."""
        base, text, start = speakers[key].interim
        if is_merged(key):
            speakers[key] = speakers[key]._replace(interim=InterimState())
        for shown_key, shown_text in ((speaker, ""), (key, text)):
            if text and not is_merged(shown_key):
                name, speaker_id = split_speaker_key(shown_key)
                self.interims.append(Interim(name, shown_text, start, base, speaker_id=speaker_id))

    def apply_correction(self, correction: SentenceCorrected) -> None:
        """Correct a sentence of the state, and emit it at once. Another sentence is only stored."""
        sentence_id = correction.sentence_id
        for speaker, speaker_state in self.speakers.items():
            for i, sentence in enumerate(speaker_state.sentences):
                if sentence.segment.id == sentence_id:
                    sentences = list(speaker_state.sentences)
                    sentences[i] = self._correct_sentence(sentence, speaker, correction)
                    self.speakers[speaker] = speaker_state._replace(sentences=tuple(sentences))
                    return
        detached = self.detached.get(sentence_id)
        if detached is None:
            self.stored_correction = correction
            return
        corrected = self._correct_sentence(detached.sentence, detached.speaker_key, correction)
        self.detached[sentence_id] = DetachedSentence(detached.speaker_key, corrected)

    def _correct_sentence(self, sentence: SentenceState, speaker: str, correction: SentenceCorrected) -> SentenceState:
        is_shown = sentence.revision > 0 and not sentence.is_retracted
        if not is_shown or sentence.shown_text not in (correction.previous_text, correction.text):
            self.is_conflicting = True
            return sentence
        corrected = sentence.with_correction(correction)
        if corrected != sentence:
            self.emitted[sentence.segment.id] = corrected.to_sentence(sentence.previous_speaker_key or speaker)
        if corrected.revision > sentence.revision:
            self.corrected_ids.add(sentence.segment.id)
        return corrected

    def _take_raise(self, sentence_id: str) -> bool:
        """Return whether the update raised a sentence's revision already: one revision then has all its changes."""
        is_corrected = sentence_id in self.corrected_ids
        self.corrected_ids.discard(sentence_id)
        return self.renamed.pop(sentence_id, None) is not None or is_corrected

    def apply_config(self, config: MeetingConfig) -> None:
        """Apply a config. If its source language is another one, segment the speech that may still change again."""
        language = None if config.source_language == "auto" else config.source_language
        if language != self.language:
            self.language = language
            for speaker in self.speakers:
                self._resegment(speaker, 0)

    def apply_revision(self, revision: ChunkRevision) -> None:
        """Apply a new or changed chunk, and segment its speaker again, and its previous speaker if that was another one."""
        chunk, speaker = revision.chunk, revision.speaker_key
        before, index = self._remove_chunk(revision.ordinal, speaker)
        text = "" if is_blank(chunk.text) else " ".join(chunk.text.split())
        new = ChunkState(
            chunk_id=chunk.chunk_id,
            ordinal=revision.ordinal,
            revised_at=revision.arrived_at,
            text=text,
            start=chunk.start,
            end=chunk.end,
            language=chunk.language,
            stable_word_count=stable_word_count(before, text),
        )
        speaker_state = self.speakers.get(speaker, SpeakerState())
        chunks = speaker_state.chunks
        closed_count = count_closed(chunks)
        if index is not None:
            # Chunks behind an open one may be closed. The chunk keeps its place before them.
            closed_count = min(closed_count, index)
        position = bisect_right(
            chunks, (new.start, new.ordinal), lo=closed_count, key=lambda chunk: (chunk.start, chunk.ordinal)
        )
        self.speakers[speaker] = speaker_state._replace(chunks=(*chunks[:position], new, *chunks[position:]))
        self._resegment(speaker, position if index is None else min(position, index))

    def _remove_chunk(self, n: int, speaker: str) -> tuple[ChunkState | None, int | None]:
        """Remove the previous revision of a chunk. If its speaker was another one, segment that speaker again.

        Returns:
            The previous revision, and its index if it had the same speaker.
        """
        for other, speaker_state in self.speakers.items():
            if (index := _index_of(speaker_state.chunks, n)) is None:
                continue
            self.speakers[other] = speaker_state._replace(chunks=_without_index(speaker_state.chunks, index))
            if other == speaker:
                return speaker_state.chunks[index], index
            self._resegment(other, index)
            return speaker_state.chunks[index], None
        return None, None

    def _resegment(self, speaker: str, changed: int) -> None:
        """Segment a speaker again, from the last boundary that the chunk at index `changed` can't have moved."""
        speaker_state = self.speakers[speaker]
        present = without_retracted(speaker_state.chunks)
        changed = len(without_retracted(speaker_state.chunks[:changed]))
        index = {chunk.ordinal: i for i, chunk in enumerate(present)}
        kept, position = len(speaker_state.sentences), speaker_state.position
        while kept > 0:
            segment = speaker_state.sentences[kept - 1].segment
            last = index.get(segment.end_chunk_ordinal, changed)
            # The boundary depends on the word after it, so that word must precede the change, too.
            if segment.is_final and (
                last < changed - 1 or (last == changed - 1 and segment.end_offset < len(present[last].text))
            ):
                position = position_after(segment, present, speaker_state.position)
                break
            kept -= 1
        previous = {sentence.segment.id: sentence for sentence in speaker_state.sentences[kept:]}
        sentences = list(speaker_state.sentences[:kept])
        for segment in segment_speech(present[index.get(position.chunk_ordinal, 0) :], position, self.language):
            sentence = previous.pop(segment.id, None) or self._restore_detached(segment.id, speaker)
            at = self.update.at
            sentences.append(SentenceState(segment, at, at) if sentence is None else sentence.with_segment(segment, at))
        for sentence_id, sentence in previous.items():
            if sentence.revision:
                self.detached[sentence_id] = DetachedSentence(speaker, sentence)
        self.speakers[speaker] = speaker_state._replace(sentences=tuple(sentences))

    def _restore_detached(self, sentence_id: str, speaker: str) -> SentenceState | None:
        detached = self.detached.pop(sentence_id, None)
        if detached is None:
            return None
        at = self.update.at
        sentence = detached.sentence._replace(text_since=at, unchanged_since=at)
        if sentence.is_retracted:
            return sentence
        previous = sentence.previous_speaker_key or detached.speaker_key
        return sentence._replace(previous_speaker_key=None if previous == speaker else previous)

    def emit_due(self) -> None:
        """Emit the sentences that are due, and mark the stable ones."""
        meeting_ended = self.now.meeting_ended
        for speaker, speaker_state in self.speakers.items():
            sentences: list[SentenceState] | None = None
            for i, sentence in enumerate(speaker_state.sentences):
                if meeting_ended and sentence.segment.boundary is SentenceBoundary.OPEN:
                    ended_segment = sentence.segment._replace(boundary=SentenceBoundary.END)
                    sentence = sentence.with_segment(ended_segment, self.now.at)
                if sentence.is_finished:
                    continue
                new = emit_if_due(sentence, i + 1 < len(speaker_state.sentences), self.now)
                if new.revision > sentence.revision and self._take_raise(new.segment.id):
                    new = new._replace(revision=sentence.revision)
                if new is not sentence:
                    self.emitted[new.segment.id] = new.to_sentence(speaker)
                if is_stable(new, self.now):
                    new = new._replace(stable=True)
                    self.stable.append(new.to_sentence(speaker))
                if new is not sentence:
                    sentences = sentences or list(speaker_state.sentences)
                    sentences[i] = new
            if sentences is not None:
                self.speakers[speaker] = speaker_state._replace(sentences=tuple(sentences))

    def retract_replaced(self) -> None:
        """Retract detached sentences. A retraction waits until the sentence that contains the words now is emitted."""
        for sentence_id, detached in self.detached.items():
            if detached.sentence.is_retracted:
                continue
            if self.now.meeting_ended or not self._is_replacement_pending(detached):
                revision = detached.sentence.revision + (0 if self._take_raise(sentence_id) else 1)
                retracted = detached.sentence._replace(revision=revision, previous_speaker_key=None, is_retracted=True)
                self.detached[sentence_id] = DetachedSentence(detached.speaker_key, retracted)
                self.retractions.append(Retraction(sentence_id, retracted.revision))
                self.emitted.pop(sentence_id, None)

    def _is_replacement_pending(self, detached: DetachedSentence) -> bool:
        """Return whether the sentence that contains a detached sentence's words now is not emitted yet."""
        speaker_state = self.speakers[detached.speaker_key]
        index = {chunk.ordinal: i for i, chunk in enumerate(without_retracted(speaker_state.chunks))}
        if detached.sentence.segment.chunk_ordinal not in index:
            return False
        began = (index[detached.sentence.segment.chunk_ordinal], detached.sentence.segment.index_in_chunk)
        candidates = [
            sentence
            for sentence in speaker_state.sentences
            if (index[sentence.segment.chunk_ordinal], sentence.segment.index_in_chunk) <= began
        ]
        return bool(candidates) and not candidates[-1].is_emitted

    def update_interims(self) -> None:
        """Update the speakers' interim texts."""
        for speaker, speaker_state in self.speakers.items():
            if is_merged(speaker):
                continue
            previous = speaker_state.interim
            interim = next_interim(previous, speaker_state.chunks, speaker_state.sentences, self.now.at)
            if interim.text != previous.text or (interim.text and interim.base != previous.base):
                recent_first = reversed(speaker_state.sentences)
                language = next((each.segment.language for each in recent_first if interim.continues(each)), None)
                name, speaker_id = split_speaker_key(speaker)
                self.interims.append(Interim(name, interim.text, interim.start, interim.base, language, speaker_id))
            if interim != previous:
                self.speakers[speaker] = speaker_state._replace(interim=interim)

    def release_closed(self) -> None:
        """Release the sentences that can't change any more."""
        kept_ordinals: set[int] = set()
        closed = self.update.closed_chunk_ids
        for speaker, speaker_state in self.speakers.items():
            chunks = tuple(
                chunk._replace(is_closed=True) if chunk.chunk_id in closed else chunk
                for chunk in speaker_state.chunks
                if chunk.text or chunk.chunk_id not in closed
            )
            released = self.speakers[speaker] = drop_finished(speaker_state._replace(chunks=chunks))
            kept_ordinals.update(chunk.ordinal for chunk in released.chunks)
        self.detached = {
            sentence_id: detached
            for sentence_id, detached in self.detached.items()
            if detached.sentence.segment.chunk_ordinal in kept_ordinals
        }


def _index_of(chunks: Sequence[ChunkState], n: int) -> int | None:
    return next((i for i in range(len(chunks) - 1, -1, -1) if chunks[i].ordinal == n), None)


def _without_index(chunks: tuple[ChunkState, ...], index: int) -> tuple[ChunkState, ...]:
    return (*chunks[:index], *chunks[index + 1 :])
