"""Reads recordings: files of a source's events with their times, or subtitle files.

An event file has one event a line, `{"at": seconds, "payload": {…}}`. The payload is a Fireflies broadcast. Subtitles are VTT
or SRT, from Parley or another program. The content decides the format: the suffix counts only for a file without a cue time.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from operators.entries import Chunk
from operators.errors import InvalidInputError
from operators.fields import to_invalid_input_error
from operators.subtitles import Attribution, Cue, LineIssue, parse_subtitles

_FILE_SUFFIXES = re.compile(r"(?:\.broadcasts)?\.(?:jsonl|ndjson|json|vtt|srt|txt)$", re.IGNORECASE)
_SUBTITLE_SUFFIXES = (".vtt", ".srt")
_ENCODINGS_BY_BOM = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, None),  # Begins as UTF-16 does.
    (codecs.BOM_UTF32_BE, None),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (b"", "utf-8"),
)


class _Broadcast(BaseModel):
    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    chunk_id: str
    text: str
    speaker_name: str
    start_time: float
    end_time: float


class _RecordedLine(BaseModel):
    model_config = ConfigDict(extra="ignore")

    at: float
    payload: _Broadcast


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event of a recording.

    Attributes:
        at: time of its arrival, in seconds from the meeting's start.
        chunk: the chunk that arrived.
    """

    at: float
    chunk: Chunk


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording.

    Attributes:
        name: the file's name without its suffix.
        digest: first 12 hexadecimal digits of the content's SHA-256.
        began_at: the file's modification time, in ms since the epoch.
        events: the events, in the order of their arrival.
        remarks: lines of a subtitle file that were left out or repaired.
        speaker_attribution: origin of the speakers' names.
    """

    name: str
    digest: str
    began_at: int
    events: tuple[RecordedEvent, ...]
    remarks: tuple[LineIssue, ...] = ()
    speaker_attribution: Attribution = Attribution.NAMED

    @property
    def omitted_count(self) -> int:
        """Number of remarks about speech that was left out."""
        return sum(remark.lost_speech for remark in self.remarks)


def recording_name(path: Path) -> str:
    """Return the name of a recording: the file's name without the suffix of recordings and subtitles."""
    # A file's name may be invalid UTF-8.
    name = os.fsencode(path.name).decode(errors="replace")
    return _FILE_SUFFIXES.sub("", name) or name


def read_recording(path: Path, language: str = "auto", *, strict: bool = False) -> Recording:
    """Read a recording from a file of events or subtitles.

    Args:
        path: the file.
        language: the language spoken, for subtitles that have each cue in two languages; `auto` detects it.
        strict: reject subtitles of which speech would be left out.

    Raises:
        InvalidInputError: the file can't be read. The error names the file, the line, the field and the fix.
    """
    try:
        content = path.read_bytes()
        began_at = int(path.stat().st_mtime * 1000)
    except OSError as error:
        raise InvalidInputError(str(path), f"can't be read: {error.strerror}") from error
    name, digest = recording_name(path), hashlib.sha256(content).hexdigest()[:12]
    text = _decode(path, content)
    if not _is_subtitles(path, text):
        return Recording(name, digest, began_at, tuple(_parse_broadcasts(path, text)))
    try:
        subtitles = parse_subtitles(text, _detect_language, None if language == "auto" else _language_group(language))
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: {error.field}", error.fix) from error
    events, rejected_cues = _events_of_cues(subtitles.cues)
    remarks = tuple(sorted((*subtitles.issues, *rejected_cues)))
    omitted = [remark for remark in remarks if remark.lost_speech]
    if omitted and (strict or not events):
        rest = f"; and {len(omitted) - 1} more" if len(omitted) > 1 else ""
        raise InvalidInputError(f"{path}: line {omitted[0].line}", f"{omitted[0].message}{rest}")
    return Recording(name, digest, began_at, tuple(events), remarks, subtitles.attribution)


def _decode(path: Path, content: bytes) -> str:
    bom, encoding = next((mark, encoding) for mark, encoding in _ENCODINGS_BY_BOM if content.startswith(mark))
    fix = "must be text in UTF-8, or in UTF-16 with a byte order mark: save the file as such"
    if encoding is None:
        raise InvalidInputError(f"{path}: line 1", fix)
    try:
        text = content[len(bom) :].decode(encoding)
    except UnicodeDecodeError as error:
        line = content[len(bom) : len(bom) + error.start].decode(encoding, errors="replace").count("\n") + 1
        raise InvalidInputError(f"{path}: line {line}", fix) from error
    # English text in UTF-16 without a byte order mark is valid UTF-8, full of null characters.
    if text.count("\0") * 4 > len(text):
        raise InvalidInputError(f"{path}: line 1", fix)
    return text


def _is_subtitles(path: Path, text: str) -> bool:
    if text.lstrip().startswith("{"):
        return False
    return path.suffix.lower() in _SUBTITLE_SUFFIXES or "-->" in text


def _detect_language(text: str) -> str | None:
    # Imported late, because its model takes a moment to load and few files need it.
    from serve.text.languages import LanguageDetector, confusable_group

    detected = LanguageDetector().detect(text, [], frozenset())
    return None if detected is None else confusable_group(detected)


def _language_group(language: str) -> str:
    from serve.text.languages import confusable_group

    return confusable_group(language)


def _parse_broadcasts(path: Path, text: str) -> list[RecordedEvent]:
    events: list[RecordedEvent] = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            events.append(_parse_broadcast(f"{path}:{number}", line))
    if not events:
        raise InvalidInputError(str(path), "holds no event")
    if any(b.at < a.at for a, b in pairwise(events)):
        raise InvalidInputError(f"{path}: at", "must not decrease: sort the lines by it")
    return events


def _parse_broadcast(location: str, line: str) -> RecordedEvent:
    try:
        data: Any = json.loads(line)
    except ValueError as error:
        raise InvalidInputError(location, "must be a JSON object on one line") from error
    try:
        recorded_line = _RecordedLine.model_validate(data)
        broadcast = recorded_line.payload
        chunk = Chunk(
            chunk_id=broadcast.chunk_id,
            speaker=broadcast.speaker_name,
            text=broadcast.text,
            start=broadcast.start_time,
            end=broadcast.end_time,
            source="replay",
        )
    except ValidationError as error:
        invalid = to_invalid_input_error(error)
        raise InvalidInputError(f"{location}: {invalid.field}", invalid.fix) from error
    return RecordedEvent(recorded_line.at, chunk)


def _events_of_cues(cues: Sequence[Cue]) -> tuple[list[RecordedEvent], list[LineIssue]]:
    """Convert cues to events in the order of their starts, and return the rejected cues as well.

    A cue arrives when it and all cues with an earlier start have ended. Overlapping cues thus arrive in reading order, and
    none is late.
    """
    events: list[RecordedEvent] = []
    rejected: list[LineIssue] = []
    at = 0.0
    for number, cue in enumerate(sorted(cues, key=lambda cue: cue.start), 1):
        try:
            chunk = Chunk(
                chunk_id=str(number), speaker=cue.speaker, text=cue.text, start=cue.start, end=cue.end, source="import"
            )
        except ValidationError as error:
            invalid = to_invalid_input_error(error)
            rejected.append(LineIssue(cue.line, f"the cue is left out: its {invalid.field} {invalid.fix}"))
            continue
        at = max(at, cue.end)
        events.append(RecordedEvent(at, chunk))
    return events, rejected
