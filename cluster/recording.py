"""Recordings of what a source sent: one event a line, `{"at": seconds, "payload": {…}}`, the payload a Fireflies broadcast."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from operators.errors import Invalid
from operators.model import Chunk, first_invalid


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
    """Read a recording.

    Raises:
        Invalid: names the file, the line, the field and the fix.
    """
    try:
        content = path.read_bytes()
        began_at = int(path.stat().st_mtime * 1000)
    except OSError as error:
        raise Invalid(str(path), f"can't be read: {error.strerror}") from error
    events: list[Recorded] = []
    for number, line in enumerate(content.splitlines(), 1):
        if line.strip():
            events.append(_read_line(f"{path}:{number}", line))
    if not events:
        raise Invalid(str(path), "holds no event")
    if any(b.at < a.at for a, b in pairwise(events)):
        raise Invalid(f"{path}: at", "must not run backwards: sort the lines by it")
    return Recording(path.name.split(".", 1)[0], hashlib.sha256(content).hexdigest()[:12], began_at, tuple(events))


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
