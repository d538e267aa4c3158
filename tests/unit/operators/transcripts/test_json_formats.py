"""Transcripts in JSON of Google Meet, Fireflies, Recall.ai and Parley. What is invalid is left out with its path."""

from __future__ import annotations

import json
from typing import Any

import pytest

from operators.errors import InvalidInputError
from operators.subtitles import UNKNOWN_SPEAKER, Attribution
from operators.transcripts import ParsedTranscript, TranscriptFormat, TranscriptIssue, parse_transcript


def parse(document: object, name: str = "m.json", indent: int | None = None) -> ParsedTranscript:
    return parse_transcript(json.dumps(document, indent=indent).encode(), name)


def speech(transcript: ParsedTranscript) -> list[tuple[str, str, float, float]]:
    return [(chunk.speaker, chunk.text, chunk.start, chunk.end) for _, chunk in transcript.events]


# --- Google Meet ---

ANN, BOB = "conferenceRecords/1/participants/a", "conferenceRecords/1/participants/b"


def meet_entry(participant: str, text: str, start: str, end: str, **more: Any) -> dict[str, Any]:
    return {"name": "x", "participant": participant, "text": text, "startTime": start, "endTime": end, **more}


MEET = [
    meet_entry(ANN, "Good morning.", "2026-05-04T09:00:01.5Z", "2026-05-04T09:00:03Z", languageCode="en-us"),
    meet_entry(BOB, "Hello.", "2026-05-04T11:00:04.123456789+02:00", "2026-05-04T09:00:05Z", languageCode="?"),
]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("document", [MEET, {"transcriptEntries": MEET, "nextPageToken": "t"}])
def test_entries_of_google_meet(document: object, indent: int | None) -> None:
    transcript = parse(document, indent=indent)
    assert transcript.format is TranscriptFormat.GOOGLE_MEET
    assert speech(transcript) == [("Speaker 1", "Good morning.", 0, 1.5), ("Speaker 2", "Hello.", 2.623, 3.5)]
    assert [(chunk.speaker_id, chunk.language) for _, chunk in transcript.events] == [(ANN, "en-US"), (BOB, None)]
    assert transcript.began_at_ms == 1_777_885_201_500
    assert transcript.attribution is Attribution.UNKNOWN
    path = "transcriptEntries.1" if isinstance(document, dict) else "1"
    assert transcript.issues == (TranscriptIssue(path, "its language is ignored: it is not a language tag", False),)


def test_participants_of_google_meet_have_their_names() -> None:
    participants = [{"name": ANN, "signedinUser": {"displayName": "Ann Lee"}}, {"name": BOB, "phoneUser": {}}, 7]
    transcript = parse({"transcriptEntries": MEET, "participants": participants})
    assert [chunk.speaker for _, chunk in transcript.events] == ["Ann Lee", "Speaker 1"]
    named = parse([meet_entry("Ann Lee", "Hi.", "2026-05-04T09:00:01Z", "2026-05-04T09:00:02Z")])
    assert (speech(named), named.attribution) == ([("Ann Lee", "Hi.", 0, 1)], Attribution.NAMED)
    assert named.events[0].chunk.speaker_id is None


# --- Fireflies ---

SENTENCES = [
    {"index": 0, "speaker_name": "Ann", "speaker_id": 0, "text": "Good morning.", "start_time": 0.5, "end_time": 1.5},
    {"index": 1, "speaker_name": None, "speaker_id": "7", "text": "Hello.", "start_time": "2", "end_time": "3.25"},
]


@pytest.mark.parametrize(
    "document",
    [
        {"data": {"transcript": {"title": "Weekly", "date": 1_777_885_200_000.0, "sentences": SENTENCES}}},
        {"date": 1_777_885_200_000, "sentences": SENTENCES},
        SENTENCES,
    ],
)
def test_a_transcript_of_fireflies(document: object) -> None:
    transcript = parse(document)
    assert transcript.format is TranscriptFormat.FIREFLIES
    assert speech(transcript) == [("Ann", "Good morning.", 0.5, 1.5), ("Speaker 1", "Hello.", 2, 3.25)]
    assert [chunk.speaker_id for _, chunk in transcript.events] == ["0", "7"]
    assert transcript.began_at_ms == (None if document is SENTENCES else 1_777_885_200_000)


def test_a_download_of_fireflies_has_clock_times() -> None:
    row = {"sentence": "Hi.", "startTime": "01:07", "endTime": "1:00:08.5", "speaker_name": "Ann"}
    assert speech(parse([row])) == [("Ann", "Hi.", 67, 3608.5)]
    nulls = {"text": None, "start_time": None, "end_time": None, "speaker_name": None, "speaker": "Ann"}
    del row["speaker_name"]
    assert speech(parse([row | nulls])) == [("Ann", "Hi.", 67, 3608.5)]


# --- Recall.ai ---


def word(text: str, start: float, end: float | None, absolute: str | None = None) -> dict[str, Any]:
    return {
        "text": text,
        "start_timestamp": {"relative": start, "absolute": absolute},
        "end_timestamp": None if end is None else {"relative": end},
    }


def test_a_download_of_recall() -> None:
    document = [
        {
            "participant": {"id": 100, "name": "Ann", "is_host": True},
            "language_code": "en",
            "words": [word("Good", 1.5, 1.8, "2026-05-04T09:00:01.5Z"), word("morning.", 1.9, 2.5)],
        },
        {"participant": {"id": 200, "name": None}, "words": [word("Hello.", 3, None)]},
        {"participant": {"id": 300, "name": "Cy"}, "words": []},
    ]
    transcript = parse(document)
    assert transcript.format is TranscriptFormat.RECALL
    assert speech(transcript) == [("Ann", "Good morning.", 1.5, 2.5), ("Speaker 1", "Hello.", 3, 3)]
    assert [(chunk.speaker_id, chunk.language) for _, chunk in transcript.events] == [("100", "en"), ("200", None)]
    assert transcript.began_at_ms == 1_777_885_200_000


def test_the_older_form_of_recall() -> None:
    words = [{"text": "Hi", "start_timestamp": 1.0, "end_timestamp": 1.5, "confidence": 0.9}]
    older = [{"speaker": "Ann", "speaker_id": 1, "words": words}, {"speaker": None, "words": words}]
    assert speech(parse(older)) == [("Ann", "Hi", 1, 1.5), (UNKNOWN_SPEAKER, "Hi", 1, 1.5)]


def test_a_long_utterance_is_divided_between_words() -> None:
    words = [word(f"w{k}", k, k + 1) for k in range(10_000)]
    transcript = parse([{"participant": {"id": 1, "name": "Ann"}, "words": words}])
    assert len(transcript.events) > 50
    assert " ".join(chunk.text for _, chunk in transcript.events).split() == [w["text"] for w in words]
    assert all(chunk.text.startswith(f"w{chunk.start:.0f} ") for _, chunk in transcript.events)


# --- Parley ---


def test_an_export_reads_back() -> None:
    rows = [
        {
            "id": f"{k}.1",
            "revision": 1,
            "speaker": "Ann",
            "speaker_id": "a",
            "text": text,
            "start": k,
            "end": k + 0.5,
            "boundary": "mark",
            "language": "en",
            "captions": {"pt": {"text": "Isto"}},
        }
        for k, text in enumerate(["Good morning.", "We begin."])
    ]
    content = "".join(json.dumps(row) + "\n" for row in rows)
    transcript = parse_transcript(content.encode(), "m.jsonl")
    assert transcript.format is TranscriptFormat.PARLEY_EXPORT
    assert speech(transcript) == [("Ann", "Good morning.", 0, 0.5), ("Ann", "We begin.", 1, 1.5)]
    assert {(chunk.speaker_id, chunk.language) for _, chunk in transcript.events} == {("a", "en")}
    with pytest.raises(InvalidInputError) as caught:
        parse_transcript(f"{content}{json.dumps(rows[0] | {'end': 'soon'})}".encode(), "m.jsonl")
    assert caught.value.field == "m.jsonl:3: end"
    with pytest.raises(InvalidInputError, match="line 3: the sentence is left out: its end must not be before start"):
        parse_transcript(f"{content}{json.dumps(rows[1] | {'end': 0})}".encode(), "m.jsonl")


# --- what is invalid ---


@pytest.mark.parametrize(
    ("document", "entry", "place"),
    [
        (MEET, {"startTime": "soon"}, "2.startTime"),
        (MEET, {"startTime": "2026-05-04T09:00:01"}, "2.startTime"),
        (MEET, {"text": None}, "2.text"),
        (SENTENCES, {"end_time": "later"}, "2.end_time"),
        (SENTENCES, {"start_time": [1]}, "2.start_time"),
        (SENTENCES, {"text": 1.5, "start_time": 9}, "2"),
        (SENTENCES, {"speaker_name": "\ud83d"}, "2"),
    ],
)
def test_an_invalid_entry_fails_alone(document: list[dict[str, Any]], entry: dict[str, Any], place: str) -> None:
    transcript = parse([*document, document[0] | entry])
    issue = transcript.issues[-1]
    assert issue.place.startswith(place)
    assert issue.message.startswith("the entry is left out: ")
    assert issue.lost_speech
    assert len(transcript.events) == 2


@pytest.mark.parametrize("entry", [None, 7, "x", [], {}, [[]]], ids=str)
def test_an_entry_of_another_type_fails_alone(entry: object) -> None:
    for document in (MEET, SENTENCES):
        transcript = parse([entry, *document] if entry != [[]] else [*document, entry])
        assert len(transcript.events) == 2
        assert sum(issue.lost_speech for issue in transcript.issues) == 1


@pytest.mark.parametrize(
    ("content", "field", "fix"),
    [
        ("[]", "m.json", "holds no entry of speech"),
        ('{"sentences": []}', "m.json: sentences", "holds no entry of speech"),
        ('{"data": {"transcript": null}}', "m.json", "must be a transcript of Google Meet, Fireflies or Recall"),
        ('{"a": 1}', "m.json", "must be a transcript of Google Meet, Fireflies or Recall"),
        ('[{"a": 1}]', "m.json: 0", "must be a transcript of Google Meet, Fireflies or Recall"),
        ("7", "m.json", "must be a transcript of Google Meet, Fireflies or Recall"),
        ("", "m.json", "holds no event, cue or line of speech"),
        ('{"sentences": [{"text": "x", "start_time": null}]}', "m.json: sentences.0.start_time", "the entry is left"),
        (json.dumps(MEET)[:-20], "m.json:1", "must be a JSON object"),
        (json.dumps({"sentences": SENTENCES}, indent=1)[:-40], "m.json:", "must be a JSON object"),
        ('{"at": 1, "payload": {}}\n{"at": 2, "pay', "m.json:1: payload.chunk_id", "Field required"),
        ("[" * 100_000, "m.json:1", "must be JSON with short numbers and few levels"),
        (f"[{'9' * 5_000}]", "m.json:1", "must be JSON with short numbers and few levels"),
    ],
)
def test_an_unreadable_document_is_rejected_with_its_place(content: str, field: str, fix: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_transcript(content.encode(), "m.json")
    assert caught.value.field.startswith(field)
    assert caught.value.fix.startswith(fix)
