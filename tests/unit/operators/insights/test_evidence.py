"""Tests operators/insights/evidence.py."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from operators.insights.evidence import resolve_rows, rows_schema, transcript_lines
from operators.stream import Sentence, SentenceBoundary

SENTENCES = [
    Sentence(f"{n}.0", 1, "Ann", None, f"Text {n}.", n, n + 1.0, SentenceBoundary.MARK, None, n, "") for n in (2, 5, 9)
]
IDS = [sentence.id for sentence in SENTENCES]


def action(*numbers: int) -> dict[str, Any]:
    return {"task": "Send it.", "owner": None, "due": "Friday", "sentences": list(numbers)}


def test_lines_have_the_numbers_that_rows_name() -> None:
    assert transcript_lines(SENTENCES, numbered=True) == ("[1] Ann: Text 2.", "[2] Ann: Text 5.", "[3] Ann: Text 9.")
    assert transcript_lines(SENTENCES, numbered=False)[0] == "Ann: Text 2."
    found = resolve_rows({"items": [action(3, 1, 3)]}, IDS)
    assert found.rows == ({**action(), "sentences": ["9.0", "2.0"]},)
    assert (found.dropped_rows, found.dropped_sentences) == (0, 0)


def test_what_does_not_exist_is_dropped_and_counted() -> None:
    found = resolve_rows({"items": [action(1, 4, 77), action(4), action(2)]}, IDS)
    assert [row["sentences"] for row in found.rows] == [["2.0"], ["5.0"]]
    assert (found.dropped_rows, found.dropped_sentences) == (1, 2)


@pytest.mark.parametrize("output_format", ["action_items", "decisions"])
def test_schemas_are_valid_and_need_evidence(output_format: Any) -> None:
    schema = rows_schema(output_format)
    assert schema is not None
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    assert validator.is_valid({"items": []})
    without = {name: "x" for name in schema["properties"]["items"]["items"]["properties"] if name != "sentences"}
    assert validator.is_valid({"items": [{**without, "sentences": [1]}]})
    for sentences in ({}, {"sentences": []}, {"sentences": [0]}, {"sentences": ["1"]}):
        assert not validator.is_valid({"items": [{**without, **sentences}]})
    assert rows_schema("markdown") is None


@given(st.lists(st.lists(st.integers(1, 10**12), min_size=1, max_size=10), max_size=20))
def test_every_named_sentence_exists(numbers: list[list[int]]) -> None:
    found = resolve_rows({"items": [action(*each) for each in numbers]}, IDS)
    assert len(found.rows) + found.dropped_rows == len(numbers)
    assert all(set(row["sentences"]) <= set(IDS) and row["sentences"] for row in found.rows)
