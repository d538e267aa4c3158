"""Reads recordings: transcript files in any format of `operators.transcripts`."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from operators.errors import InvalidInputError
from operators.subtitles import Attribution
from operators.transcripts import (
    MAX_TRANSCRIPT_BYTES,
    RecordedEvent,
    TranscriptIssue,
    parse_transcript,
    transcript_name,
)


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording.

    Attributes:
        name: the file's name without its suffix.
        digest: first 12 hexadecimal digits of the content's SHA-256.
        began_at: start of the meeting in ms since the epoch, if the file has it; otherwise the file's modification time.
        events: the events, in the order of their arrival.
        remarks: parts of the file that were left out or repaired.
        speaker_attribution: origin of the speakers' names.
        times_estimated: whether some times were estimated, because the file has none.
    """

    name: str
    digest: str
    began_at: int
    events: tuple[RecordedEvent, ...]
    remarks: tuple[TranscriptIssue, ...] = ()
    speaker_attribution: Attribution = Attribution.NAMED
    times_estimated: bool = False

    @property
    def omitted_count(self) -> int:
        """Number of remarks about speech that was left out."""
        return sum(remark.lost_speech for remark in self.remarks)


def recording_name(path: Path) -> str:
    """Return the name of a recording: the file's name without the suffix of recordings, subtitles and text."""
    # A file's name may be invalid UTF-8.
    return transcript_name(os.fsencode(path.name).decode(errors="replace"))


def read_recording(path: Path, language: str = "auto", *, strict: bool = False) -> Recording:
    """Read a recording from a transcript file.

    Args:
        path: the file.
        language: the language spoken, for subtitles that have each cue in two languages; `auto` detects it.
        strict: reject a file of which speech would be left out.

    Raises:
        InvalidInputError: the file can't be read. The error names the file, the line, the field and the fix.
    """
    try:
        with path.open("rb") as file:
            # One byte more shows that the file is too large.
            content = file.read(MAX_TRANSCRIPT_BYTES + 1)
        modified_at = int(path.stat().st_mtime * 1000)
    except OSError as error:
        raise InvalidInputError(str(path), f"can't be read: {error.strerror}") from error
    transcript = parse_transcript(
        content,
        str(path),
        language_of=_detect_language,
        spoken_language=None if language == "auto" else _language_group(language),
    )
    if strict:
        transcript.require_complete(str(path))
    return Recording(
        recording_name(path),
        hashlib.sha256(content).hexdigest()[:12],
        modified_at if transcript.began_at_ms is None else transcript.began_at_ms,
        transcript.events,
        transcript.issues,
        transcript.attribution,
        transcript.times_estimated,
    )


def _detect_language(text: str) -> str | None:
    # Imported late, because its model takes a moment to load and few files need it.
    from serve.text.languages import detect_group

    return detect_group(text)


def _language_group(language: str) -> str:
    from serve.text.languages import confusable_group

    return confusable_group(language)
