"""The configuration of a meeting: its languages, context, glossary and style."""

from __future__ import annotations

import unicodedata
from enum import StrEnum
from typing import Annotated, Any, cast
from uuid import UUID

from pydantic import (
    AfterValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from operators.characters import require_storable
from operators.fields import MAX_NAME_CHARS, Language, SourceLanguage, StrictModel, require_non_blank

MAX_GLOSSARY_TERMS = 500
"""Maximum number of terms of a glossary."""
MAX_GLOSSARY_CHARS = 64_000
"""Maximum length of a glossary, because each commit of its meeting writes it as part of the state."""


class Term(StrictModel):
    """A term of a meeting's glossary.

    `translations` has the term's translation by language. A base language applies to its varieties: `pt` to `pt-BR`. In any
    other language the term is kept if `do_not_translate` is set; otherwise the model translates it.
    """

    term: Annotated[str, Field(max_length=MAX_NAME_CHARS), AfterValidator(require_non_blank)]
    translations: Annotated[
        dict[Language, Annotated[str, Field(max_length=MAX_NAME_CHARS), AfterValidator(require_non_blank)]],
        Field(max_length=50),
    ] = {}  # noqa: RUF012 - pydantic copies it
    do_not_translate: bool = False
    case_sensitive: bool = False
    """Whether the term matches only with its own case: `IT`, not `it`."""
    whole_word: bool = True
    """Whether the term matches whole words only: `art`, but not the beginning of `artist`."""

    @model_validator(mode="before")
    @classmethod
    def _accept_old_names(cls, value: Any) -> Any:
        # Glossaries that earlier releases stored in the log or in a state have the old names.
        if not isinstance(value, dict):
            return value
        names = {"keep": "do_not_translate", "case": "case_sensitive"}
        return {names.get(name, name): content for name, content in cast("dict[Any, Any]", value).items()}

    def __hash__(self) -> int:
        """Hash the term alone, because a dictionary has no hash. Compiled glossaries are cached by this hash."""
        return hash(self.term)

    def dedupe_key(self) -> tuple[str, bool]:
        """Return the key that distinguishes terms: the text, casefolded unless case-sensitive, and the case sensitivity."""
        words = unicodedata.normalize("NFD", " ".join(self.term.split()))
        return (words if self.case_sensitive else words.casefold()), self.case_sensitive


def _check_glossary(glossary: tuple[Term, ...]) -> tuple[Term, ...]:
    known: dict[tuple[str, bool], int] = {}
    for number, term in enumerate(glossary, 1):
        before = known.setdefault(term.dedupe_key(), number)
        if before != number:
            raise ValueError(f"must not repeat a term: number {number} repeats number {before}")
    size = sum(len(term.term) + sum(map(len, term.translations.values())) for term in glossary)
    if size > MAX_GLOSSARY_CHARS:
        raise ValueError(f"must have no more than {MAX_GLOSSARY_CHARS} characters in all; it has {size}")
    return glossary


Glossary = Annotated[tuple[Term, ...], Field(max_length=MAX_GLOSSARY_TERMS), AfterValidator(_check_glossary)]
Style = Annotated[str, Field(max_length=MAX_NAME_CHARS), AfterValidator(require_storable)]
MAX_GLOSSARIES = 10
"""Maximum number of glossaries that are attached to a meeting."""
MAX_TARGET_LANGUAGES = 50
"""Maximum number of a meeting's target languages. Each sentence is requested in every one of them."""
TargetLanguages = Annotated[tuple[Language, ...], Field(max_length=MAX_TARGET_LANGUAGES)]


class MeetingConfigSummary(StrictModel):
    """A meeting's config without the glossary, which may have hundreds of terms. Used in lists."""

    source_language: SourceLanguage = "auto"
    target_languages: TargetLanguages = ()
    context_sentences: int = Field(default=3, ge=0, le=20)
    """Number of previous sentences, of any speaker, that a translation request has as context."""
    context_of_speaker: int = Field(default=2, ge=0, le=20)
    """Number of the same speaker's previous sentences in the context, even if others spoke in between."""
    style: Style = ""
    """The style of the translations, in words: `formal`, `plain words, for engineers`."""
    glossary_ids: Annotated[tuple[UUID, ...], Field(max_length=MAX_GLOSSARIES)] = ()
    """The attached glossaries of the team, in the order of precedence."""
    drafts: bool = True
    """Whether long sentences of a live meeting are translated before they end."""
    notes: bool | None = None
    """Whether running notes are written. When a meeting is opened, null becomes whether an engine serves insights."""
    note_sentences: int = Field(default=10, ge=1, le=50)
    """Number of sentences after which a note is written."""
    note_seconds: int = Field(default=120, ge=10, le=3600)
    """Seconds after which a note is written on fewer sentences, counted from the first of them. A quiet meeting may take up to
    the next tick."""
    note_language: Language | None = None
    """The language of the notes; null for the first target language, or else the spoken one."""

    @field_validator("target_languages", "glossary_ids")
    @classmethod
    def _require_distinct(cls, values: tuple[Any, ...], info: ValidationInfo) -> tuple[Any, ...]:
        if len(set(values)) != len(values):
            noun = "language" if info.field_name == "target_languages" else "glossary"
            raise ValueError(f"must not name a {noun} twice")
        return values


class MeetingConfig(MeetingConfigSummary):
    """A meeting's config: its languages, context and glossary. A change takes effect at its `config` entry in the log.

    `glossary` has the meeting's own terms. `shared_glossary` has those of the attached glossaries (`glossary_ids`), and
    `glossary_versions` the version of each of these glossaries. Parley fills both in.
    """

    glossary: Glossary = ()
    shared_glossary: Glossary = ()
    glossary_versions: Annotated[dict[UUID, int], Field(max_length=MAX_GLOSSARIES)] = {}  # noqa: RUF012 - pydantic copies it

    @property
    def terms(self) -> tuple[Term, ...]:
        """All terms: the meeting's own, then those of the attached glossaries."""
        return self.glossary + self.shared_glossary


class Clock(StrEnum):
    """The source of a meeting's arrival times: the clock of Redis at acceptance, or a recording."""

    LIVE = "live"
    RECORDED = "recorded"
