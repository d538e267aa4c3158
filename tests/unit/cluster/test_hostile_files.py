"""A file of any name that holds anything is read, or refused by its place in the file; what is read can be stored."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from pathlib import Path

from hypothesis import settings

from cluster.recording import read_recording
from cluster.replay import ReplayOptions, file_name, opening_body
from operators.errors import Invalid
from operators.model import Chunk, Clock
from serve.http.meetings import CreateMeetingRequest
from tests.harness import hostile

EACH = 50 * settings().max_examples if settings().max_examples >= 200 else 250
"""Files: 10,000 with the long profile."""


def vtt(chance: random.Random) -> str:
    cues = (f"00:00:0{k}.000 --> 00:00:0{k}.900\n{hostile.text(chance, 30_000)}" for k in range(chance.randint(1, 4)))
    return "WEBVTT\n\n" + "\n\n".join(cues)


def srt(chance: random.Random) -> str:
    lines = [f"{k}\n00:00:0{k},000 --> 00:00:0{k},900\n{hostile.text(chance, 30_000)}" for k in range(1, 4)]
    chance.shuffle(lines)
    return chance.choice(["\n\n", "\n", "\r\n\r\n", "\u2028"]).join(lines)


def jsonl(chance: random.Random) -> str:
    said = {"chunk_id": "1", "text": "Hello.", "speaker_name": "Ann", "start_time": 0, "end_time": 1}
    lines = (
        {
            "at": k if chance.random() < 0.9 else hostile.number(chance),
            "payload": hostile.changed(chance, said, [*said]),
        }
        for k in range(2)
    )
    return "\n".join(map(json.dumps, lines))


def damaged(chance: random.Random) -> bytes:
    content = bytearray(chance.choice([vtt, srt, jsonl])(chance).encode("utf-8", "surrogatepass"))
    for _ in range(chance.choice([0, 0, 1, 5])):
        at = chance.randrange(len(content))
        content[at : at + chance.randint(0, 9)] = chance.randbytes(3)
        content.insert(chance.randrange(len(content)), chance.randrange(256))
    return bytes(content)


def test_what_is_in_a_file_can_be_stored_or_is_refused_by_its_place(tmp_path: Path) -> None:
    chance = random.Random(14)
    outcomes = Counter[str]()
    for _ in range(EACH):
        path = tmp_path / f"a.{chance.choice(['vtt', 'srt', 'jsonl', 'txt'])}"
        path.write_bytes(damaged(chance))
        try:
            recording = read_recording(path)
        except Invalid as error:
            outcomes["refused by its place" if error.field.startswith(str(path)) else "refused"] += 1
            continue
        outcomes["read"] += 1
        for event in recording.events:
            assert Chunk.model_validate_json(event.chunk.model_dump_json()) == event.chunk
        for remark in recording.remarks:
            remark.text.encode()
    assert {"read", "refused by its place"} == outcomes.keys()


def test_a_file_may_have_any_name(tmp_path: Path) -> None:
    chance = random.Random(15)
    read = 0
    for _ in range(EACH):
        name = hostile.text(chance, 300).encode("utf-8", "surrogatepass")
        name = name.replace(b"/", b"").replace(b"\x00", b"")[:250]
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name + b".vtt"))
        path.write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nHello.\n")
        recording = read_recording(path)
        CreateMeetingRequest.model_validate(opening_body(recording, ReplayOptions(None, Clock.RECORDED, "en", ("pt",))))
        assert len(os.fsencode(file_name(recording.name))) <= 255
        path.unlink()
        read += 1
    assert read == EACH
