"""The speech of the scenarios: AMI recordings if they are installed, otherwise speech generated from a seed."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from cluster.recordings.reader import read_recording
from operators import context_window, dedup
from operators.entries import Chunk
from operators.meeting_config import MeetingConfig
from operators.sentences import tracker
from storage.redis_log.event_log import NewEvent
from tests.harness.data.ami_corpus import AMI_RECORDINGS
from tests.harness.lane import operator_runs
from tests.harness.lane.threaded_lane import RECORDING_START_MS, end_event

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
"""Sorted neither by name nor by length, so that no test passes because of such an order."""


@dataclass(frozen=True)
class RecordedMeeting:
    """A recorded meeting: each chunk with its arrival time (s) on the recording's clock."""

    title: str
    chunks: tuple[tuple[float, Chunk], ...]

    def events(self) -> list[NewEvent]:
        """Return the meeting's events as a source sends them: the chunks with event ids, then the end."""
        events = [
            NewEvent(f"line-{k}", chunk, RECORDING_START_MS + round(arrival_s * 1000))
            for k, (arrival_s, chunk) in enumerate(self.chunks, 1)
        ]
        return [*events, end_event(self.chunks[-1][0])]


@cache
def all_meetings() -> tuple[RecordedMeeting, ...]:
    """Return every available meeting, shortest first."""
    if AMI_RECORDINGS:
        recordings = [read_recording(path) for path in AMI_RECORDINGS]
        meetings = [
            RecordedMeeting(recording.name, tuple((event.at, event.chunk) for event in recording.events))
            for recording in recordings
        ]
    else:
        meetings = [synthetic_meeting(f"made-up-{seed}", seed, 100 + 60 * seed) for seed in range(1, 6)]
    return tuple(sorted(meetings, key=lambda meeting: len(meeting.chunks)))


def synthetic_meeting(title: str, seed: int, count: int) -> RecordedMeeting:
    """Generate speech of three speakers who take turns and overlap.

    The chunks grow word by word, and a last revision corrects each.
    """
    rng = random.Random(seed)
    chunks: list[tuple[float, Chunk]] = []
    arrival_s = 0.0
    for k in range(count):
        speaker = _SPEAKERS[k % len(_SPEAKERS)]
        words = [rng.choice(_WORDS) for _ in range(rng.randint(2, 9))]
        interim_texts = [" ".join(words[:stop]) for stop in range(1, len(words) + 1)]
        start, chunk_id = arrival_s, f"{rng.getrandbits(64):x}"
        for text in [*interim_texts, interim_texts[-1].capitalize() + rng.choice(".?!")]:
            arrival_s += rng.uniform(0.1, 0.6)
            chunks.append((arrival_s, Chunk(chunk_id=chunk_id, speaker=speaker, text=text, start=start, end=arrival_s)))
        arrival_s -= rng.uniform(0.0, 0.3)
    chunks.sort(key=lambda pair: pair[0])
    return RecordedMeeting(title, tuple(chunks))


def numbered_meeting(title: str, count: int) -> RecordedMeeting:
    """Generate speech in which every chunk is one sentence with its number, so that each entry can be found."""
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
    return RecordedMeeting(title, tuple(chunks))


@cache
def request_order(meeting: RecordedMeeting) -> dict[tuple[str, int], int]:
    """Return the position of each translation request of the operators, by sentence id and revision."""
    states = dedup.DedupState(), tracker.TrackerState(), context_window.WindowState()
    order: dict[tuple[str, int], int] = {}
    for item in operator_runs.make_items(meeting.chunks, config=CONFIG):
        first, update = dedup.step(states[0], item)
        second, sentence_output = tracker.step(states[1], update)
        third, requests = context_window.step(states[2], update, sentence_output)
        states = first, second, third
        for request in requests:
            order.setdefault((request.sentence_id, request.revision), len(order))
    return order


def caption_order(title: str, caption: Mapping[str, Any]) -> int:
    """Return a caption's position among the captions of its meeting, in the order of their requests."""
    (meeting,) = (candidate for candidate in all_meetings() if candidate.title == title)
    return request_order(meeting)[caption["sentence_id"], caption["revision"]]


def number_in(text: str) -> int:
    """Return the number in a sentence of a `numbered_meeting`, or in its translation."""
    match = re.search(r"\d+", text)
    assert match is not None
    return int(match[0])


def count_events(meetings: Sequence[RecordedMeeting]) -> int:
    """Count the events of all given meetings, including their ends."""
    return sum(len(meeting.chunks) + 1 for meeting in meetings)
