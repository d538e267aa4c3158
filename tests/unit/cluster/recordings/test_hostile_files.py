"""A file with any name and content is read, or rejected with the place of the error. Its events can be stored."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from pathlib import Path

from hypothesis import settings

from cluster.recordings.player import ReplayOptions, meeting_request, result_file_stem
from cluster.recordings.reader import read_recording
from operators.entries import Chunk
from operators.errors import InvalidInputError
from operators.meeting_config import Clock
from serve.http.meeting_routes import CreateMeetingRequest
from tests.harness.data import hostile_input

EACH = 50 * settings().max_examples if settings().max_examples >= 200 else 250
"""Number of generated files; 10,000 with the long profile."""


def hostile_vtt(rng: random.Random) -> str:
    cues = (
        f"00:00:0{k}.000 --> 00:00:0{k}.900\n{hostile_input.hostile_text(rng, 30_000)}"
        for k in range(rng.randint(1, 4))
    )
    return "WEBVTT\n\n" + "\n\n".join(cues)


def hostile_srt(rng: random.Random) -> str:
    lines = [f"{k}\n00:00:0{k},000 --> 00:00:0{k},900\n{hostile_input.hostile_text(rng, 30_000)}" for k in range(1, 4)]
    rng.shuffle(lines)
    return rng.choice(["\n\n", "\n", "\r\n\r\n", "\u2028"]).join(lines)


def hostile_jsonl(rng: random.Random) -> str:
    row = {"chunk_id": "1", "text": "Hello.", "speaker_name": "Ann", "start_time": 0, "end_time": 1}
    lines = (
        {
            "at": k if rng.random() < 0.9 else hostile_input.hostile_number(rng),
            "payload": hostile_input.corrupt_fields(rng, row, [*row]),
        }
        for k in range(2)
    )
    return "\n".join(map(json.dumps, lines))


def damage_bytes(rng: random.Random) -> bytes:
    content = bytearray(rng.choice([hostile_vtt, hostile_srt, hostile_jsonl])(rng).encode("utf-8", "surrogatepass"))
    for _ in range(rng.choice([0, 0, 1, 5])):
        at = rng.randrange(len(content))
        content[at : at + rng.randint(0, 9)] = rng.randbytes(3)
        content.insert(rng.randrange(len(content)), rng.randrange(256))
    return bytes(content)


def test_any_content_can_be_stored_or_is_rejected_with_its_place(tmp_path: Path) -> None:
    rng = random.Random(14)
    outcomes = Counter[str]()
    for _ in range(EACH):
        path = tmp_path / f"a.{rng.choice(['vtt', 'srt', 'jsonl', 'txt'])}"
        path.write_bytes(damage_bytes(rng))
        try:
            recording = read_recording(path)
        except InvalidInputError as error:
            outcomes["refused by its place" if error.field.startswith(str(path)) else "refused"] += 1
            continue
        outcomes["read"] += 1
        for event in recording.events:
            assert Chunk.model_validate_json(event.chunk.model_dump_json()) == event.chunk
        for remark in recording.remarks:
            remark.message.encode()
    assert {"read", "refused by its place"} == outcomes.keys()


def test_a_file_may_have_any_name(tmp_path: Path) -> None:
    rng = random.Random(15)
    read = 0
    for _ in range(EACH):
        name = hostile_input.hostile_text(rng, 300).encode("utf-8", "surrogatepass")
        name = name.replace(b"/", b"").replace(b"\x00", b"")[:250]
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name + b".vtt"))
        path.write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nHello.\n")
        recording = read_recording(path)
        CreateMeetingRequest.model_validate(
            meeting_request(recording, ReplayOptions(None, Clock.RECORDED, "en", ("pt",)))
        )
        assert len(os.fsencode(result_file_stem(recording.name))) <= 255
        path.unlink()
        read += 1
    assert read == EACH
