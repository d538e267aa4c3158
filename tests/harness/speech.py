"""Helpers for tests of the operators: logs of a meeting made from a few chunks, and what the operators end with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from operators import dedup, sentences
from operators.characters import says_nothing
from operators.model import (
    Boundary,
    Chunk,
    Clock,
    Ended,
    Entry,
    Interim,
    Item,
    MeetingConfig,
    Payload,
    Sentence,
    Sentences,
    Started,
    Update,
)
from operators.pieces import Place, Said, read
from operators.ticks import TickState, after_entry, due
from operators.voices import person, voice, voice_of

START = 1_700_000_000_000
Told = tuple[str, str, float, float, Boundary]


def chunk(chunk_id: str, text: str, start: float = 0.0, end: float | None = None, speaker: str = "A") -> Chunk:
    """A chunk that ends a second after it starts, unless told."""
    return Chunk(chunk_id=chunk_id, speaker=speaker, text=text, start=start, end=start + 1 if end is None else end)


def log(said: Iterable[tuple[float, Payload]], *, config: MeetingConfig | None = None, end: bool = True) -> list[Item]:
    """A meeting's items: the payloads at their seconds, between a start and an end, with all ticks."""
    timed: list[tuple[float, Payload]] = [
        (0.0, Started(clock=Clock.RECORDED, generation=1, config=config or MeetingConfig())),
        *said,
    ]
    if end:
        timed.append((timed[-1][0], Ended()))
    items: list[Item] = []
    ticks = TickState()
    firsts: dict[str, int] = {}
    for n, (at, payload) in enumerate(timed, 1):
        arrived_at = START + round(at * 1000)
        ticks, before = due(ticks, "m", arrived_at)
        first = firsts.setdefault(payload.chunk_id, n) if isinstance(payload, Chunk) else 0
        items += [*before, Entry("t", "m", n, str(n), arrived_at, payload, first)]
        ticks = after_entry(ticks, arrived_at)
    return items


@dataclass
class Outcome:
    """What a meeting came to.

    Attributes:
        steps: what each item did.
        standing: the sentences that stand, by id.
        settled: how often each revision was settled, by id and revision.
        interims: what is shown of each voice, and was not taken away.
    """

    steps: list[tuple[Update, Sentences]] = field(default_factory=list)
    standing: dict[str, Sentence] = field(default_factory=dict)
    settled: Counter[tuple[str, int]] = field(default_factory=Counter)
    interims: dict[str, Interim] = field(default_factory=dict)

    def told(self) -> list[Told]:
        """What the sentences say, without what depends on arrival."""
        return sorted((s.speaker, s.text, s.start, s.end, s.boundary) for s in self.standing.values())

    def texts(self, speaker: str = "A") -> list[str]:
        """A speaker's sentences in reading order."""
        mine = [s for s in self.standing.values() if s.speaker == speaker]
        return [s.text for s in sorted(mine, key=lambda s: (s.start, s.end))]

    def take(self, update: Update, done: Sentences) -> None:
        """Take a step, and check that it keeps the contract."""
        self.steps.append((update, done))
        for gone in done.retracted:
            assert gone.revision == self.standing.pop(gone.id).revision + 1
        for sentence in done.put_out:
            before = self.standing.get(sentence.id)
            if before is not None:
                assert sentence != before
                says, said = [(s.speaker, s.speaker_id, s.text, s.language) for s in (sentence, before)]
                assert sentence.revision == before.revision + (says != said)
                assert (sentence.first_emitted, sentence.first_text) == (before.first_emitted, before.first_text)
            self.standing[sentence.id] = sentence
        starts = [sentence.start for sentence in done.settled]
        assert starts == sorted(starts)
        for sentence in done.settled:
            assert self.standing[sentence.id] == sentence
            self.settled[sentence.id, sentence.revision] += 1
        for interim in done.interims:
            spoken = voice(interim.speaker, interim.speaker_id)
            self.interims[spoken] = interim
            if not interim.text:
                del self.interims[spoken]


def run(items: Iterable[Item]) -> Outcome:
    """Run dedup and sentences over a meeting's items."""
    outcome = Outcome()
    dedup_state, state = dedup.State(), sentences.State()
    for item in items:
        dedup_state, update = dedup.step(dedup_state, item)
        state, done = sentences.step(state, update)
        outcome.take(update, done)
    return outcome


def expected(chunks: Sequence[Chunk]) -> list[Told]:
    """The sentences of the chunks' final text, read in one go."""
    told: list[Told] = []
    for spoken in {voice_of(one) for one in chunks}:
        mine = [one for one in chunks if voice_of(one) == spoken and not says_nothing(one.text)]
        mine.sort(key=lambda one: one.start)
        said = [
            Said(one.chunk_id, n, 0, " ".join(one.text.split()), one.start, one.end, one.language)
            for n, one in enumerate(mine, 1)
        ]
        for piece in read(said, Place()):
            boundary = Boundary.END if piece.boundary is Boundary.OPEN else piece.boundary
            told.append((person(spoken)[0], piece.text, piece.start, piece.end, boundary))
    return sorted(told)
