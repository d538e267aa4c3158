"""What is said in the scenarios: the AMI recordings where they are at hand, else speech made up from a seed."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from cluster.recording import read_recording
from operators import context, dedup, sentences
from operators.model import Chunk, MeetingConfig
from storage.log import NewEvent
from tests.harness import speech
from tests.harness.ami import RECORDINGS
from tests.harness.lanes import BASE, ending

TARGET = "pt"
CONFIG = MeetingConfig(source_language="en", target_languages=(TARGET,))
_WORDS = [
    "we",
    "should",
    "look",
    "at",
    "the",
    "budget",
    "before",
    "anybody",
    "signs",
    "a",
    "new",
    "plan",
    "for",
    "that",
    "small",
    "office",
    "in",
    "the",
    "north",
]

_SPEAKERS = ("Zoë Q", "Ann", "Bartholomew")
"""Neither in the order of their names nor in that of their lengths."""


@dataclass(frozen=True)
class Spoken:
    """A meeting's speech, by the clock of a recording: each chunk with its arrival (s)."""

    title: str
    chunks: tuple[tuple[float, Chunk], ...]

    def events(self) -> list[NewEvent]:
        """What a source sends of it, with ids of its own, and the end."""
        events = [NewEvent(f"line-{k}", chunk, BASE + round(at * 1000)) for k, (at, chunk) in enumerate(self.chunks, 1)]
        return [*events, ending(self.chunks[-1][0])]


@cache
def all_speech() -> tuple[Spoken, ...]:
    """Every meeting that is at hand, the shortest first."""
    if RECORDINGS:
        read = [read_recording(path) for path in RECORDINGS]
        spoken = [Spoken(one.name, tuple((event.at, event.chunk) for event in one.events)) for one in read]
    else:
        spoken = [made_up(f"made-up-{seed}", seed, 100 + 60 * seed) for seed in range(1, 6)]
    return tuple(sorted(spoken, key=lambda one: len(one.chunks)))


def made_up(title: str, seed: int, count: int) -> Spoken:
    """Three speakers who take turns and overlap, in chunks that grow word by word and are corrected once more."""
    chance = random.Random(seed)
    chunks: list[tuple[float, Chunk]] = []
    at = 0.0
    for k in range(count):
        speaker = _SPEAKERS[k % len(_SPEAKERS)]
        words = [chance.choice(_WORDS) for _ in range(chance.randint(2, 9))]
        said = [" ".join(words[:stop]) for stop in range(1, len(words) + 1)]
        start, chunk_id = at, f"{chance.getrandbits(64):x}"
        for text in [*said, said[-1].capitalize() + chance.choice(".?!")]:
            at += chance.uniform(0.1, 0.6)
            chunks.append((at, Chunk(chunk_id=chunk_id, speaker=speaker, text=text, start=start, end=at)))
        at -= chance.uniform(0.0, 0.3)
    chunks.sort(key=lambda pair: pair[0])
    return Spoken(title, tuple(chunks))


def numbered(title: str, count: int) -> Spoken:
    """Speech in which every chunk is a sentence of its own that says its number: each entry can be looked for."""
    chunks = [
        (
            2.0 * k + 1.5,
            Chunk(
                chunk_id=f"c{k}",
                speaker=f"S{k % 3}",
                text=f"Number {k} is what we say here.",
                start=2.0 * k,
                end=2.0 * k + 1.5,
            ),
        )
        for k in range(1, count + 1)
    ]
    return Spoken(title, tuple(chunks))


@cache
def asked(spoken: Spoken) -> dict[tuple[str, int], int]:
    """The place of each request for a translation, by sentence and revision: what the operators ask, and in which order."""
    states = dedup.State(), sentences.State(), context.State()
    places: dict[tuple[str, int], int] = {}
    for item in speech.log(spoken.chunks, config=CONFIG):
        first, update = dedup.step(states[0], item)
        second, done = sentences.step(states[1], update)
        third, requests = context.step(states[2], update, done)
        states = first, second, third
        for request in requests:
            places.setdefault((request.sentence_id, request.revision), len(places))
    return places


def place(title: str, caption: Mapping[str, Any]) -> int:
    """The place of a caption among those of its meeting, in the order in which they are asked."""
    (spoken,) = (one for one in all_speech() if one.title == title)
    return asked(spoken)[caption["sentence_id"], caption["revision"]]


def number(text: str) -> int:
    """The number that a sentence of `numbered` speech says, or that its translation says."""
    found = re.search(r"\d+", text)
    assert found is not None
    return int(found[0])


def events_in(spoken: Sequence[Spoken]) -> int:
    """How many events the meetings have together, their ends included."""
    return sum(len(one.chunks) + 1 for one in spoken)
