"""Recordings: what a source sent, with the time of each event, or a meeting's subtitles.

What a source sent is one event a line, `{"at": seconds, "payload": {…}}`, the payload a Fireflies broadcast. Subtitles
are VTT or SRT, Parley's or another's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from operators.errors import Invalid
from operators.model import Chunk, first_invalid
from operators.subtitles import Cue, read_srt, read_vtt

_SUBTITLES = {".vtt": read_vtt, ".srt": read_srt}


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
    """A recording. `name` is its file's, up to the first dot; `digest` tells contents apart; `began_at` (ms) is the file's age."""

    name: str
    digest: str
    began_at: int
    events: tuple[Recorded, ...]


def read_recording(path: Path) -> Recording:
    """Read a recording: subtitles if its name ends in `.vtt` or `.srt`, else what a source sent.

    Raises:
        Invalid: names the file, the place in it, the field and the fix.
    """
    try:
        content = path.read_bytes()
        began_at = int(path.stat().st_mtime * 1000)
    except OSError as error:
        raise Invalid(str(path), f"can't be read: {error.strerror}") from error
    read = _SUBTITLES.get(path.suffix.lower())
    events = _broadcasts(path, content) if read is None else _said(path, _cues(path, content, read))
    return Recording(path.name.split(".", 1)[0], hashlib.sha256(content).hexdigest()[:12], began_at, tuple(events))


def _broadcasts(path: Path, content: bytes) -> list[Recorded]:
    events: list[Recorded] = []
    for number, line in enumerate(content.splitlines(), 1):
        if line.strip():
            events.append(_read_line(f"{path}:{number}", line))
    if not events:
        raise Invalid(str(path), "holds no event")
    if any(b.at < a.at for a, b in pairwise(events)):
        raise Invalid(f"{path}: at", "must not run backwards: sort the lines by it")
    return events


def _read_line(where: str, line: bytes) -> Recorded:
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


def _cues(path: Path, content: bytes, read: Callable[[str], list[Cue]]) -> list[Cue]:
    try:
        return read(content.decode())
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Invalid(f"{path}: line {line}", "must be text in UTF-8: save the file as such") from error
    except Invalid as error:
        raise Invalid(f"{path}: {error.field}", error.fix) from error


def _said(path: Path, cues: Iterable[Cue]) -> list[Recorded]:
    """A chunk for each cue, in the order of their starts.

    It arrives once it has been said, and all that began before it: so cues come in reading order, however they overlap,
    and none comes so late behind another that it could no longer be taken.
    """
    events: list[Recorded] = []
    at = 0.0
    for number, cue in enumerate(sorted(cues, key=lambda cue: cue.start), 1):
        at = max(at, cue.end)
        try:
            chunk = Chunk(
                chunk_id=str(number), speaker=cue.speaker, text=cue.text, start=cue.start, end=cue.end, source="import"
            )
        except ValidationError as error:
            invalid = first_invalid(error)
            raise Invalid(f"{path}: the cue at {cue.start} s: {invalid.field}", invalid.fix) from error
        events.append(Recorded(at, chunk))
    return events
