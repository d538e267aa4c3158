from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from operators.entries import (
    Chunk,
    ConfigChanged,
    Entry,
    EntryPayload,
    MeetingEnded,
    MeetingMoved,
    MeetingStarted,
    parse_entry,
    parse_payload,
)
from operators.errors import InvalidInputError
from operators.fields import MAX_CHUNK_CHARS, MAX_SPEECH_S, normalize_language_tag
from operators.meeting_config import Clock, MeetingConfig

CHUNK: dict[str, Any] = {"chunk_id": "1", "speaker": "Ada", "text": "Yes.", "start": 1, "end": 2.5}
FIELDS = {
    "schema": "1",
    "team_id": "t",
    "meeting_id": "m",
    "n": "2",
    "event_id": "e",
    "kind": "chunk",
    "arrived_at": "1700000000000",
    "payload": '{"chunk_id": "1", "speaker": "Ada", "text": "Yes.", "start": 1, "end": 2.5}',
}


@pytest.mark.parametrize(("tag", "normal"), [("pt-br", "pt-BR"), ("EN", "en"), ("zh-hant", "zh-Hant")])
def test_language_tags_are_normalized(tag: str, normal: str) -> None:
    assert normalize_language_tag(tag) == normal


@pytest.mark.parametrize("tag", ["", "english please", "x", "auto!"])
def test_invalid_language_tag_is_rejected(tag: str) -> None:
    with pytest.raises(ValueError, match="not a language tag"):
        normalize_language_tag(tag)


@pytest.mark.parametrize(
    ("kind", "payload", "expected"),
    [
        ("chunk", CHUNK, Chunk(chunk_id="1", speaker="Ada", text="Yes.", start=1, end=2.5)),
        ("ended", {}, MeetingEnded()),
        ("moved", {"lane": "live-2", "move": 1}, MeetingMoved(lane="live-2", move=1)),
        (
            "config",
            {"config": {"target_languages": ["pt-br"]}},
            ConfigChanged(config=MeetingConfig(target_languages=("pt-BR",))),
        ),
        (
            "started",
            {"clock": "live", "generation": 1, "config": {}},
            MeetingStarted(clock=Clock.LIVE, generation=1, config=MeetingConfig()),
        ),
    ],
)
def test_payload_round_trip_by_kind(kind: str, payload: dict[str, Any], expected: EntryPayload) -> None:
    assert parse_payload(kind, payload) == expected
    assert parse_payload(kind, expected.model_dump_json()) == expected


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"speaker": " \u200b"}, "speaker"),
        ({"text": "a\x00b"}, "text"),
        ({"text": "a" * (MAX_CHUNK_CHARS + 1)}, "text"),
        ({"speaker": ""}, "speaker"),
        ({"chunk_id": "x" * 201}, "chunk_id"),
        ({"start": -1}, "start"),
        ({"end": math.inf}, "end"),
        ({"end": MAX_SPEECH_S + 1}, "end"),
        ({"start": 3}, "end"),
        ({"language": "nonsense!"}, "language"),
        ({"surprise": 1}, "surprise"),
        ({"text": None}, "text"),
    ],
)
def test_invalid_chunk_names_the_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_payload("chunk", {**CHUNK, **change})
    assert refused.value.field == field


def test_error_does_not_contain_the_rejected_value() -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_payload("chunk", {**CHUNK, "text": {"secret": "words"}})
    assert "secret" not in str(refused.value)


def test_unknown_kind_is_rejected() -> None:
    with pytest.raises(
        InvalidInputError, match="must be one of started, chunk, config, speakers, sentence, moved, ended"
    ):
        parse_payload("sung", {})


@pytest.mark.parametrize(
    "config",
    [
        {"target_languages": ["pt", "PT"]},
        {"context_sentences": 21},
        {"glossary": [{"term": str(n)} for n in range(501)]},
        {"glossary": [{"term": str(n), "translations": {"pt": "x" * 200}} for n in range(400)]},
        {"glossary": [{"term": "t", "translations": {f"x-a{n}": "x" for n in range(51)}}]},
        {"glossary": [{"term": "caf\u00e9"}, {"term": "cafe\u0301"}]},
        {"context_sentences": -1},
        {"source_language": "?"},
    ],
)
def test_invalid_config_is_rejected(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MeetingConfig.model_validate(config)


def test_values_are_immutable() -> None:
    with pytest.raises(ValidationError):
        Chunk.model_validate(CHUNK).text = "No."  # pyright: ignore[reportAttributeAccessIssue]


def test_entry_is_parsed_from_its_fields() -> None:
    chunk = Chunk(chunk_id="1", speaker="Ada", text="Yes.", start=1, end=2.5)
    assert parse_entry(FIELDS) == Entry("t", "m", 2, "e", 1_700_000_000_000, chunk)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"schema": "2"}, "schema"),
        ({"team_id": ""}, "team_id"),
        ({"n": "two"}, "n"),
        ({"arrived_at": ""}, "arrived_at"),
        ({"kind": "sung"}, "kind"),
        ({"payload": "{"}, "payload"),
        ({"payload": "{}"}, "chunk_id"),
    ],
)
def test_invalid_entry_names_the_field(change: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_entry({**FIELDS, **change})
    assert refused.value.field == field


@pytest.mark.parametrize("name", ["Ann ", "\u200eAnn\u200b", " Ann\t"])
def test_names_are_trimmed(name: str) -> None:
    assert parse_chunk(name).speaker == "Ann"


def test_names_are_equal_in_any_encoding_form() -> None:
    assert parse_chunk("Jose\u0301  Luis").speaker == parse_chunk("Jos\u00e9 Luis").speaker == "Jos\u00e9 Luis"


def parse_chunk(speaker: str) -> Chunk:
    payload = {"chunk_id": "1", "speaker": speaker, "text": "", "start": 0, "end": 1, "speaker_id": f" {speaker}"}
    chunk = Chunk.model_validate(payload)
    assert chunk.speaker_id == chunk.speaker
    return chunk
