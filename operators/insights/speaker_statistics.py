"""Statistics of a meeting's speakers, without a model: talk time, turns, the longest monologue, questions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from operators.speaker_keys import speaker_key
from operators.stream import Sentence

MAX_PAUSE_S = 10.0
"""Seconds of silence after which a speaker takes the floor anew."""
_QUESTION_MARKS = ("?", "？", "؟", "\u055e", "\u037e", "⁇", "⁈")
"""Marks that end a question. The Greek question mark looks like a semicolon, but is another character (U+037E)."""
_CLOSING_MARKS = "\"'”’»)]』」）"


@dataclass(frozen=True, slots=True)
class SpeakerStatistics:
    """Statistics of one speaker.

    Attributes:
        talk_s: seconds of speech. Speech that overlaps with the speaker's own counts once.
        share: part of the talk time of all speakers, from 0 to 1.
        turns: number of times that the speaker took the floor.
        longest_turn_s: seconds of the longest turn.
        sentences: number of sentences.
        words: number of words, as divided by white space.
        questions: number of sentences that end with a question mark.
    """

    speaker: str
    speaker_id: str | None
    talk_s: float
    share: float
    turns: int
    longest_turn_s: float
    sentences: int
    words: int
    questions: int


@dataclass(slots=True)
class _Counts:
    speaker: str
    speaker_id: str | None
    talk_s: float = 0.0
    talked_until: float = 0.0
    turns: int = 0
    turn_start: float = 0.0
    longest_turn_s: float = 0.0
    sentences: int = 0
    words: int = 0
    questions: int = 0


def measure_speakers(sentences: Iterable[Sentence]) -> list[SpeakerStatistics]:
    """Measure the speakers of a meeting, in the order of their first sentences.

    A turn ends when another speaker's sentence begins, or after a pause.

    Args:
        sentences: the sentences in reading order.
    """
    counts: dict[str, _Counts] = {}
    current: str | None = None
    for sentence in sentences:
        key = speaker_key(sentence.speaker, sentence.speaker_id)
        speaker = counts.setdefault(key, _Counts(sentence.speaker, sentence.speaker_id))
        if key != current or sentence.start - speaker.talked_until > MAX_PAUSE_S:
            current = key
            speaker.turns += 1
            speaker.turn_start = sentence.start
        speaker.longest_turn_s = max(speaker.longest_turn_s, sentence.end - speaker.turn_start)
        speaker.talk_s += max(0.0, sentence.end - max(sentence.start, speaker.talked_until))
        speaker.talked_until = max(speaker.talked_until, sentence.end)
        speaker.sentences += 1
        speaker.words += len(sentence.text.split())
        speaker.questions += sentence.text.rstrip().rstrip(_CLOSING_MARKS).endswith(_QUESTION_MARKS)
    total_s = sum(speaker.talk_s for speaker in counts.values())
    return [
        SpeakerStatistics(
            speaker.speaker,
            speaker.speaker_id,
            round(speaker.talk_s, 3),
            round(speaker.talk_s / total_s, 4) if total_s else 0.0,
            speaker.turns,
            round(speaker.longest_turn_s, 3),
            speaker.sentences,
            speaker.words,
            speaker.questions,
        )
        for speaker in counts.values()
    ]
