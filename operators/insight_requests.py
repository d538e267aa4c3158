"""What a language model is asked about a meeting, and what it answers: a note, a summary, an answer in a chat."""

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
    """Who waits for the answer: nobody does for an `insight`, somebody for a `chat`."""

    INSIGHT = "insight"
    CHAT = "chat"


@dataclass(frozen=True, slots=True)
class InsightRequest:
    """A task about one meeting.

    Attributes:
        instructions: how the answer is to be, for every meeting alike; may be empty.
        material: the transcript in reading order, a line each as `speaker: text`.
        task: what is asked of this meeting.
        language: of the answer, as a tag.
        schema: a JSON schema that the answer must fit; None for text.
        max_tokens: where an answer that does not end is cut off.
        temperature: 0 gives the most probable answer, more gives more variety.

    Raises:
        InvalidInputError: a field can't be meant so.
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
            raise InvalidInputError("task", "say what is asked")
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
    """The answer to a request.

    Attributes:
        text: as the model wrote it.
        data: what the text says as JSON, where a schema was asked for: it fits it. None otherwise.
        engine: name and version of what wrote it.
        prompt_tokens, tokens: that all the work took, of questions and of answers; 0 where the engine does not count.
        parts: of how many parts the transcript was read; 1 where it was read whole.
        finish: `stop`: it is whole; `length`: it, or notes on a part that it was made of, was cut off.
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
