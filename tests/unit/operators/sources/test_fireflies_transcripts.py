"""The parsing of Fireflies' transcripts: what is kept, and what is left out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.errors import InvalidInputError
from operators.sources.fireflies import UNKNOWN_SPEAKER, sentence_to_chunk
from operators.sources.fireflies_listing import parse_transcript_list
from operators.sources.fireflies_transcripts import parse_transcript
from operators.transcripts import parse_transcript as parse_file

SENTENCE: dict[str, Any] = {
    "index": 0,
    "text": "Good morning.",
    "start_time": 1.5,
    "end_time": 2,
    "speaker_name": "Ann",
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def test_a_transcript_is_read_with_what_came_with_it() -> None:
    transcript = parse_transcript(
        {
            "id": "a",
            "title": "Planning\x00",
            "date": 1_700_000_000_000,
            "is_live": None,
            "sentences": [SENTENCE | {"ai_filters": {"task": "Call Bob", "question": None}}, {"text": 3}],
            "summary": {"overview": "A call.", "action_items": None},
            "meeting_attendees": [{"displayName": "Ann", "email": None}],
            "meeting_attendance": [{"name": "Ann", "join_time": "2026-11-01T10:00:00Z"}],
            "analytics": None,
            "cal_id": "left out",
        }
    )
    assert (transcript.title, transcript.began_at_ms, transcript.is_live) == ("Planning", 1_700_000_000_000, False)
    assert [(chunk.speaker, chunk.text, chunk.start) for chunk in transcript.chunks] == [("Ann", "Good morning.", 1.5)]
    assert transcript.invalid_count == 1
    assert transcript.metadata == {
        "summary": {"overview": "A call.", "action_items": None},
        "meeting_attendees": [{"displayName": "Ann", "email": None}],
        "meeting_attendance": [{"name": "Ann", "join_time": "2026-11-01T10:00:00Z"}],
        "sentence_filters": [{"start": 1.5, "task": "Call Bob"}],
    }


def test_two_sentences_with_the_same_start_are_two_chunks() -> None:
    transcript = parse_transcript({"id": "a", "sentences": [SENTENCE, SENTENCE | {"text": "Hello."}]})
    assert [chunk.text for chunk in transcript.chunks] == ["Good morning.", "Hello."]
    assert len({chunk.chunk_id for chunk in transcript.chunks}) == 2


def test_speakers_without_a_name_are_labelled_as_in_a_file() -> None:
    speakers = [{"speaker_id": 4}, {"speaker_id": "0"}, {"speaker_id": 4}, {}, {"speaker_id": 0, "speaker_name": "Ann"}]
    sentences = [
        {"index": place, "text": f"Sentence {place}.", "start_time": place, "end_time": place + 1, "speaker_name": None}
        | speaker
        for place, speaker in enumerate(speakers)
    ]
    transcript = {"id": "a", "sentences": sentences}
    labels = [chunk.speaker for chunk in parse_transcript(transcript).chunks]
    assert labels == ["Speaker 1", "Speaker 2", "Speaker 1", "Speaker", "Ann"]
    file = parse_file(json.dumps(transcript).encode(), "a.json")
    assert [event.chunk.speaker for event in file.events] == labels
    # A gap of a live meeting is filled under the label that the live speech has.
    assert {sentence_to_chunk(sentence).speaker for sentence in sentences[:4]} == {UNKNOWN_SPEAKER}


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        (1_777_885_200_000.0, 1_777_885_200_000),
        ("1777885200000", 1_777_885_200_000),
        ("2026-05-04T09:00:00.000Z", 1_777_885_200_000),
        ("2026-05-04T11:00:00+02:00", 1_777_885_200_000),
        ("2026-05-04T09:00:00", 1_777_885_200_000),
        *((wrong, None) for wrong in ("yesterday", "", -1, 0, True, [], {}, None, 10**15, float("nan"))),
    ],
)
def test_a_date_in_any_form_is_the_start_and_a_wrong_one_fails_alone(date: Any, expected: int | None) -> None:
    content = {"id": "a", "title": "Planning", "date": date, "sentences": [SENTENCE]}
    transcript = parse_transcript(content)
    assert (transcript.began_at_ms, len(transcript.chunks)) == (expected, 1)
    if date == date:
        assert [listed.began_at_ms for listed in parse_transcript_list([content])[0]] == [expected]
        assert parse_file(json.dumps(content).encode(), "a.json").began_at_ms == expected


@pytest.mark.parametrize("content", [{}, {"id": ""}, {"id": "a", "sentences": "x"}])
def test_a_wrong_transcript_names_the_field(content: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_transcript(content)
    assert caught.value.field in ("id", "sentences")


@given(st.dictionaries(st.sampled_from(["title", "date", "sentences", "summary", "meeting_attendees"]), JSON))
def test_any_content_is_read_or_refused(fields: dict[str, Any]) -> None:
    try:
        transcript = parse_transcript({"id": "a"} | fields)
    except InvalidInputError:
        return
    json.dumps(transcript.metadata).encode()
    assert "\x00" not in transcript.title
