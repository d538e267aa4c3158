"""Makes a translator of a language model: asks by prompt, and lets through only what can be the translation."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from serve.engines.engine import Engine, Generation, Prompt, Unanswerable, Utterance
from serve.languages import WRITTEN_TOGETHER, LanguageDetector, base, unreadable
from serve.prompts import language_name, translation_prompt

# Meetings are mostly held in these. It only matters to short utterances whose language nobody told.
_LIKELY = frozenset(
    {
        *("ar", "bn", "cs", "da", "de", "el", "en", "es", "fa", "fi", "fr", "he", "hi", "hu", "id", "it"),
        *("ja", "ko", "nl", "no", "pl", "pt", "ro", "ru", "sv", "ta", "th", "tr", "uk", "ur", "vi", "zh"),
    }
)
_QUOTES = {'"': '"', "“": "”", "«": "»", "„": "“", "'": "'", "‘": "’", "「": "」"}
_LABEL = re.compile(r"^(?:translation|translate)\s*:\s*", re.IGNORECASE)
"""What models like to put before an answer: a word of the prompt's."""
_LETTERS_TO_JUDGE = 12
"""Letters of an answer from which on one can tell whether it is in the language that was spoken."""


class PromptedTranslator:
    """A language model as a translator.

    Args:
        engine: the model. It is closed with the translator.
    """

    def __init__(self, engine: Engine[Prompt]) -> None:
        self._engine = engine
        self._detector = LanguageDetector()

    @property
    def name(self) -> str:
        """The engine's."""
        return self._engine.name

    @property
    def version(self) -> str:
        """The engine's."""
        return self._engine.version

    @property
    def sources(self) -> frozenset[str]:
        """The languages that meetings are mostly held in."""
        return _LIKELY

    def supports(self, source: str, target: str) -> bool:
        """Whether both languages have a name that the model can be told."""
        return not any(language_name(tag).startswith("Unknown language") for tag in (source, target))

    async def generate(self, question: Utterance) -> AsyncGenerator[str | Generation]:
        """Translate an utterance. The whole is put right, and refused if it can't be the translation.

        Raises:
            Unanswerable: the model gave something else than a translation.
            Unavailable: as the engine does.
        """
        text = ""
        async with aclosing(self._engine.generate(translation_prompt(question))) as answer:
            async for piece in answer:
                if isinstance(piece, Generation):
                    yield replace(piece, text=self._checked(piece, question))
                else:
                    text += piece
                    if "\n" in text.strip() and "\n" not in question.text:
                        raise Unanswerable("the model gave more than a translation")
                    yield piece

    async def check_health(self) -> None:
        """Have the model answer a token.

        Raises:
            Unavailable: as the engine does.
        """
        await self._engine.check_health()

    async def close(self) -> None:
        """Close the engine."""
        await self._engine.close()

    def _checked(self, answer: Generation, question: Utterance) -> str:
        """The translation in an answer."""
        if answer.finish == "length":
            raise Unanswerable("the model did not come to an end")
        text = answer.text.strip()
        if not _LABEL.match(question.text):
            text = _LABEL.sub("", text)
        text = _unquoted(text, question.text)
        wanted, spoken = base(question.target), base(question.source)
        if wanted == spoken:
            return text
        if unreadable(text, question.target):
            raise Unanswerable(f"the model did not answer in {language_name(question.target)}")
        if _says_something(question.text, spoken) and text.casefold() == question.text.strip().casefold():
            raise Unanswerable("the model repeated what was said")
        found = self._detector.sure(text)
        if found is None and sum(map(str.isalpha, text)) >= _LETTERS_TO_JUDGE:
            likely = self._detector.detect(text, (), frozenset({spoken, wanted}))
            found = spoken if likely == spoken else None
        if found not in (None, wanted):
            raise Unanswerable(f"the model answered in {language_name(found)}")
        return text


def _says_something(text: str, language: str) -> bool:
    """Whether an utterance is more than a word or a name, which may well be the same in another language."""
    if language in WRITTEN_TOGETHER:
        return sum(map(str.isalpha, text)) > 3
    words = text.split()
    return len(words) > 1 and any(word[:1].islower() for word in words)


def _unquoted(text: str, said: str) -> str:
    """An answer without the quotation marks that the model put around all of it."""
    closing, inner = _QUOTES.get(text[:1]), text[1:-1]
    if closing is None or len(text) < 2 or text[-1] != closing or said.strip()[:1] in _QUOTES:
        return text
    return text if closing in inner or text[0] in inner else inner.strip()
