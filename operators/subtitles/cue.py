"""The cues of a subtitle file, and the result of parsing one."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class CueTranslation(NamedTuple):
    """The translation of a cue. `language` is its tag."""

    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Cue:
    """One speaker's text with its times.

    Attributes:
        speaker: the speaker's name.
        text: the transcript text.
        start: seconds from the start.
        end: seconds from the start.
        translation: the translation to write, if any.
        line: line number in the parsed file; 0 if the cue was not parsed.
    """

    speaker: str
    text: str
    start: float
    end: float
    translation: CueTranslation | None = None
    line: int = field(default=0, compare=False)


class Attribution(StrEnum):
    """The reliability of the speakers of a file."""

    NAMED = "named"
    """All speakers are named by the file. A cue without a name has `UNKNOWN_SPEAKER`."""
    GUESSED = "guessed"
    """Some speakers were chosen by heuristics."""
    UNKNOWN = "unknown"
    """The file has no names of speakers."""


class LineIssue(NamedTuple):
    """A problem with a line of a file.

    Attributes:
        line: the line's number, from 1.
        message: the problem, and how the parser handled it.
        lost_speech: whether the cues lack text of the line that is or may be speech.
    """

    line: int
    message: str
    lost_speech: bool = True


@dataclass(frozen=True, slots=True)
class Subtitles:
    """The content of a parsed file.

    Attributes:
        cues: the cues in the file's order, one for each speaker of a cue, without translations.
        issues: omissions and corrections, in the file's order.
        attribution: the reliability of the speakers.
    """

    cues: tuple[Cue, ...]
    issues: tuple[LineIssue, ...]
    attribution: Attribution
