"""What the translation service is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class ContextSentence:
    """A sentence said before the one to translate. `translation` is what it was shown as, where that is known."""

    sentence_id: str
    speaker: str
    text: str
    translation: str | None = None


@dataclass(frozen=True, slots=True, order=True)
class GlossaryEntry:
    """A term of the glossary, and how the meeting wants it in the language that is asked for."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class TranslationRequest:
    """One sentence to be translated into one language.

    Attributes:
        source_language: a language tag, or None where it is to be detected.
        context: sentences before it, in reading order.
        glossary: the meeting's terms in this language, sorted, whether they are said here or not: the same for every
            sentence. Empty where there are too many of them to be told each time.
        terms: those that are said in this sentence.
        style: how the meeting wants its translations to sound, in words.
        previous: how an earlier revision of the sentence was translated: the new one changes no more of it than it must.
        draft: the sentence is not at its end, and the answer is shown until it is.
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
    """How a sentence stands in a language. All but `pending` are final."""

    PENDING = "pending"
    TRANSLATED = "translated"
    SAME = "same"
    UNTRANSLATED = "untranslated"


@dataclass(frozen=True, slots=True)
class Translation:
    """The answer to a request.

    Attributes:
        status: `translated`, `same` (it is in that language already) or `untranslated` (never will be: see `reason`).
        text: the translation; the source text for `same`; None for `untranslated`.
        engine: name and version of what translated it.
        cached: whether it came from the cache of short utterances.
        doubts: what of the sentence the translation may not have kept, in words for whoever reads it: a term, a number.
    """

    status: CaptionStatus
    text: str | None
    engine: str
    reason: str | None = None
    cached: bool = False
    warnings: tuple[str, ...] = ()


Translate = Callable[[TranslationRequest], Awaitable[Translation]]
"""The translation service, as its callers see it. It raises `UnavailableError` for what may pass."""
