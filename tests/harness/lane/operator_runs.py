"""Helpers for tests of the operators: a meeting's log items from a few chunks, and the operators' result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from operators import dedup
from operators.characters import is_blank
from operators.entries import Chunk, Entry, EntryPayload, LogItem, MeetingEnded, MeetingStarted
from operators.meeting_config import Clock, MeetingConfig
from operators.sentences import tracker
from operators.sentences.segmenter import ChunkState, SegmenterPosition, segment_speech
from operators.speaker_keys import chunk_speaker_key, speaker_key, split_speaker_key
from operators.stream import ChunkUpdate, Interim, Sentence, SentenceBoundary, SentenceChanges
from operators.ticks import TickState, after_entry, due

START_MS = 1_700_000_000_000
SentenceFields = tuple[str, str, float, float, SentenceBoundary]


def make_chunk(chunk_id: str, text: str, start: float = 0.0, end: float | None = None, speaker: str = "A") -> Chunk:
    """Make a chunk; by default it ends a second after its start."""
    return Chunk(chunk_id=chunk_id, speaker=speaker, text=text, start=start, end=start + 1 if end is None else end)


def make_items(
    timed_payloads: Iterable[tuple[float, EntryPayload]], *, config: MeetingConfig | None = None, end: bool = True
) -> list[LogItem]:
    """Make a meeting's log items with all due ticks.

    Args:
        timed_payloads: arrival (seconds after the start) and payload of each entry.
        config: the meeting's config.
        end: whether the meeting ends after the last payload.
    """
    complete: list[tuple[float, EntryPayload]] = [
        (0.0, MeetingStarted(clock=Clock.RECORDED, generation=1, config=config or MeetingConfig())),
        *timed_payloads,
    ]
    if end:
        complete.append((complete[-1][0], MeetingEnded()))
    items: list[LogItem] = []
    ticks = TickState()
    first_ns: dict[str, int] = {}
    for n, (at, payload) in enumerate(complete, 1):
        arrived_at = START_MS + round(at * 1000)
        ticks, due_ticks = due(ticks, "m", arrived_at)
        first_n = first_ns.setdefault(payload.chunk_id, n) if isinstance(payload, Chunk) else 0
        items += [*due_ticks, Entry("t", "m", n, str(n), arrived_at, payload, first_n)]
        ticks = after_entry(ticks, arrived_at)
    return items


@dataclass
class OperatorResult:
    """The operators' result for a meeting.

    Attributes:
        steps: the outputs of dedup and sentences for each item.
        current_sentences: the sentences that are not retracted, by id.
        final_counts: how often each revision became stable, by id and revision.
        interims: the current interim text of each speaker, by speaker key.
    """

    steps: list[tuple[ChunkUpdate, SentenceChanges]] = field(default_factory=list)
    current_sentences: dict[str, Sentence] = field(default_factory=dict)
    final_counts: Counter[tuple[str, int]] = field(default_factory=Counter)
    interims: dict[str, Interim] = field(default_factory=dict)

    def sentence_fields(self) -> list[SentenceFields]:
        """Return the sentences' fields that don't depend on arrival, sorted."""
        return sorted((s.speaker, s.text, s.start, s.end, s.boundary) for s in self.current_sentences.values())

    def texts(self, speaker: str = "A") -> list[str]:
        """Return the texts of a speaker's sentences in reading order."""
        of_speaker = [s for s in self.current_sentences.values() if s.speaker == speaker]
        return [s.text for s in sorted(of_speaker, key=lambda s: (s.start, s.end))]

    def apply(self, update: ChunkUpdate, output: SentenceChanges) -> None:
        """Apply the outputs of one item, and check the contract of the sentences.

        Raises:
            AssertionError: the outputs violate the contract.
        """
        self.steps.append((update, output))
        for retracted in output.retractions:
            assert retracted.revision == self.current_sentences.pop(retracted.id).revision + 1
        for sentence in output.emitted:
            before = self.current_sentences.get(sentence.id)
            if before is not None:
                assert sentence != before
                content, content_before = [(s.speaker, s.speaker_id, s.text, s.language) for s in (sentence, before)]
                assert sentence.revision == before.revision + (content != content_before)
                assert (sentence.first_emitted, sentence.first_text) == (before.first_emitted, before.first_text)
            self.current_sentences[sentence.id] = sentence
        starts = [sentence.start for sentence in output.stable]
        assert starts == sorted(starts)
        for sentence in output.stable:
            assert self.current_sentences[sentence.id] == sentence
            self.final_counts[sentence.id, sentence.revision] += 1
        for interim in output.interims:
            key = speaker_key(interim.speaker, interim.speaker_id)
            self.interims[key] = interim
            if not interim.text:
                del self.interims[key]


def run_operators(items: Iterable[LogItem]) -> OperatorResult:
    """Run dedup and sentences over a meeting's items, and return their result."""
    result = OperatorResult()
    dedup_state, state = dedup.DedupState(), tracker.TrackerState()
    for item in items:
        dedup_state, update = dedup.step(dedup_state, item)
        state, output = tracker.step(state, update)
        result.apply(update, output)
    return result


def expected_sentences(chunks: Sequence[Chunk]) -> list[SentenceFields]:
    """Segment the chunks' final text in one pass, and return the fields of its sentences, sorted."""
    expected_fields: list[SentenceFields] = []
    for key in {chunk_speaker_key(chunk) for chunk in chunks}:
        of_speaker = [chunk for chunk in chunks if chunk_speaker_key(chunk) == key and not is_blank(chunk.text)]
        of_speaker.sort(key=lambda chunk: chunk.start)
        chunk_states = [
            ChunkState(chunk.chunk_id, n, 0, " ".join(chunk.text.split()), chunk.start, chunk.end, chunk.language)
            for n, chunk in enumerate(of_speaker, 1)
        ]
        for piece in segment_speech(chunk_states, SegmenterPosition()):
            boundary = SentenceBoundary.END if piece.boundary is SentenceBoundary.OPEN else piece.boundary
            expected_fields.append((split_speaker_key(key)[0], piece.text, piece.start, piece.end, boundary))
    return sorted(expected_fields)
