"""Recordings are read completely or rejected with place and fix. Parley's own exports are read without a loss."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.recordings.player import ReplayOptions, meeting_request, result_file_stem
from cluster.recordings.reader import Recording, read_recording
from operators.entries import Chunk
from operators.errors import InvalidInputError
from operators.meeting_config import Clock
from operators.stream import Sentence
from operators.subtitles import Attribution, Cue, CueTranslation, write_srt, write_vtt
from operators.transcripts import TranscriptIssue
from serve.http.meeting_routes import CreateMeetingRequest
from tests.harness.data.ami_corpus import AMI_RECORDINGS, needs_ami, recording_param
from tests.harness.lane.operator_runs import OperatorResult, make_items, run_operators

PAYLOAD = {"chunk_id": "1", "text": "Hello.", "speaker_name": "Ann", "start_time": 0.5, "end_time": 1.0}


def write_jsonl(path: Path, *lines: object) -> Path:
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path


def test_a_recording_is_read(tmp_path: Path) -> None:
    second = PAYLOAD | {"chunk_id": 2, "more": True}
    path = write_jsonl(tmp_path / "m.broadcasts.jsonl", {"at": 1.2, "payload": PAYLOAD}, {"at": 1.2, "payload": second})
    recording = read_recording(path)
    assert recording.name == "m"
    assert [(e.at, e.chunk.chunk_id, e.chunk.speaker) for e in recording.events] == [
        (1.2, "1", "Ann"),
        (1.2, "2", "Ann"),
    ]
    assert recording.began_at == int(path.stat().st_mtime * 1000)


FIELDS = {"speaker_id": "a1", "is_final": False, "language": "pt-BR"}


@pytest.mark.parametrize("names", ["chunk", "broadcast"])
@pytest.mark.parametrize("left_out", [(), *((name,) for name in FIELDS), tuple(FIELDS)])
def test_all_fields_of_a_chunk_are_read(tmp_path: Path, names: str, left_out: tuple[str, ...]) -> None:
    fields = {name: value for name, value in FIELDS.items() if name not in left_out}
    chunk = Chunk(chunk_id="1", speaker="Ann", text="Hello.", start=0.5, end=1.0, source="replay")
    chunk = chunk.model_copy(update=fields)
    payload = chunk.model_dump(exclude={"source"}) if names == "chunk" else PAYLOAD | fields
    path = write_jsonl(tmp_path / "m.jsonl", {"at": 1, "payload": payload})
    assert [event.chunk for event in read_recording(path).events] == [chunk]


def test_an_interim_after_its_final_stays_one(tmp_path: Path) -> None:
    """A replay must not replace the final text."""
    lines = [
        {"at": 1, "payload": PAYLOAD | {"text": "We agree.", "is_final": True}},
        {"at": 2, "payload": PAYLOAD | {"text": "We", "is_final": False}},
    ]
    events = read_recording(write_jsonl(tmp_path / "m.jsonl", *lines)).events
    outcome = run_operators(make_items([(event.at, event.chunk) for event in events]))
    assert [sentence.text for sentence in outcome.current_sentences.values()] == ["We agree."]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"is_final": "perhaps"}, "payload.is_final"),
        ({"language": "no language"}, "language"),
        ({"speaker_id": ["a"]}, "payload.speaker_id"),
        ({"text": None}, "payload.text"),
        ({"text": "x" * 20_001}, "text"),
        ({"end_time": 0.1}, "end"),
        ({"start_time": -1.0}, "start"),
        ({"start_time": "soon"}, "payload.start_time"),
    ],
)
def test_an_invalid_line_is_named_with_its_field(tmp_path: Path, change: dict[str, object], field: str) -> None:
    path = write_jsonl(tmp_path / "m.jsonl", {"at": 1, "payload": PAYLOAD}, {"at": 2, "payload": PAYLOAD | change})
    with pytest.raises(InvalidInputError) as caught:
        read_recording(path)
    assert caught.value.field == f"{path}:2: {field}"
    assert "x" * 50 not in str(caught.value)


def test_invalid_json_an_empty_file_and_decreasing_times_are_rejected(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text("{")
    with pytest.raises(InvalidInputError, match=r"broken.jsonl:1: must be a JSON object"):
        read_recording(broken)
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    with pytest.raises(InvalidInputError, match="holds no event"):
        read_recording(empty)
    with pytest.raises(InvalidInputError, match="must not decrease"):
        read_recording(write_jsonl(tmp_path / "b.jsonl", {"at": 2, "payload": PAYLOAD}, {"at": 1, "payload": PAYLOAD}))
    with pytest.raises(InvalidInputError, match="can't be read"):
        read_recording(tmp_path / "absent.jsonl")


# --- subtitles ---

CUES = [Cue("Ann", "So we agree.", 0.5, 9.0), Cue("Bob", "Yes.", 0.5, 1.0), Cue("Ann", "Good.", 10.0, 11.25)]


@pytest.mark.parametrize("name", ["m.vtt", "m.x.VTT", "m.srt"])
def test_subtitles_are_read_as_a_recording(tmp_path: Path, name: str) -> None:
    (path := tmp_path / name).write_text(write_srt(CUES) if name.endswith("srt") else write_vtt(CUES, "m"))
    recording = read_recording(path)
    assert recording.name == name[:-4]
    assert recording.began_at == int(path.stat().st_mtime * 1000)
    assert (recording.remarks, recording.speaker_attribution) == ((), Attribution.NAMED)
    # Bob's cue must not arrive before Ann's, which is above it in the file.
    assert [(event.at, event.chunk) for event in recording.events] == [
        (9.0, Chunk(chunk_id="1", speaker="Ann", text="So we agree.", start=0.5, end=9.0, source="import")),
        (9.0, Chunk(chunk_id="2", speaker="Bob", text="Yes.", start=0.5, end=1.0, source="import")),
        (11.25, Chunk(chunk_id="3", speaker="Ann", text="Good.", start=10.0, end=11.25, source="import")),
    ]


@pytest.mark.parametrize("name", ["m.vtt", "m.srt", "m.txt", "m"])
@pytest.mark.parametrize("write_as", [write_srt, lambda cues: write_vtt(cues, "m")], ids=["srt", "vtt"])
def test_the_content_decides_the_format(tmp_path: Path, name: str, write_as: Callable[[Sequence[Cue]], str]) -> None:
    (path := tmp_path / name).write_text(write_as(CUES))
    assert [event.chunk.text for event in read_recording(path).events] == [cue.text for cue in CUES]
    path.write_text(json.dumps({"at": 1.2, "payload": PAYLOAD}))
    assert [event.chunk.text for event in read_recording(path).events] == ["Hello."]


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["without a mark", "with a mark"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_encodings(tmp_path: Path, encoding: str, mark: str) -> None:
    (path := tmp_path / "m.srt").write_bytes(f"{mark}1\n00:00:01,000 --> 00:00:02,000\nJosé 日本 😀".encode(encoding))
    assert [event.chunk.text for event in read_recording(path).events] == ["José 日本 😀"]
    (path := tmp_path / "m.jsonl").write_bytes((mark + json.dumps({"at": 1, "payload": PAYLOAD})).encode(encoding))
    assert [event.chunk.text for event in read_recording(path).events] == ["Hello."]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("said", ["はいそうです", "一一一、\u3000一", "Да, начнём", "नमस्ते", "Ā Ȁ Ѐ"])
def test_utf_16_without_a_mark_in_any_script(tmp_path: Path, said: str, encoding: str) -> None:
    (path := tmp_path / "m.txt").write_bytes(f"田中：{said}\n佐藤：はい\n田中：{said}\n".encode(encoding))
    said = " ".join(said.split())
    assert [event.chunk.text for event in read_recording(path).events] == [said, "はい", said]


CUE = "1\n00:00:01,000 --> 00:00:02,000\n"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (f"{CUE}José".encode("latin-1"), 3),
        (f"{CUE}日本".encode("shift-jis"), 3),
        (f"{CUE}Hi".encode("utf-32"), 1),
        (f"{CUE}Hi".encode("utf-32-le"), 1),
        (f"{CUE}Hi".encode("utf-32-be"), 1),
        (f"{CUE}Hi".encode("utf-16-le")[:-1], 3),
        (f"{CUE}Hi".encode("utf-16")[:-1], 3),
    ],
)
@pytest.mark.parametrize("name", ["m.srt", "m.vtt", "m.jsonl"])
def test_other_encodings_are_rejected_with_line_and_fix(tmp_path: Path, name: str, content: bytes, line: int) -> None:
    (path := tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInputError, match="must be text in UTF-8, or in UTF-16 with a byte order mark") as caught:
        read_recording(path)
    assert caught.value.field == f"{path}: line {line}"


def test_an_invalid_cue_is_left_out(tmp_path: Path) -> None:
    (path := tmp_path / "m.vtt").write_text(
        f"WEBVTT\n\n00:01.000 --> 00:02.000\nHi.\n\n999:00:00.000 --> 999:00:01.000\nx\n\n00:03.000 --> 00:04.000\n{'y' * 20_001}"
    )
    recording = read_recording(path)
    assert [event.chunk.text for event in recording.events] == ["Hi."]
    assert recording.remarks == (
        TranscriptIssue(
            "line 6", "the cue is left out: its start must be seconds from the meeting's start, from 0 to a week"
        ),
        TranscriptIssue("line 9", "the cue is left out: its text String should have at most 20000 characters"),
    )
    assert recording.omitted_count == 2
    with pytest.raises(InvalidInputError, match=r"line 6: the cue is left out: .* a week; and 1 more"):
        read_recording(path, strict=True)


@pytest.mark.parametrize(
    ("name", "content", "place", "fix"),
    [
        ("m.vtt", "", "cues", "the file has none with text"),
        ("m.srt", "Dear all", "line 1", "it belongs to no cue"),
        ("m.vtt", "WEBVTT\n\n999:00:00.000 --> 999:00:01.000\nHi", "line 3", "to a week"),
    ],
)
def test_subtitles_without_a_valid_cue_are_rejected(
    tmp_path: Path, name: str, content: str, place: str, fix: str
) -> None:
    (path := tmp_path / name).write_text(content)
    with pytest.raises(InvalidInputError, match=fix) as caught:
        read_recording(path)
    assert caught.value.field == f"{path}: {place}"


def test_the_spoken_language_selects_one_of_two_languages(tmp_path: Path) -> None:
    (path := tmp_path / "m.srt").write_text(
        f"{CUE}We start with the budget.\nComeçamos com o orçamento.\n\n"
        "2\n00:00:03,000 --> 00:00:04,000\nThen we go on.\nDepois continuamos."
    )
    english, portuguese = (
        ["We start with the budget.", "Then we go on."],
        ["Começamos com o orçamento.", "Depois continuamos."],
    )
    for language, expected in (("auto", english), ("en", english), ("de", english), ("pt-BR", portuguese)):
        assert [event.chunk.text for event in read_recording(path, language).events] == expected


# --- names ---


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("talk.vtt", "talk"),
        ("Board 4.5.2026.srt", "Board 4.5.2026"),
        ("Dr. Lee: plans v1.2.VTT", "Dr. Lee: plans v1.2"),
        ("launch.broadcasts.jsonl", "launch"),
        ("m.2026-05-04.jsonl", "m.2026-05-04"),
        ("talk.en.vtt", "talk.en"),
        ("talk.2026", "talk.2026"),
        (".vtt", ".vtt"),
        (b"caf\xe9.vtt", "caf\ufffd"),
    ],
)
def test_a_recordings_name_is_the_file_name_without_its_suffix(tmp_path: Path, file: str | bytes, name: str) -> None:
    path = tmp_path / os.fsdecode(file)
    path.write_text(write_vtt(CUES, "m"))
    recording = read_recording(path)
    assert recording.name == name
    body = make_opening(recording)
    assert body["title"] == name
    CreateMeetingRequest.model_validate(body)


@pytest.mark.parametrize("letter", ["x", "é", "日", "😀"])
@pytest.mark.parametrize("targets", [("pt",), ("de", "es", "fr", "it", "ja", "ko", "nl", "pl", "pt-BR", "zh-Hans") * 4])
def test_a_long_name_is_truncated(tmp_path: Path, letter: str, targets: tuple[str, ...]) -> None:
    """The API accepts the meeting's name, and the file system the result files. Another file is another meeting."""
    stem = letter * (251 // len(letter.encode()))
    (path := tmp_path / f"{stem}.vtt").write_text(write_vtt(CUES, "m"))
    recording = read_recording(path)
    assert recording.name == stem
    options = ReplayOptions(None, Clock.RECORDED, "auto", tuple(dict.fromkeys(targets)))
    body = meeting_request(recording, options)
    new = CreateMeetingRequest.model_validate(body)
    assert new.title == stem
    assert new.external_id is not None
    assert recording.digest in new.external_id
    others = {
        meeting_request(replace(recording, digest="0" * 12), options)["external_id"],
        meeting_request(recording, replace(options, language="de"))["external_id"],
        new.external_id,
    }
    assert len(others) == 3
    (tmp_path / f"{result_file_stem(recording.name)}.sentences.jsonl").touch()


def make_opening(recording: Recording) -> dict[str, Any]:
    return meeting_request(recording, ReplayOptions(None, Clock.RECORDED, "auto", ("pt",)))


TIMES = st.floats(0, 2000).map(lambda seconds: round(seconds, 3))
LENGTHS = st.sampled_from([0.0, 0.5, 3.0, 150.0, 700.0])
WORDS = st.lists(st.sampled_from(["so", "we", "Okay.", "No.", "good?", "你好。"]), min_size=1, max_size=8).map(" ".join)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from("AB"), WORDS, TIMES, LENGTHS), min_size=1, max_size=12))
def test_overlapping_cues_are_never_lost(tmp_path: Path, said: list[tuple[str, str, float, float]]) -> None:
    # Each text is another one: cues that repeat the words before would be rolling captions.
    cues = [Cue(speaker, f"{n} {text}", start, start + length) for n, (speaker, text, start, length) in enumerate(said)]
    (path := tmp_path / "m.srt").write_text(write_srt(cues))
    outcome = replay(read_recording(path))
    assert all(update.late_chunk is None for update, _ in outcome.steps)
    letters = Counter((cue.speaker, letter) for cue in cues for letter in cue.text if letter != " ")
    assert letters == Counter(
        (s.speaker, letter) for s in sentences_in_order(outcome) for letter in s.text if letter != " "
    )


# --- export and import ---

EXAMPLES = sorted((Path(__file__).parents[4] / "examples").glob("*.broadcasts.jsonl"))
MEETINGS = [
    *map(recording_param, (*EXAMPLES, *AMI_RECORDINGS)),
    *([] if AMI_RECORDINGS else [pytest.param(None, id="ami", marks=needs_ami)]),
]


def replay(recording: Recording, *, marks: bool = True) -> OperatorResult:
    """Run the operators on a recording. Speech without punctuation is split at pauses and by length."""
    events = [(event.at, event.chunk) for event in recording.events]
    if not marks:
        bare = [(at, re.sub(r"[^\w\s'-]", "", chunk.text), chunk) for at, chunk in events]
        events = [(at, chunk.model_copy(update={"text": text})) for at, text, chunk in bare if text.strip()]
    return run_operators(make_items(events))


def sentences_in_order(outcome: OperatorResult) -> list[Sentence]:
    """Return a meeting's sentences in reading order."""
    return sorted(outcome.current_sentences.values(), key=lambda s: (s.start, *map(int, s.id.split("."))))


def write_subtitles(sentences: Sequence[Sentence], folder: Path) -> list[Path]:
    """Return sentences as VTT and SRT subtitles, with a translation and without."""
    plain = [Cue(s.speaker, s.text, s.start, s.end) for s in sentences]
    both = [Cue(s.speaker, s.text, s.start, s.end, CueTranslation("pt", f"Isto: {s.text}")) for s in sentences]
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
def test_exported_subtitles_of_a_real_meeting_give_the_same_sentences(
    meeting: Path, marks: bool, tmp_path: Path
) -> None:
    said = sentences_in_order(replay(read_recording(meeting), marks=marks))
    assert len(said) > 10
    for path in write_subtitles(said, tmp_path):
        again = sentences_in_order(replay(read_recording(path)))
        assert [(s.speaker, s.text) for s in again] == [(s.speaker, s.text) for s in said]
        assert [(s.start, s.end) for s in again] == [pytest.approx((s.start, s.end), rel=0, abs=0.0011) for s in said]


def test_an_empty_text_retracts_a_chunk(tmp_path: Path) -> None:
    lines = [{"at": 1, "payload": PAYLOAD}, {"at": 2, "payload": PAYLOAD | {"text": ""}}]
    assert [event.chunk.text for event in read_recording(write_jsonl(tmp_path / "m.jsonl", *lines)).events][1] == ""
