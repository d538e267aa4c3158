"""Recordings are read whole, or refused with the place and the fix; what Parley exported comes in again as it was."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.recording import Recording, read_recording
from operators.errors import Invalid
from operators.model import Chunk, Sentence
from operators.subtitles import Cue, Translated, write_srt, write_vtt
from tests.harness.ami import RECORDINGS, needs_ami, parameter
from tests.harness.speech import Outcome, log, run

PAYLOAD = {"chunk_id": "1", "text": "Hello.", "speaker_name": "Ann", "start_time": 0.5, "end_time": 1.0}


def write(path: Path, *lines: object) -> Path:
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path


def test_a_recording_is_read(tmp_path: Path) -> None:
    second = PAYLOAD | {"chunk_id": 2, "more": True}
    path = write(tmp_path / "m.broadcasts.jsonl", {"at": 1.2, "payload": PAYLOAD}, {"at": 1.2, "payload": second})
    recording = read_recording(path)
    assert recording.name == "m"
    assert [(e.at, e.chunk.chunk_id, e.chunk.speaker) for e in recording.events] == [
        (1.2, "1", "Ann"),
        (1.2, "2", "Ann"),
    ]
    assert recording.began_at == int(path.stat().st_mtime * 1000)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"text": None}, "payload.text"),
        ({"text": "x" * 20_001}, "text"),
        ({"end_time": 0.1}, "end"),
        ({"start_time": -1.0}, "start"),
        ({"start_time": "soon"}, "payload.start_time"),
    ],
)
def test_a_wrong_line_is_named_with_its_field(tmp_path: Path, change: dict[str, object], field: str) -> None:
    path = write(tmp_path / "m.jsonl", {"at": 1, "payload": PAYLOAD}, {"at": 2, "payload": PAYLOAD | change})
    with pytest.raises(Invalid) as caught:
        read_recording(path)
    assert caught.value.field == f"{path}:2: {field}"
    assert "x" * 50 not in str(caught.value)


def test_a_line_that_is_no_json_an_empty_file_and_a_backward_clock_are_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text("{")
    with pytest.raises(Invalid, match=r"broken.jsonl:1: must be a JSON object"):
        read_recording(broken)
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    with pytest.raises(Invalid, match="holds no event"):
        read_recording(empty)
    with pytest.raises(Invalid, match="must not run backwards"):
        read_recording(write(tmp_path / "b.jsonl", {"at": 2, "payload": PAYLOAD}, {"at": 1, "payload": PAYLOAD}))
    with pytest.raises(Invalid, match="can't be read"):
        read_recording(tmp_path / "absent.jsonl")


# --- subtitles ---

CUES = [Cue("Ann", "So we agree.", 0.5, 9.0), Cue("Bob", "Yes.", 0.5, 1.0), Cue("Ann", "Good.", 10.0, 11.25)]


@pytest.mark.parametrize("name", ["m.vtt", "m.x.VTT", "m.srt"])
def test_subtitles_are_read_as_a_recording(tmp_path: Path, name: str) -> None:
    (path := tmp_path / name).write_text(write_srt(CUES) if name.endswith("srt") else write_vtt(CUES, "m"))
    recording = read_recording(path)
    assert recording.name == "m"
    assert recording.began_at == int(path.stat().st_mtime * 1000)
    # Bob's arrives no sooner than Ann's, which stands above it.
    assert [(event.at, event.chunk) for event in recording.events] == [
        (9.0, Chunk(chunk_id="1", speaker="Ann", text="So we agree.", start=0.5, end=9.0, source="import")),
        (9.0, Chunk(chunk_id="2", speaker="Bob", text="Yes.", start=0.5, end=1.0, source="import")),
        (11.25, Chunk(chunk_id="3", speaker="Ann", text="Good.", start=10.0, end=11.25, source="import")),
    ]


@pytest.mark.parametrize(
    ("name", "content", "place", "fix"),
    [
        ("m.vtt", b"", "line 1", "must begin with WEBVTT"),
        ("m.srt", b"", "cues", "the file holds none with text"),
        ("m.srt", b"1\n00:00:01,000 --> 00:00:02,000\nJos\xe9", "line 3", "must be text in UTF-8"),
        (
            "m.srt",
            b"1\n00:00:01,000 --> 00:00:02,000\nA\0B",
            "the cue at 1.0 s: text",
            "must not hold the character NUL",
        ),
        ("m.vtt", b"WEBVTT\n\n999:00:00.000 --> 999:00:01.000\nHi", "the cue at 3596400.0 s: start", "to a week"),
    ],
)
def test_subtitles_that_can_not_be_taken_are_refused_with_the_place(
    tmp_path: Path, name: str, content: bytes, place: str, fix: str
) -> None:
    (path := tmp_path / name).write_bytes(content)
    with pytest.raises(Invalid, match=fix) as caught:
        read_recording(path)
    assert caught.value.field == f"{path}: {place}"


TIMES = st.floats(0, 2000).map(lambda seconds: round(seconds, 3))
LENGTHS = st.sampled_from([0.0, 0.5, 3.0, 150.0, 700.0])
WORDS = st.lists(st.sampled_from(["so", "we", "Okay.", "No.", "good?", "你好。"]), min_size=1, max_size=8).map(" ".join)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from("AB"), WORDS, TIMES, LENGTHS), min_size=1, max_size=12))
def test_no_cue_is_lost_however_they_lie(tmp_path: Path, said: list[tuple[str, str, float, float]]) -> None:
    cues = [Cue(speaker, text, start, start + length) for speaker, text, start, length in said]
    (path := tmp_path / "m.srt").write_text(write_srt(cues))
    outcome = replayed(read_recording(path))
    assert all(update.late is None for update, _ in outcome.steps)
    letters = Counter((cue.speaker, letter) for cue in cues for letter in cue.text if letter != " ")
    assert letters == Counter((s.speaker, letter) for s in read(outcome) for letter in s.text if letter != " ")


# --- there and back ---

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.broadcasts.jsonl"))
MEETINGS = [
    *map(parameter, (*EXAMPLES, *RECORDINGS)),
    *([] if RECORDINGS else [pytest.param(None, id="ami", marks=needs_ami)]),
]


def replayed(recording: Recording, *, marks: bool = True) -> Outcome:
    """What the operators make of a recording; without marks its speech is cut by pauses and by length."""
    events = [(event.at, event.chunk) for event in recording.events]
    if not marks:
        bare = [(at, re.sub(r"[^\w\s'-]", "", chunk.text), chunk) for at, chunk in events]
        events = [(at, chunk.model_copy(update={"text": text})) for at, text, chunk in bare if text.strip()]
    return run(log(events))


def read(outcome: Outcome) -> list[Sentence]:
    """A meeting's sentences in reading order."""
    return sorted(outcome.standing.values(), key=lambda s: (s.start, *map(int, s.id.split("."))))


def files(sentences: Sequence[Sentence], folder: Path) -> list[Path]:
    """Sentences as subtitles: VTT and SRT, with a translation and without."""
    plain = [Cue(s.speaker, s.text, s.start, s.end) for s in sentences]
    both = [Cue(s.speaker, s.text, s.start, s.end, Translated("pt", f"Isto: {s.text}")) for s in sentences]
    written = {
        "plain.vtt": write_vtt(plain, "m"),
        "both.vtt": write_vtt(both, "m"),
        "plain.srt": write_srt(plain),
        "both.srt": write_srt(both),
    }
    for name, content in written.items():
        (folder / name).write_text(content)
    return [folder / name for name in written]


@pytest.mark.parametrize("marks", [True, False], ids=["as said", "without marks"])
@pytest.mark.parametrize("meeting", MEETINGS)
def test_subtitles_of_a_real_meeting_come_in_again_as_the_same_sentences(
    meeting: Path, marks: bool, tmp_path: Path
) -> None:
    said = read(replayed(read_recording(meeting), marks=marks))
    assert len(said) > 10
    for path in files(said, tmp_path):
        again = read(replayed(read_recording(path)))
        assert [(s.speaker, s.text) for s in again] == [(s.speaker, s.text) for s in said]
        assert [(s.start, s.end) for s in again] == [pytest.approx((s.start, s.end), rel=0, abs=0.0011) for s in said]


def test_an_empty_text_takes_a_chunk_back(tmp_path: Path) -> None:
    lines = [{"at": 1, "payload": PAYLOAD}, {"at": 2, "payload": PAYLOAD | {"text": ""}}]
    assert [event.chunk.text for event in read_recording(write(tmp_path / "m.jsonl", *lines)).events][1] == ""
