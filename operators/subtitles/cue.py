"""A cue of subtitles, and what a file of them says."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

UNKNOWN_SPEAKER = "Speaker"
"""Who speaks where a file does not say it."""


class CueTranslation(NamedTuple):
    """How a cue reads in another language. `language` is its tag."""

    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Cue:
    """What one speaker said, from `start` to `end` in seconds, and its translation where a file is to show it.

    `line` is where it stands in the file that it was read from; 0 if it was not.
    """

    speaker: str
    text: str
    start: float
    end: float
    translation: CueTranslation | None = None
    line: int = field(default=0, compare=False)


class Attribution(StrEnum):
    """How the speakers of a file are known."""

    NAMED = "named"
    """The file names the speaker of each cue, or names nobody for it."""
    GUESSED = "guessed"
    """Some words were given to a speaker by a rule of thumb."""
    UNKNOWN = "unknown"
    """The file names nobody."""


class LineIssue(NamedTuple):
    """What is wrong with a line of a file.

    Attributes:
        line: its number, from 1.
        text: what is wrong, and what was done.
        left_out: whether something that was said there, or may have been, is not among the cues.
    """

    line: int
    message: str
    lost_speech: bool = True


@dataclass(frozen=True, slots=True)
class Subtitles:
    """What a file says.

    Attributes:
        cues: in the file's order, one for each speaker of a cue; without translations.
        remarks: what was left out or mended, in the file's order.
        speakers: how the speakers are known.
    """

    cues: tuple[Cue, ...]
    issues: tuple[LineIssue, ...]
    attribution: Attribution
