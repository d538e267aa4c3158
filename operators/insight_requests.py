"""Requests to a language model about a meeting, and its responses: a note, a summary, a reply in a chat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

import langcodes
from jsonschema import SchemaError
from jsonschema.validators import validator_for

from operators.errors import InvalidInputError

_MAX_TEMPERATURE = 2.0


class InsightRole(StrEnum):
    """The kind of a request: a running `note`, an `insight` in the background, or a `chat`, for whose reply a person waits."""

    NOTE = "note"
    INSIGHT = "insight"
    CHAT = "chat"


@dataclass(frozen=True, slots=True)
class InsightRequest:
    """A task about one meeting.

    Attributes:
        role: the kind of the request.
        instructions: instructions for the response that are the same for every meeting; may be empty.
        transcript_lines: the transcript in reading order, one `speaker: text` a line.
        task: the task for this meeting.
        language: the response's language, as a tag; `und` leaves it to the instructions.
        schema: a JSON schema that the response must match; None for text.
        max_tokens: maximum length of the response. A longer one is cut off.
        temperature: the sampling temperature, from 0 (the most probable response) to 2.

    Raises:
        InvalidInputError: a field is invalid.
    """

    team_id: str
    meeting_id: str
    role: InsightRole
    instructions: str
    transcript_lines: tuple[str, ...]
    task: str
    language: str
    schema: Mapping[str, Any] | None = None
    max_tokens: int = 1024
    temperature: float = 0.3

    def __post_init__(self) -> None:
        if not self.task.strip():
            raise InvalidInputError("task", "must not be empty")
        if not langcodes.tag_is_valid(self.language):
            raise InvalidInputError("language", "write a language tag, such as 'en', 'pt' or 'zh-Hant'")
        if self.max_tokens < 1:
            raise InvalidInputError("max_tokens", "must be 1 or more")
        if not 0 <= self.temperature <= _MAX_TEMPERATURE:
            raise InvalidInputError("temperature", "must be from 0 to 2")
        if self.schema is not None:
            _check_schema(self.schema)


@dataclass(frozen=True, slots=True)
class Insight:
    """The response to a request.

    Attributes:
        text: the model's text.
        data: the text parsed as JSON that matches the requested schema; None without a schema.
        engine: name and version of the engine.
        prompt_tokens: tokens of all prompts that the task took, estimated if the engine doesn't count them.
        completion_tokens: tokens of all completions that the task took, estimated if the engine doesn't count them.
        part_count: number of parts into which the transcript was split; 1 if it was processed as a whole.
        finish: `stop` if the response is complete; `length` if it, or the notes on a part, was cut off.
    """

    text: str
    data: Any
    engine: str
    prompt_tokens: int
    completion_tokens: int
    part_count: int
    finish: Literal["stop", "length"]


def _check_schema(schema: Mapping[str, Any]) -> None:
    plain = dict(schema)
    try:
        validator_for(plain).check_schema(plain)
    except SchemaError as error:
        raise InvalidInputError("schema", f"must be a JSON schema; see its {error.json_path}") from None
