"""Parses Fireflies' lists of transcripts. An item that can't be read is left out and named, and the others are returned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from operators.errors import InvalidInputError
from operators.fields import Name, to_invalid_input_error
from operators.json_values import JsonObject
from operators.sources.fireflies import meeting_start_ms

_JSON_OBJECT: TypeAdapter[dict[str, Any]] = TypeAdapter(JsonObject)
_ID: TypeAdapter[str] = TypeAdapter(Name)


@dataclass(frozen=True, slots=True)
class ListedTranscript:
    """A transcript in a list.

    Attributes:
        id: Fireflies' id of the meeting.
        title: the meeting's title; empty if it has none.
        began_at_ms: when the meeting began (ms since the Unix epoch); None if unknown.
        content: all its fields, as Fireflies sends them.
    """

    id: str
    title: str
    began_at_ms: int | None
    content: dict[str, Any]


def parse_transcript_list(items: Sequence[Any]) -> tuple[list[ListedTranscript], list[str]]:
    """Parse the items of a list.

    Args:
        items: the decoded items.

    Returns:
        The transcripts, and for each other item its place, its id if it has one, and the cause.
    """
    transcripts: list[ListedTranscript] = []
    issues: list[str] = []
    for place, item in enumerate(items, 1):
        try:
            transcripts.append(_parse_item(item))
        except InvalidInputError as error:
            issues.append(f"number {place} of the page{_describe_id(item)}: {error}")
    return transcripts, issues


def _parse_item(item: Any) -> ListedTranscript:
    if not isinstance(item, dict):
        raise InvalidInputError("transcript", "must be a JSON object")
    content = cast("dict[str, Any]", item)
    try:
        external_id = _ID.validate_python(content.get("id"), strict=True)
    except ValidationError as error:
        raise InvalidInputError("id", to_invalid_input_error(error).fix) from None
    try:
        content = _JSON_OBJECT.validate_python(content)
    except ValidationError as error:
        raise InvalidInputError("fields", to_invalid_input_error(error).fix) from None
    title, date = content.get("title"), content.get("date")
    return ListedTranscript(external_id, title if isinstance(title, str) else "", meeting_start_ms(date), content)


def _describe_id(item: Any) -> str:
    external_id = cast("dict[str, Any]", item).get("id") if isinstance(item, dict) else None
    if isinstance(external_id, str) and external_id.isprintable():
        return f" ({external_id[:60]})"
    return ""
