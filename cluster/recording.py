"""Recordings: what a source sent, with the time of each event, or a meeting's subtitles.

What a source sent is one event a line, `{"at": seconds, "payload": {…}}`, the payload a Fireflies broadcast. Subtitles
are VTT or SRT, Parley's or another's. The content tells which of them a file is, not its name.
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

from operators.errors import Invalid
from operators.model import Chunk, first_invalid
from operators.subtitles import Attribution, Cue, Remark, read_subtitles

_ENDINGS = re.compile(r"(?:\.broadcasts)?\.(?:jsonl|ndjson|json|vtt|srt|txt)$", re.IGNORECASE)
_SUBTITLES = (".vtt", ".srt")
_ENCODINGS = (
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


class _Line(BaseModel):
    model_config = ConfigDict(extra="ignore")

    at: float
    payload: _Broadcast


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event of a recording. `at` is when it arrived, in seconds from the meeting's start."""

    at: float
    chunk: Chunk


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording.

    Attributes:
        name: its file's, without the ending.
        digest: tells contents apart.
        began_at: the file's age (ms).
        events: in the order of their arrival.
        remarks: what of a subtitle file was left out or mended.
        speakers: how the speakers are known.
    """

    name: str
    digest: str
    began_at: int
    events: tuple[Recorded, ...]
    remarks: tuple[Remark, ...] = ()
    speakers: Attribution = Attribution.NAMED

    @property
    def left_out(self) -> int:
        """How many of the remarks are on something that was left out."""
        return sum(remark.left_out for remark in self.remarks)


def recording_name(path: Path) -> str:
    """The name of a recording: its file's, without the ending that recordings and subtitles have."""
    # A file's name may be no text at all.
    name = os.fsencode(path.name).decode(errors="replace")
    return _ENDINGS.sub("", name) or name


def read_recording(path: Path, language: str = "auto", *, strict: bool = False) -> Recording:
    """Read a recording: subtitles or what a source sent.

    Args:
        path: the file.
        language: what is spoken, for subtitles that have each cue in two languages.
        strict: refuse subtitles of which something would be left out.

    Raises:
        Invalid: names the file, the place in it, the field and the fix.
    """
    try:
        content = path.read_bytes()
        began_at = int(path.stat().st_mtime * 1000)
    except OSError as error:
        raise Invalid(str(path), f"can't be read: {error.strerror}") from error
    name, digest = recording_name(path), hashlib.sha256(content).hexdigest()[:12]
    text = _decoded(path, content)
    if not _holds_subtitles(path, text):
        return Recording(name, digest, began_at, tuple(_broadcasts(path, text)))
    try:
        read = read_subtitles(text, _language_of, None if language == "auto" else _kin(language))
    except Invalid as error:
        raise Invalid(f"{path}: {error.field}", error.fix) from error
    events, refused = _said(read.cues)
    remarks = tuple(sorted((*read.remarks, *refused)))
    wrong = [remark for remark in remarks if remark.left_out]
    if wrong and (strict or not events):
        more = f"; and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise Invalid(f"{path}: line {wrong[0].line}", f"{wrong[0].text}{more}")
    return Recording(name, digest, began_at, tuple(events), remarks, read.speakers)


def _decoded(path: Path, content: bytes) -> str:
    mark, encoding = next((mark, encoding) for mark, encoding in _ENCODINGS if content.startswith(mark))
    fix = "must be text in UTF-8, or in UTF-16 with a byte order mark: save the file as such"
    if encoding is None:
        raise Invalid(f"{path}: line 1", fix)
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        line = content[len(mark) : len(mark) + error.start].decode(encoding, errors="replace").count("\n") + 1
        raise Invalid(f"{path}: line {line}", fix) from error
    # UTF-16 without a mark passes for UTF-8 as long as it is English.
    if text.count("\0") * 4 > len(text):
        raise Invalid(f"{path}: line 1", fix)
    return text


def _holds_subtitles(path: Path, text: str) -> bool:
    if text.lstrip().startswith("{"):
        return False
    return path.suffix.lower() in _SUBTITLES or "-->" in text


def _language_of(text: str) -> str | None:
    # Its model takes a moment to load, and few files need it.
    from serve.languages import LanguageDetector, kin

    found = LanguageDetector().detect(text, [], frozenset())
    return None if found is None else kin(found)


def _kin(language: str) -> str:
    from serve.languages import kin

    return kin(language)


def _broadcasts(path: Path, text: str) -> list[Recorded]:
    events: list[Recorded] = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            events.append(_read_line(f"{path}:{number}", line))
    if not events:
        raise Invalid(str(path), "holds no event")
    if any(b.at < a.at for a, b in pairwise(events)):
        raise Invalid(f"{path}: at", "must not run backwards: sort the lines by it")
    return events


def _read_line(where: str, line: str) -> Recorded:
    try:
        data: Any = json.loads(line)
    except ValueError as error:
        raise Invalid(where, "must be a JSON object on one line") from error
    try:
        read = _Line.model_validate(data)
        said = read.payload
        chunk = Chunk(
            chunk_id=said.chunk_id,
            speaker=said.speaker_name,
            text=said.text,
            start=said.start_time,
            end=said.end_time,
            source="replay",
        )
    except ValidationError as error:
        invalid = first_invalid(error)
        raise Invalid(f"{where}: {invalid.field}", invalid.fix) from error
    return Recorded(read.at, chunk)


def _said(cues: Sequence[Cue]) -> tuple[list[Recorded], list[Remark]]:
    """A chunk for each cue, in the order of their starts, and what can't be one.

    It arrives once it has been said, and all that began before it: so cues come in reading order, however they overlap,
    and none comes so late behind another that it could no longer be taken.
    """
    events: list[Recorded] = []
    refused: list[Remark] = []
    at = 0.0
    for number, cue in enumerate(sorted(cues, key=lambda cue: cue.start), 1):
        try:
            chunk = Chunk(
                chunk_id=str(number), speaker=cue.speaker, text=cue.text, start=cue.start, end=cue.end, source="import"
            )
        except ValidationError as error:
            invalid = first_invalid(error)
            refused.append(Remark(cue.line, f"the cue is left out: its {invalid.field} {invalid.fix}"))
            continue
        at = max(at, cue.end)
        events.append(Recorded(at, chunk))
    return events, refused
