"""Tests of JSON answers and their validation."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.engines.protocol import Generation, NonRetryableError
from serve.insight.structured_output import parse_structured

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"items": {"type": "array", "items": {"type": "string"}, "maxItems": 3}},
    "required": ["items"],
    "additionalProperties": False,
}


def make_generation(text: str, *, is_cut_off: bool = False) -> Generation:
    return Generation(text, "m", "length" if is_cut_off else "stop", 1, 1, 0.0, 0.0)


@given(st.lists(st.text(), max_size=3), st.booleans())
def test_valid_json_is_parsed_with_or_without_a_fence(items: list[str], fenced: bool) -> None:
    text = orjson.dumps({"items": items}).decode()
    assert parse_structured(make_generation(f"```json\n{text}\n```\n" if fenced else f" {text}\n"), SCHEMA) == {
        "items": items
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is no JSON"),
        ("The secret items are:", "is no JSON"),
        ('{"items": ["secret"]', "is no JSON"),
        ('{"items": NaN}', "is no JSON"),
        ('{"items": "secret"}', "does not fit the schema at properties/items/type"),
        ('{"items": ["a", "b", "secret", "d"]}', "does not fit the schema at properties/items/maxItems"),
        ('{"secret": []}', "does not fit the schema at "),
    ],
)
def test_violation_names_the_rule_and_quotes_no_answer(text: str, problem: str) -> None:
    with pytest.raises(NonRetryableError, match=problem) as caught:
        parse_structured(make_generation(text), SCHEMA)
    assert "secret" not in str(caught.value)


def test_cut_off_answer_is_rejected_even_if_it_parses() -> None:
    with pytest.raises(NonRetryableError, match="did not come to its end"):
        parse_structured(make_generation("[1]", is_cut_off=True), {"type": "array"})


def test_schema_reference_is_never_fetched() -> None:
    with pytest.raises(NonRetryableError, match="reference to something outside"):
        parse_structured(make_generation("[1]"), {"$ref": "http://127.0.0.1:1/schema.json"})


def test_schema_may_reference_its_own_parts() -> None:
    schema = {"$defs": {"n": {"type": "integer"}}, "type": "array", "items": {"$ref": "#/$defs/n"}}
    assert parse_structured(make_generation("[1, 2]"), schema) == [1, 2]
    with pytest.raises(NonRetryableError):
        parse_structured(make_generation('["a"]'), schema)
