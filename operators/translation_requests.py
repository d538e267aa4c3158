"""The requests to the translation service, and its responses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class ContextSentence:
    """A sentence before the one to translate. `translation` is its displayed translation, if known."""

    sentence_id: str
    speaker: str
    text: str
    translation: str | None = None


@dataclass(frozen=True, slots=True, order=True)
class GlossaryEntry:
    """A term of the glossary, and its translation in the requested language."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class TranslationRequest:
    """A request to translate one sentence into one language.

    Attributes:
        language: the target language's tag.
        source_language: a language tag, or None to detect the language.
        context: the sentences before it, in reading order.
        glossary: all the meeting's terms in this language, sorted. They are the same for every sentence, so that prompts
            share a prefix. Empty if there are too many for a prompt.
        terms_in_text: the terms that this sentence contains.
        style: the style of the meeting's translations, in words.
        previous_translation: the translation of an earlier revision. The new one should change as little of it as possible.
        is_draft: whether the sentence has not ended yet. The translation is shown until it has.
    """

    team_id: str
    meeting_id: str
    sentence_id: str
    revision: int
    language: str
    source_language: str | None
    text: str
    context: tuple[ContextSentence, ...] = ()
    glossary: tuple[GlossaryEntry, ...] = ()
    terms_in_text: tuple[GlossaryEntry, ...] = ()
    style: str = ""
    previous_translation: str | None = None
    is_draft: bool = False


class CaptionStatus(StrEnum):
    """The status of a sentence's translation into one language. Every status except `pending` is final."""

    PENDING = "pending"
    TRANSLATED = "translated"
    SAME = "same"
    UNTRANSLATED = "untranslated"


@dataclass(frozen=True, slots=True)
class Translation:
    """The response to a request.

    Attributes:
        status: `translated`, `same` (the sentence is in the target language already) or `untranslated` (it can't be
            translated).
        text: the translation; the source text for `same`; None for `untranslated`.
        engine: name and version of the engine.
        reason: the reason of `untranslated`.
        cached: whether the translation comes from the cache of short utterances.
        warnings: possible errors of the translation, in words for the reader, such as a missing term or number.
    """

    status: CaptionStatus
    text: str | None
    engine: str
    reason: str | None = None
    cached: bool = False
    warnings: tuple[str, ...] = ()


Translate = Callable[[TranslationRequest], Awaitable[Translation]]
"""The translation service, as its callers see it. It raises `UnavailableError` for transient failures."""
