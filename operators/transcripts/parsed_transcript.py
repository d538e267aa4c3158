"""The result of parsing a transcript file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from operators.entries import Chunk
from operators.errors import InvalidInputError
from operators.subtitles import Attribution

MAX_TRANSCRIPT_BYTES = 16 * 2**20
"""Maximum size of a transcript file. A working day of speech with the times of each word has about this size."""
_FILE_SUFFIXES = re.compile(r"(?:\.broadcasts)?\.(?:jsonl|ndjson|json|vtt|srt|sbv|txt)$", re.IGNORECASE)


class TranscriptFormat(StrEnum):
    """The format of a transcript file."""

    VTT = "vtt"
    SRT = "srt"
    SBV = "sbv"
    TEXT = "text"
    """Text with names, with times, or with both."""
    GOOGLE_MEET = "google-meet"
    FIREFLIES = "fireflies"
    RECALL = "recall"
    PARLEY_EVENTS = "parley-events"
    """A file of events with their times of arrival, as `parley replay` reads it."""
    PARLEY_EXPORT = "parley-export"
    """An export of a meeting as JSONL."""


class RecordedEvent(NamedTuple):
    """An event of a recording.

    Attributes:
        at: time of its arrival, in seconds from the meeting's start.
        chunk: the chunk that arrived.
    """

    at: float
    chunk: Chunk


class TranscriptIssue(NamedTuple):
    """A part of a file that was left out or repaired.

    Attributes:
        place: the place in the file: `line 3`, or a path in a JSON document such as `sentences.3.text`.
        message: the problem, and how the parser handled it. It has no transcript text.
        lost_speech: whether the events lack text that is or may be speech.
    """

    place: str
    message: str
    lost_speech: bool = True


@dataclass(frozen=True, slots=True)
class ParsedTranscript:
    """The content of a transcript file.

    Attributes:
        format: the detected format.
        events: the speech as events, in the order of their arrival.
        issues: parts that were left out or repaired, in the file's order.
        attribution: the reliability of the speakers.
        times_estimated: whether the file lacks times, so that some were estimated from the number of words.
        began_at_ms: start of the meeting, in ms since the epoch; None if the file doesn't have it.
    """

    format: TranscriptFormat
    events: tuple[RecordedEvent, ...]
    issues: tuple[TranscriptIssue, ...] = ()
    attribution: Attribution = Attribution.NAMED
    times_estimated: bool = False
    began_at_ms: int | None = None

    def require_complete(self, name: str) -> None:
        """Check that no speech was left out.

        Args:
            name: the file's name, for the error.

        Raises:
            InvalidInputError: speech was left out. The error names the first place.
        """
        omissions = [issue for issue in self.issues if issue.lost_speech]
        if omissions:
            rest = f"; and {len(omissions) - 1} more" if len(omissions) > 1 else ""
            raise InvalidInputError(f"{name}: {omissions[0].place}", f"{omissions[0].message}{rest}")


def transcript_name(file_name: str) -> str:
    """Return the name of a transcript: the file's name without the suffix of recordings, subtitles and text."""
    return _FILE_SUFFIXES.sub("", file_name) or file_name
