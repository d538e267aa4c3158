"""Any input of a client is rejected with the name of its field, or can be stored and read back unchanged."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import settings
from pydantic import BaseModel, ValidationError

from operators.engine_config import EnginesConfig, parse_engines_config
from operators.entries import Chunk, Entry, MeetingEnded, MeetingStarted, parse_entry
from operators.errors import InvalidInputError
from operators.fields import MAX_NAME_CHARS, format_field_path, normalize_language_tag
from operators.glossary_csv import parse_glossary
from operators.meeting_config import Clock, MeetingConfig, Term
from serve.http.engine_config_routes import EngineConfigRequest, RollbackRequest
from serve.http.ingest_routes import SourceEvent
from serve.http.lane_routes import MoveRequest
from serve.http.meeting_routes import ChangeConfigRequest, CreateMeetingRequest
from storage.postgres.dead_letter_queue import DeadLetterRecord
from tests.harness.data import hostile_input

EXAMPLE_COUNT = 50 * settings().max_examples if settings().max_examples >= 200 else 250
"""Number of values for each kind of input: 10,000 with the long profile."""
CHUNK = {"chunk_id": "1", "speaker": "Ann", "text": "Hello.", "start": 1.0, "end": 2.0}
ENGINE = {"kind": "openai", "url": "http://h/v1", "model": "m"}
TAGS = (
    ["en", "zh", "zh-cmn", "zh-min", "root", "und", "i-klingon", "sgn", "sr", "no", "iw", "x-a", "art-lojban", "q"],
    ["", "Latn", "Hant", "cyrl", "Zyyy"],
    ["", "US", "840", "UK", "DD", "001", "YU"],
    ["", "1901", "hepburn-heploc", "arevela", "oxendict"],
    ["", "u-co-phonebk", "x-secret", "a-aaa", "a-" + "-".join(["abc"] * 900)],
)


def corrupting(good: dict[str, Any], *names: str) -> Callable[[random.Random], dict[str, Any]]:
    return lambda chance: hostile_input.corrupt_fields(chance, good, list(names))


def models(rng: random.Random) -> dict[str, Any]:
    engine = hostile_input.corrupt_fields(
        rng, ENGINE, ["url", "model", "replicas", "ongoing", "cpus", "gpus", "key", "kind"]
    )
    if rng.random() < 0.5:
        engine = ENGINE | {"body": {hostile_input.hostile_text(rng, 100): hostile_input.hostile_value(rng)}}
    if rng.random() < 0.2:
        engine = ENGINE | {"url": "http://h/" + hostile_input.hostile_text(rng)}
    return {
        "config": {"engines": {"a": engine}},
        "note": hostile_input.hostile_text(rng, 600) if rng.random() < 0.3 else "",
    }


def config(rng: random.Random) -> dict[str, Any]:
    terms = [
        {
            "term": hostile_input.hostile_text(rng, 300),
            "translations": {random_tag(rng): hostile_input.hostile_text(rng, 300)},
        }
        for _ in range(rng.randint(1, 4))
    ]
    return {"glossary": terms, "target_languages": [random_tag(rng) for _ in range(rng.choice([1, 2, 3, 60]))]}


def random_tag(rng: random.Random) -> str:
    return "-".join(part for parts in TAGS if (part := rng.choice(parts)))


INPUT_MODELS: list[tuple[type[BaseModel], Callable[[random.Random], dict[str, Any]]]] = [
    (
        Chunk,
        corrupting(
            CHUNK, "chunk_id", "speaker", "speaker_id", "text", "start", "end", "is_final", "language", "source"
        ),
    ),
    (
        Chunk,
        lambda chance: CHUNK | {"language": random_tag(chance), "speaker": hostile_input.hostile_text(chance, 300)},
    ),
    (Term, corrupting({"term": "a", "translations": {}}, "term", "translations", "do_not_translate", "case_sensitive")),
    (MeetingConfig, config),
    (
        ChangeConfigRequest,
        corrupting({}, "source_language", "target_languages", "context_sentences", "style", "drafts", "glossary"),
    ),
    (MeetingEnded, corrupting({"reason": "over"}, "reason")),
    (CreateMeetingRequest, corrupting({"title": "Monday"}, "external_id", "title", "clock", "began_at", "config")),
    (SourceEvent, corrupting({"event_id": "1"}, "event_id", "kind", "at")),
    (MoveRequest, corrupting({"lane": "live-1"}, "lane")),
    (RollbackRequest, corrupting({"version": 1}, "version")),
    (EngineConfigRequest, models),
]


@pytest.mark.parametrize(("model", "made"), INPUT_MODELS, ids=lambda each: getattr(each, "__name__", None))
def test_value_is_rejected_by_field_or_can_be_stored(
    model: type[BaseModel], made: Callable[[random.Random], dict[str, Any]]
) -> None:
    rng = random.Random(model.__name__)
    outcomes = Counter[str]()
    for _ in range(EXAMPLE_COUNT):
        sent = made(rng)
        try:
            taken = model.model_validate(sent)
        except ValidationError as error:
            outcomes["refused"] += 1
            check_refusal(error)
            continue
        outcomes["taken"] += 1
        stored = taken.model_dump_json()
        assert not has_nul(json.loads(stored, parse_constant=pytest.fail))
        assert model.model_validate_json(stored).model_dump() == taken.model_dump()
    assert {"refused", "taken"} <= outcomes.keys()


def check_refusal(error: ValidationError) -> None:
    paths = [format_field_path(each["loc"]) for each in error.errors()]
    # Errors without a field: those of the whole value, and of a key that is empty or not a string.
    assert all(paths) or {each["type"] for each in error.errors()} & {
        "value_error",
        "string_unicode",
        "extra_forbidden",
    }
    assert all(len(path) < 400 for path in paths)
    json.dumps(paths, ensure_ascii=False).encode()


def check_invalid(error: InvalidInputError, field: str = "") -> None:
    assert error.field
    assert error.field.startswith(field)
    str(error).encode()


def has_nul(value: Any) -> bool:
    match value:
        case str():
            return "\x00" in value
        case list():
            return any(map(has_nul, value))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        case dict():
            return any(has_nul(k) or has_nul(v) for k, v in value.items())  # pyright: ignore[reportUnknownVariableType]
        case _:
            return False


def test_log_entry_is_parsed_or_rejected_by_field() -> None:
    good = {
        "schema": "1",
        "team_id": "default",
        "meeting_id": "m",
        "n": "1",
        "event_id": "e",
        "kind": "chunk",
        "arrived_at": "1",
        "payload": Chunk.model_validate(CHUNK).model_dump_json(),
    }
    rng = random.Random(1)
    for _ in range(EXAMPLE_COUNT):
        entry = {**good, rng.choice(list(good)): str(hostile_input.hostile_value(rng))}
        try:
            assert isinstance(parse_entry(entry), Entry)
        except InvalidInputError as error:
            check_invalid(error)


def test_glossary_file_is_parsed_or_rejected_by_line() -> None:
    rng = random.Random(2)
    for _ in range(EXAMPLE_COUNT):
        rows = [
            "term,do_not_translate,pt",
            "Ann,yes,Ana",
            ",".join(hostile_input.hostile_text(rng, 300) for _ in range(3)),
        ]
        rng.shuffle(rows)
        try:
            MeetingConfig(glossary=parse_glossary("\n".join(rows), "terms.csv")).model_dump_json()
        except InvalidInputError as error:
            check_invalid(error, "terms.csv")


def test_engines_config_is_parsed_or_rejected_by_field() -> None:
    rng = random.Random(3)
    for _ in range(EXAMPLE_COUNT):
        sent = json.dumps(models(rng)["config"]) if rng.random() < 0.7 else hostile_input.hostile_text(rng)
        try:
            assert isinstance(parse_engines_config(sent), EnginesConfig)
        except InvalidInputError as error:
            check_invalid(error)


def test_name_too_long_after_normalization_is_rejected() -> None:
    longest = "\U0001d160" * (MAX_NAME_CHARS // 3)
    read = Chunk.model_validate_json(Chunk.model_validate(CHUNK | {"speaker": longest}).model_dump_json())
    assert len(read.speaker) == 3 * len(longest)
    with pytest.raises(ValidationError, match="NFC"):
        Chunk.model_validate(CHUNK | {"speaker": longest + "\U0001d160"})


def test_language_tag_normalization_is_idempotent() -> None:
    assert normalize_language_tag("zh-cmn-840") == normalize_language_tag("zh-US") == "zh-US"
    with pytest.raises(ValidationError, match="twice"):
        MeetingConfig.model_validate({"target_languages": ["zh-cmn-840", "zh-US"]})
    started = MeetingStarted(
        clock=Clock.LIVE, generation=1, config=MeetingConfig(target_languages=("zh-cmn-840", "zh"))
    )
    assert MeetingStarted.model_validate_json(started.model_dump_json()) == started


@pytest.mark.parametrize("number", [float("inf"), float("nan"), 10**30, -1, "1e999"])
def test_engine_rejects_numbers_that_can_not_be_stored(number: object) -> None:
    for field in ("replicas", "cpus"):
        with pytest.raises(InvalidInputError, match=field):
            parse_engines_config({"engines": {"a": ENGINE | {field: number}}})


@pytest.mark.parametrize(
    "value",
    ["\x00", "\ud800", float("inf"), 2**63, hostile_input.nested_json(40), [0] * 20_000],
    ids=lambda each: ascii(each)[:20],
)
def test_engine_rejects_arguments_that_can_not_be_stored(value: object) -> None:
    for body in ({"a": value}, {"a": [{"b": value}]}):
        with pytest.raises(InvalidInputError, match=r"engines\.a\.openai\.body"):
            parse_engines_config({"engines": {"a": ENGINE | {"body": body}}})


def test_a_dead_letter_with_an_ordinal_of_any_length_can_be_listed() -> None:
    for n, read in (("12", 12), ("9" * 5_000, None), ("-1", None), ("\u0661", None)):
        fields = {"kind": "chunk", "n": n}
        letter = DeadLetterRecord(1, "default", None, "live-1", "0-1", "n: wrong", fields, datetime.now(UTC), None)
        assert letter.ordinal == read
