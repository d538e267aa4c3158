"""Validated fields, which entries, configurations and the API share.

Arrival times are whole milliseconds since the Unix epoch. Speech times are seconds from the meeting's start.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, cast

import langcodes
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
)

from operators.characters import is_blank, normalize_name, require_storable
from operators.errors import InvalidInputError

MAX_CHUNK_CHARS = 20_000
"""Maximum length of a chunk: a quarter of an hour of speech."""
MAX_SPEECH_S = 7 * 24 * 3600.0
"""The latest speech time, in seconds: a week after the meeting's start."""
MAX_LANGUAGE_TAG_CHARS = 60
"""Maximum length of a language tag. RFC 5646 (4.4.1) requires support of 35 characters."""


def normalize_language_tag(tag: str) -> str:
    """Check and normalize a BCP 47 language tag (`pt-br` becomes `pt-BR`).

    Raises:
        ValueError: the text is not a language tag.
    """
    if len(tag) > MAX_LANGUAGE_TAG_CHARS:
        raise ValueError(
            f"must be a language tag of at most {MAX_LANGUAGE_TAG_CHARS} characters, such as 'en', 'pt' or 'zh-Hant'"
        )
    if not langcodes.tag_is_valid(tag):
        raise ValueError(f"{tag!r} is not a language tag; write one such as 'en', 'pt' or 'zh-Hant'")
    # One pass may replace the region, and the next one the language with it. A stored tag must not change when it is read.
    while (standard := langcodes.standardize_tag(tag)) != tag:
        tag = standard
    return tag


def _normalize_source_language(tag: str) -> str:
    return tag if tag == "auto" else normalize_language_tag(tag)


def require_non_blank(text: str) -> str:
    """Check that a text is storable and not blank.

    Raises:
        ValueError: it isn't.
    """
    if not text.strip():
        raise ValueError("must not be blank")
    return require_storable(text)


def _normalize_speaker(text: str) -> str:
    require_non_blank(text)
    if is_blank(text):
        raise ValueError("must have visible characters")
    name = normalize_name(text)
    # NFC expands some characters to three.
    if len(name) > MAX_NAME_CHARS:
        raise ValueError(f"must have no more than {MAX_NAME_CHARS} characters in Unicode's form NFC")
    return name


def _normalize_sentence(text: str) -> str:
    require_storable(text)
    if is_blank(text):
        raise ValueError("must have visible characters")
    sentence = " ".join(text.split())
    if any(unicodedata.category(character) == "Cc" for character in sentence):
        raise ValueError("must not contain control characters")
    return sentence


def _require_speech_time(value: float) -> float:
    if not math.isfinite(value) or not 0 <= value <= MAX_SPEECH_S:
        raise ValueError("must be seconds from the meeting's start, from 0 to a week")
    return value


Language = Annotated[str, AfterValidator(normalize_language_tag)]
SourceLanguage = Annotated[str, AfterValidator(_normalize_source_language)]
MAX_NAME_CHARS = 200
"""Maximum length of an id or a name."""
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS), AfterValidator(require_non_blank)]
SpeakerLabel = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS), AfterValidator(_normalize_speaker)]
"""A speaker's name or id: trimmed, with single spaces, in NFC. Different encodings of a name are equal."""
SentenceText = Annotated[str, Field(min_length=1, max_length=MAX_CHUNK_CHARS), AfterValidator(_normalize_sentence)]
"""A user's text of a sentence: on one line, with single spaces, and without control characters."""
MAX_KEY_CHARS = 60
"""Maximum length of a field's name in an error message."""
MAX_TITLE_CHARS = 500
"""Maximum length of a meeting's title."""
Title = Annotated[str, Field(max_length=MAX_TITLE_CHARS), AfterValidator(require_storable)]
SpeechTime = Annotated[float, AfterValidator(_require_speech_time)]
MAX_INSTANT_MS = 253_402_300_799_000
EpochMs = Annotated[int, Field(ge=0, le=MAX_INSTANT_MS)]
"""Milliseconds since the Unix epoch, up to the year 9999."""


class StrictModel(BaseModel):
    """Base class of the values that cross a boundary: immutable, without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def drop_null_fields(value: Any) -> Any:
    """Return an object without its fields that are null. Pydantic takes the first alias that is present, null or not."""
    if not isinstance(value, Mapping):
        return value
    return {name: item for name, item in cast("Mapping[Any, Any]", value).items() if item is not None}


def to_invalid_input_error(error: ValidationError) -> InvalidInputError:
    """Convert pydantic's first problem to a Parley error, without the value, because it may be transcript text."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    return InvalidInputError(format_field_path(first["loc"]), message)


def format_field_path(parts: Iterable[str | int]) -> str:
    """Format a field's path as its sender wrote it. Long parts are cut, because an unknown key may be any text."""
    return ".".join(str(part)[:MAX_KEY_CHARS].encode("utf-8", "backslashreplace").decode() for part in parts)
