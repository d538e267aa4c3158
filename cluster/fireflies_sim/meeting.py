"""A meeting of the stand-in: its steps, its state, and the captions of it so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from cluster.fireflies_sim.scenario_steps import Broadcast, Step

ORGANIZER_EMAIL = "host@example.com"
SENTENCE_ENDS = (".", "?", "!")
"""Characters at which the words of a processed transcript are cut into sentences."""


class SimulatedMeetingState(StrEnum):
    """State of a meeting. Fireflies calls the first two active."""

    ACTIVE = "active"
    PAUSED = "paused"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class SimulatedCaption:
    """A sentence of a transcript.

    Attributes:
        text: its text.
        speaker_name: its speaker.
        start_time: its start, in seconds from the meeting's start.
        end_time: its end, in seconds from the meeting's start.
    """

    text: str
    speaker_name: str
    start_time: float
    end_time: float


@dataclass
class SimulatedMeeting:
    """A meeting of the stand-in.

    Attributes:
        id: its transcript id.
        title: its title.
        began_at: its start, in ms since the epoch.
        steps: what happens in it, in the order of the times.
        meeting_link: address of the video meeting.
        state: its state.
        has_begun: whether its steps are or were played.
    """

    id: str
    title: str
    began_at: int
    steps: Sequence[Step]
    meeting_link: str = ""
    state: SimulatedMeetingState = SimulatedMeetingState.ACTIVE
    has_begun: bool = False
    _latest: dict[str, Broadcast] = field(default_factory=dict[str, Broadcast])

    @property
    def is_live(self) -> bool:
        """Whether the meeting isn't over."""
        return self.state is not SimulatedMeetingState.ENDED

    def begin(self, began_at: int) -> None:
        """Begin the meeting, or begin it anew. A paused meeting stays paused.

        Args:
            began_at: its start, in ms since the epoch.
        """
        self.began_at = began_at
        if not self.is_live:
            self.state = SimulatedMeetingState.ACTIVE
        self.has_begun = True
        self._latest.clear()

    def end(self) -> None:
        """End the meeting."""
        self.state = SimulatedMeetingState.ENDED

    def add(self, broadcast: Broadcast) -> None:
        """Add a broadcast to the transcript. An empty text takes its chunk back."""
        if broadcast.text:
            self._latest[broadcast.chunk_id] = broadcast
        else:
            self._latest.pop(broadcast.chunk_id, None)

    def captions(self) -> list[SimulatedCaption]:
        """Return the latest text of each chunk, in the order of their starts."""
        chunks = sorted(self._latest.values(), key=lambda chunk: chunk.start_time)
        return [SimulatedCaption(chunk.text, chunk.speaker_name, chunk.start_time, chunk.end_time) for chunk in chunks]

    def next_chunk_id(self) -> str:
        """Return a chunk id that the meeting's steps and transcript don't have."""
        used = [*self._latest, *(step.chunk_id for step in self.steps if isinstance(step, Broadcast))]
        return str(max((int(chunk_id) for chunk_id in used if chunk_id.isdecimal()), default=0) + 1)

    def position_s(self) -> float:
        """Return the end of the latest speech, in seconds from the meeting's start."""
        return max((chunk.end_time for chunk in self._latest.values()), default=0.0)


def cut_into_sentences(captions: Sequence[SimulatedCaption]) -> list[SimulatedCaption]:
    """Cut captions into whole sentences, as a processed transcript has them.

    Successive captions of a speaker are joined first. The times within a caption are interpolated by its words.
    """
    sentences: list[SimulatedCaption] = []
    words: list[SimulatedCaption] = []
    for word in (word for caption in captions for word in _words_of(caption)):
        if words and words[-1].speaker_name != word.speaker_name:
            sentences.append(_join(words))
            words = []
        words.append(word)
        if word.text.endswith(SENTENCE_ENDS):
            sentences.append(_join(words))
            words = []
    return [*sentences, _join(words)] if words else sentences


def _words_of(caption: SimulatedCaption) -> list[SimulatedCaption]:
    words = caption.text.split()
    word_s = (caption.end_time - caption.start_time) / max(1, len(words))
    return [
        SimulatedCaption(
            word,
            caption.speaker_name,
            round(caption.start_time + index * word_s, 3),
            round(caption.start_time + (index + 1) * word_s, 3),
        )
        for index, word in enumerate(words)
    ]


def _join(words: Sequence[SimulatedCaption]) -> SimulatedCaption:
    text = " ".join(word.text for word in words)
    return SimulatedCaption(text, words[0].speaker_name, words[0].start_time, words[-1].end_time)
