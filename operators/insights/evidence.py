"""The evidence of an answer: the sentences that its rows rest on.

The model sees each line of the transcript with a number, and names numbers. They become the sentences' ids, and a row without
an existing sentence is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from operators.insights.templates import OutputFormat
from operators.stream import Sentence

MAX_ROWS = 50
"""Most rows of an answer."""
MAX_SENTENCES_OF_ROW = 10
"""Most sentences that a row may name."""
NUMBERED_LINES_INSTRUCTION = (
    "Each line of the transcript begins with its number in brackets. Name for each row the numbers of the lines that say so,"
    " and no others. In notes, keep these numbers in brackets."
)
"""The instruction that goes with numbered lines."""


T = TypeVar("T")


def line_numbers_schema(max_items: int) -> dict[str, Any]:
    """Return the JSON schema of numbers of lines, of which there is at least one and at most `max_items`."""
    return {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1, "maxItems": max_items}


def resolve_line_numbers(numbers: Sequence[float], lines: Sequence[T]) -> tuple[list[T], int]:
    """Replace numbers of lines by what stands in their place.

    Args:
        numbers: the numbers, from 1. JSON Schema accepts 1.0 as an integer.
        lines: what each line stands for, in order.

    Returns:
        What the numbers name, each once, and how many numbers name nothing.
    """
    distinct = list(dict.fromkeys(map(int, numbers)))
    found = [lines[number - 1] for number in distinct if number <= len(lines)]
    return found, len(distinct) - len(found)


def _rows_schema(fields: Mapping[str, Any]) -> dict[str, Any]:
    properties = {**fields, "sentences": line_numbers_schema(MAX_SENTENCES_OF_ROW)}
    row = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    rows = {"type": "array", "items": row, "maxItems": MAX_ROWS}
    return {"type": "object", "properties": {"items": rows}, "required": ["items"], "additionalProperties": False}


_TEXT = {"type": "string", "minLength": 1, "maxLength": 500}
_NAME_OR_NULL = {"type": ["string", "null"], "maxLength": 100}
_SCHEMAS: Mapping[OutputFormat, dict[str, Any]] = {
    "action_items": _rows_schema({"task": _TEXT, "owner": _NAME_OR_NULL, "due": _NAME_OR_NULL}),
    "decisions": _rows_schema({"decision": _TEXT, "reason": {"type": ["string", "null"], "maxLength": 500}}),
}


@dataclass(frozen=True, slots=True)
class EvidentRows:
    """Rows whose sentences exist.

    Attributes:
        rows: the rows, with the ids of their sentences.
        dropped_rows: number of rows without an existing sentence.
        dropped_sentences: number of named sentences that don't exist, in the rows that were kept.
    """

    rows: tuple[dict[str, Any], ...]
    dropped_rows: int
    dropped_sentences: int


def rows_schema(output_format: OutputFormat) -> dict[str, Any] | None:
    """Return the JSON schema of an answer in a format; None for text."""
    return _SCHEMAS.get(output_format)


def transcript_lines(sentences: Sequence[Sentence], *, numbered: bool) -> tuple[str, ...]:
    """Return sentences as the lines of a transcript, `speaker: text`.

    Args:
        sentences: the sentences in reading order.
        numbered: whether each line begins with its number in brackets, from 1.
    """
    return tuple(
        f"[{number}] {sentence.speaker}: {sentence.text}" if numbered else f"{sentence.speaker}: {sentence.text}"
        for number, sentence in enumerate(sentences, 1)
    )


def resolve_rows(data: Mapping[str, Any], sentence_ids: Sequence[str]) -> EvidentRows:
    """Replace the numbers in an answer by the ids of the sentences, and drop what doesn't exist.

    Args:
        data: an answer that matches the schema.
        sentence_ids: the ids of the transcript's sentences, in the order of its lines.
    """
    rows: list[dict[str, Any]] = []
    dropped_rows = dropped_sentences = 0
    for row in data["items"]:
        ids, missing_count = resolve_line_numbers(row["sentences"], sentence_ids)
        if not ids:
            dropped_rows += 1
            continue
        dropped_sentences += missing_count
        rows.append({**row, "sentences": ids})
    return EvidentRows(tuple(rows), dropped_rows, dropped_sentences)
