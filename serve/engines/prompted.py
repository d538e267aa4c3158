"""Makes a translator of a language model: asks by prompt, and lets through only what can be the translation."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from serve.engines.degenerate import is_error, is_nothing, loops
from serve.engines.echoes import only_names, own_words, repeats, repeats_the_prompt
from serve.engines.engine import THOUGHT_ONLY, Engine, Generation, Prompt, Refused, Rejected, Utterance, problem_of
from serve.engines.labels import is_label, is_note
from serve.engines.sanitizer import sanitized
from serve.engines.template_marks import is_reasoning, without_reasoning
from serve.engines.unwrapping import is_half, is_wrapped, unwrapped
from serve.languages import CONFIDENT, SURE, LanguageDetector, base, kin
from serve.prompts import language_name, repair_prompt, translation_prompt
from serve.refusals import declines
from serve.scripts import unreadable

# Meetings are mostly held in these. It only matters to short utterances whose language nobody told.
_LIKELY = frozenset(
    {
        *("ar", "bn", "cs", "da", "de", "el", "en", "es", "fa", "fi", "fr", "he", "hi", "hu", "id", "it"),
        *("ja", "ko", "nl", "no", "pl", "pt", "ro", "ru", "sv", "ta", "th", "tr", "uk", "ur", "vi", "zh"),
    }
)
_LONG = 5
"""Words that were said, in an answer, for which the detector need not be sure: confident is enough."""

_WRAPPERS, _WRAPPED = 160, 3
"""Characters that a translation may have around it, and how many times as long as what was said it may be with them."""


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
    def problem(self) -> str | None:
        """The engine's."""
        return problem_of(self._engine)

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
            Refused: the model gave something else than a translation.
            Unanswerable, Unavailable: as the engine does.
        """
        async with aclosing(self._translated(question, translation_prompt(question))) as answer:
            async for piece in answer:
                yield piece

    async def again(self, question: Utterance, rejected: Rejected) -> AsyncGenerator[str | Generation]:
        """Translate an utterance once more. The model is told what was wrong with its answer.

        Raises:
            Refused: it is no translation, either.
            Unanswerable, Unavailable: as the engine does.
        """
        async with aclosing(self._translated(question, repair_prompt(question, rejected))) as answer:
            async for piece in answer:
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

    async def _translated(self, question: Utterance, prompt: Prompt) -> AsyncGenerator[str | Generation]:
        text = ""
        async with aclosing(self._engine.generate(prompt)) as answer:
            async for piece in answer:
                if isinstance(piece, Generation):
                    try:
                        checked = self._checked(piece, question)
                    except Refused as error:
                        error.whole = piece
                        raise
                    yield replace(piece, text=checked)
                else:
                    text += piece
                    if _goes_on(text, question.text) or ("\n" in piece and self._rambles(text, question)):
                        raise Refused("the model gave more than a translation", "beyond", text)
                    # Reasoning shows that the model works, and says nothing of how long its answer is.
                    yield "" if is_reasoning(text) else piece

    def _rambles(self, text: str, question: Utterance) -> bool:
        """Whether the first line of an answer, as far as it came, is the whole translation, and the next is none of it.

        Models write prefaces in English, or end them with a colon.
        """
        said = question.text
        if "\n" in said or is_reasoning(text) or base(question.target) == "en":
            return False
        complete = without_reasoning(text, said).strip(" ").rpartition("\n")[0]
        first, *others = [line.strip() for line in complete.split("\n") if line.strip()] or [""]
        if not others or first[-1:] in ":：" or not is_half(first, said) or unwrapped(first, question) != first:
            return False
        if is_label(first, question) or is_note(first) or "\n" not in unwrapped("\n".join([first, *others]), question):
            return False
        try:
            self._checked(Generation(first, self.version, "stop", 0, 0, 0.0, 0.0), question)
        except Refused:
            return False
        return self._is_in(first, question.target, question)

    def _checked(self, answer: Generation, question: Utterance) -> str:
        """The translation in an answer."""
        if answer.text.strip() and not without_reasoning(answer.text, question.text).strip():
            raise Refused(THOUGHT_ONLY, "endless", "")
        if answer.finish == "length":
            raise Refused("the model did not come to an end", "endless", answer.text)
        # Escapes that were undone may stand for characters that are no text.
        text = sanitized(unwrapped(answer.text, question))
        if is_wrapped(text, question):
            raise Refused("the model gave more than a translation", "beyond", text)
        if loops(text, question.text):
            raise Refused("the model repeated itself", "endless", text)
        if is_error(text, question.text):
            raise Refused("the model's server sent an error message as an answer", "error", text)
        if is_nothing(answer.text, question.text) or is_nothing(text, question.text):
            raise Refused("the model gave no text", "empty", text)
        if _speaks(question.text) and not _speaks(text):
            raise Refused("the model gave no text", "empty", text)
        if repeats_the_prompt(text, question):
            raise Refused("the model repeated what it was told", "echo", text)
        if declines(text, question.text, question.source):
            raise Refused("the model declined to translate", "refusal", text)
        if unreadable(text, question.target) and not only_names(text, question):
            raise Refused(f"the model did not answer in {language_name(question.target)}", "language", text)
        # The detector can't tell such languages apart, and many of their sentences are the same.
        if kin(question.target) == kin(question.source):
            return text
        if repeats(text, question) and self._is_in(text, question.source, question):
            raise Refused("the model repeated what was said", "echo", text)
        found = self._other_language(text, question)
        if found is not None:
            raise Refused(f"the model answered in {language_name(found)}", "language", text)
        return text

    def _is_in(self, text: str, language: str, question: Utterance) -> bool:
        words = own_words(text, question)
        score = self._detector.scores(" ".join(words))[kin(language)]
        return score >= (CONFIDENT if len(set(words)) >= _LONG else SURE)

    def _other_language(self, text: str, question: Utterance) -> str | None:
        """The language of a text that is beyond doubt in another than it should be, names or not, and whatever it borrows."""
        wanted, words = kin(question.target), own_words(text, question)
        found = self._detector.sure(text)
        # Rarer languages are taken for their neighbours.
        if wanted not in _LIKELY and found != kin(question.source):
            return None
        if found in (None, wanted) or found != self._detector.sure(" ".join(words)):
            return None
        said = set(own_words(question.text, question))
        scores = self._detector.scores(" ".join(word for word in words if word not in said))
        return found if scores[found] > scores[wanted] else None


def _goes_on(text: str, said: str) -> bool:
    """Whether an answer, as far as it came, has more lines than what was said, and is too long to be wrapped only."""
    most = _WRAPPERS + _WRAPPED * len(said)
    if len(text) <= most or "\n" not in text or "\n" in said or is_reasoning(text):
        return False
    visible = without_reasoning(text, said).strip()
    return len(visible) > most and "\n" in visible


def _speaks(text: str) -> bool:
    return any(map(str.isalnum, text))
