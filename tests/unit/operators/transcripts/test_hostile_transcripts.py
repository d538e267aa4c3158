"""Any content gives events that can be stored, or an error with its place. No other exception leaves the parser."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.entries import Chunk
from operators.errors import InvalidInputError
from operators.transcripts import MAX_TRANSCRIPT_BYTES, ParsedTranscript, parse_transcript
from tests.harness.data import hostile_input

MEET = {
    "participant": "conferenceRecords/1/participants/a",
    "text": "Hi.",
    "languageCode": "en",
    "startTime": "2026-05-04T09:00:01Z",
    "endTime": "2026-05-04T09:00:02Z",
}
FIREFLIES = {"speaker_name": "Ann", "speaker_id": 1, "text": "Hi.", "start_time": 1, "end_time": 2}
WORD = {"text": "Hi.", "start_timestamp": {"relative": 1.5, "absolute": MEET["startTime"]}, "end_timestamp": None}
RECALL = {"participant": {"id": 1, "name": "Ann"}, "language_code": "en", "words": [WORD, WORD]}
EVENT = {"at": 1, "payload": {"chunk_id": "1", "text": "Hi.", "speaker_name": "Ann", "start_time": 0, "end_time": 1}}
EXPORT = {"id": "1", "speaker": "Ann", "speaker_id": None, "text": "Hi.", "start": 0, "end": 1, "boundary": "mark"}
TEXTS = [
    "Ann Lee  0:03\nGood morning.\n\nBob  1:07\nHello.\n",
    "Ann: Good morning.\nBob: Hello.\n",
    "[00:03] Ann: Good morning.\n[00:05] Bob: Hello.\n",
    "WEBVTT\n\n00:01.000 --> 00:02.000\n<v Ann>Hi.</v>\n",
    "1\n00:00:01,000 --> 00:00:02,000\nAnn: Hi.\n",
]
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1"]


def check(content: bytes, name: str) -> ParsedTranscript | None:
    """Parse content, and check that its result is usable: None if it is rejected."""
    transcript, refusal = None, None
    try:
        transcript = parse_transcript(content, name)
    except InvalidInputError as error:
        refusal = error
    if transcript is None:
        assert refusal is not None
        assert refusal.field.startswith(name)
        return None
    assert transcript.events
    for event in transcript.events:
        assert Chunk.model_validate_json(event.chunk.model_dump_json()) == event.chunk
    for issue in transcript.issues:
        assert issue.place
        issue.message.encode()
    return transcript


def hostile_document(rng: random.Random) -> str:
    valid = rng.choice([MEET, FIREFLIES, RECALL])
    entries: list[Any] = [hostile_input.corrupt_fields(rng, valid, [*valid]) for _ in range(3)]
    if rng.random() < 0.3:
        entries.append(hostile_input.hostile_value(rng))
    if valid is RECALL and rng.random() < 0.8:
        entries.append(RECALL | {"words": [hostile_input.corrupt_fields(rng, WORD, [*WORD])]})
    wrapped = rng.choice(
        [entries, {"data": {"transcript": {"date": hostile_input.hostile_number(rng), "sentences": entries}}}]
    )
    return json.dumps(wrapped, indent=rng.choice([None, 1]), ensure_ascii=rng.random() < 0.5)


def hostile_lines(rng: random.Random) -> str:
    if rng.random() < 0.5:
        valid = rng.choice([EVENT, EXPORT])
        return "\n".join(json.dumps(hostile_input.corrupt_fields(rng, valid, [*valid])) for _ in range(2))
    lines = rng.choice(TEXTS).split("\n")
    for _ in range(rng.randint(0, 3)):
        lines.insert(rng.randrange(len(lines) + 1), hostile_input.hostile_text(rng, 5_000))
    return rng.choice(["\n", "\r\n", "\r", "\u2028"]).join(lines)


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_hostile_fields_lines_and_bytes(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(4):
        text = rng.choice([hostile_document, hostile_lines])(rng)
        encoding = rng.choice(ENCODINGS)
        errors = "replace" if encoding == "latin-1" else "surrogatepass"
        content = bytearray(text.encode(encoding, errors))
        for _ in range(rng.choice([0, 0, 0, 1, 4])):
            content.insert(rng.randrange(len(content) + 1), rng.randrange(256))
        if rng.random() < 0.2:
            del content[rng.randrange(len(content) + 1) :]
        check(bytes(content), rng.choice(["a.json", "a.jsonl", "a.txt", "a.vtt", "a"]))


@settings(deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["a.json", "a.txt", "a.srt", "a"]))
def test_any_bytes(content: bytes, name: str) -> None:
    check(content, name)


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from("Ann Bob:0123456789[]()\n\t-–> .|{}\",'WEBVTT"), max_size=300))
def test_any_text_of_the_formats_marks(text: str) -> None:
    check(text.encode(), "a.txt")


def test_generated_files_are_read_and_rejected() -> None:
    """The generators reach both outcomes, so that the test above is not empty."""
    rng = random.Random(16)
    outcomes = Counter(
        check(hostile_document(rng).encode("utf-8", "surrogatepass"), "a.json") is not None for _ in range(60)
    )
    assert min(outcomes[True], outcomes[False]) > 5


@pytest.mark.parametrize("text", [*TEXTS, json.dumps([MEET]), json.dumps([RECALL], indent=1), json.dumps(EVENT)])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_encodings_and_line_ends_make_no_difference(text: str, encoding: str, line_end: str) -> None:
    plain = parse_transcript(text.encode(), "a")
    assert parse_transcript(text.replace("\n", line_end).encode(encoding), "a").events == plain.events


@pytest.mark.parametrize("suffix", [".vtt", ".txt", ".json", ".jsonl", ""])
@pytest.mark.parametrize("text", [TEXTS[3], TEXTS[4], json.dumps([MEET]), json.dumps(EVENT)])
def test_the_suffix_makes_no_difference(text: str, suffix: str) -> None:
    assert parse_transcript(text.encode(), f"a{suffix}") == parse_transcript(text.encode(), "a")


def test_a_file_may_have_no_more_than_the_limit() -> None:
    with pytest.raises(InvalidInputError, match=r"a\.txt: must have no more than 16777216 bytes: split the file"):
        parse_transcript(b" " * (MAX_TRANSCRIPT_BYTES + 1), "a.txt")


@pytest.mark.parametrize("binary", [b"\x89PNG\r\n\x1a\n\x00", b"PK\x03\x04\x14\x00\xff", b"\x00" * 500, b"\xff\xfe"])
def test_binary_content_is_rejected(binary: bytes) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_transcript(binary, "a.txt")
    assert caught.value.field.startswith("a.txt")


def test_a_large_file_of_each_form_is_read() -> None:
    """The time is linear: a quadratic parser would not end within the test's limit."""
    lines = "\n".join(f"[{k // 60}:{k % 60:02}] Ann Lee: word {k}." for k in range(5_000))
    assert len(parse_transcript(lines.encode(), "a.txt").events) == 5_000
    names = "\n".join(f"Speaker {k % 300}: word {k}. And so on: it goes." for k in range(5_000))
    assert len(parse_transcript(names.encode(), "a.txt").events) == 5_000
    for line in ("Ann" + " " * 300_000 + "x", "Ann:" * 100_000, "1:00 " * 100_000, "[" * 300_000 + "0:01"):
        check(line.encode(), "a.txt")
    document = json.dumps([RECALL | {"words": [WORD] * 50_000}])
    assert len(parse_transcript(document.encode(), "a.json").events) > 300
