"""A translation engine on top of a language model: it builds the prompt and accepts only valid translations."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from operators.language_names import language_name
from serve.engines.protocol import (
    REASONING_ONLY_MESSAGE,
    Engine,
    Generation,
    Prompt,
    RejectedOutputError,
    RepairHint,
    Utterance,
    problem_of,
)
from serve.engines.sanitizer import sanitize
from serve.text.languages import (
    CERTAIN_SCORE,
    COMMON_MEETING_LANGUAGES,
    CONFIDENT_SCORE,
    base_language,
    confusable_group,
    shared_detector,
)
from serve.text.writing_systems import is_unreadable
from serve.translation.llm.chat_template_tokens import is_unfinished_reasoning, strip_reasoning
from serve.translation.llm.degenerate_output import is_error_message, is_placeholder, is_repetitive
from serve.translation.llm.echo_detection import (
    MIN_DISTINCT_WORDS,
    has_known_latin_words,
    repeats_prompt,
    repeats_source,
)
from serve.translation.llm.labels import is_label, is_note, is_only_label
from serve.translation.llm.output_cleanup import extract_translation, has_wrapper, is_long_enough
from serve.translation.llm.prompts import repair_prompt, translation_prompt
from serve.translation.llm.refusals import is_refusal
from serve.translation.quality.content_language import content_words, detect_other_language

_MIN_WORDS_FOR_CONFIDENT_SCORE = 5
"""Different words from which the detector's confident score suffices; shorter texts need the certain score."""

_MIN_SENTENCE_WORDS = 2
"""Different words, without names, of the shortest sentence that a reader of another script must have translated."""
_MIN_TERM_SCORE = 0.3
"""The detector's score for English from which words may be terms."""

_MAX_WRAPPER_CHARS, _MAX_WRAPPED_RATIO = 160, 3
"""Characters that a wrapper may add to a translation. The maximum length of both, as a multiple of the source text's."""


class LlmTranslator:
    """A translation engine on top of a language model.

    Args:
        engine: the language model's engine. `close` closes it as well.
    """

    def __init__(self, engine: Engine[Prompt]) -> None:
        self._engine = engine
        self._detector = shared_detector()

    @property
    def name(self) -> str:
        """The engine's name."""
        return self._engine.name

    @property
    def version(self) -> str:
        """The engine's version."""
        return self._engine.version

    @property
    def problem(self) -> str | None:
        """The engine's problem; None if none is known."""
        return problem_of(self._engine)

    @property
    def sources(self) -> frozenset[str]:
        """The languages of most meetings."""
        return COMMON_MEETING_LANGUAGES

    def supports(self, source: str, target: str) -> bool:
        """Whether both languages have an English name for the prompt."""
        return not any(language_name(tag).startswith("Unknown language") for tag in (source, target))

    async def generate(self, request: Utterance) -> AsyncGenerator[str | Generation]:
        """Translate an utterance: yield pieces of the answer, and the cleaned whole last.

        Args:
            request: the utterance.

        Raises:
            RejectedOutputError: the answer is no translation.
            NonRetryableError, UnavailableError: as for the engine.
        """
        async with aclosing(self._stream_translation(request, translation_prompt(request))) as stream:
            async for piece in stream:
                yield piece

    async def repair(self, request: Utterance, hint: RepairHint) -> AsyncGenerator[str | Generation]:
        """Translate an utterance again. The prompt describes the defect of the last answer.

        Args:
            request: the utterance.
            hint: the last answer and its defect.

        Raises:
            RejectedOutputError: this answer is no translation either.
            NonRetryableError, UnavailableError: as for the engine.
        """
        async with aclosing(self._stream_translation(request, repair_prompt(request, hint))) as stream:
            async for piece in stream:
                yield piece

    async def check_health(self) -> None:
        """Check that the model produces a token.

        Raises:
            UnavailableError: as for the engine.
        """
        await self._engine.check_health()

    async def close(self) -> None:
        """Close the engine."""
        await self._engine.close()

    async def _stream_translation(self, request: Utterance, prompt: Prompt) -> AsyncGenerator[str | Generation]:
        text = ""
        async with aclosing(self._engine.generate(prompt)) as stream:
            async for piece in stream:
                if isinstance(piece, Generation):
                    try:
                        translation = self._extract_checked(piece, request)
                    except RejectedOutputError as error:
                        error.generation = piece
                        raise
                    yield replace(piece, text=translation)
                else:
                    text += piece
                    if _exceeds_translation(text, request.text) or (
                        "\n" in piece and self._has_extra_lines(text, request)
                    ):
                        raise RejectedOutputError("the model gave more than a translation", "beyond", text)
                    # Reasoning shows that the model works, but doesn't count towards the answer's length.
                    yield "" if is_unfinished_reasoning(text) else piece

    def _has_extra_lines(self, text: str, request: Utterance) -> bool:
        """Whether the first line of an incomplete answer is the whole translation and the next is no part of it.

        Introductions of models are in English or end with a colon.
        """
        source_text = request.text
        if "\n" in source_text or is_unfinished_reasoning(text) or base_language(request.target) == "en":
            return False
        complete_lines = strip_reasoning(text, source_text).strip(" ").rpartition("\n")[0]
        first_line, *other_lines = [line.strip() for line in complete_lines.split("\n") if line.strip()] or [""]
        if (
            not other_lines
            or first_line[-1:] in ":："
            or not is_long_enough(first_line, source_text)
            or extract_translation(first_line, request) != first_line
        ):
            return False
        if (
            is_label(first_line, request)
            or is_note(first_line)
            or "\n" not in extract_translation("\n".join([first_line, *other_lines]), request)
        ):
            return False
        try:
            self._extract_checked(Generation(first_line, self.version, "stop", 0, 0, 0.0, 0.0), request)
        except RejectedOutputError:
            return False
        return self._is_in_language(first_line, request.target, request)

    def _extract_checked(self, generation: Generation, request: Utterance) -> str:
        """Return the translation in an answer, or raise `RejectedOutputError`."""
        if generation.text.strip() and not strip_reasoning(generation.text, request.text).strip():
            raise RejectedOutputError(REASONING_ONLY_MESSAGE, "endless", "")
        if generation.finish == "length":
            raise RejectedOutputError("the model's answer was cut off", "endless", generation.text)
        # Decoded escapes may yield invalid characters.
        text = sanitize(extract_translation(generation.text, request))
        if has_wrapper(text, request):
            raise RejectedOutputError("the model gave more than a translation", "beyond", text)
        if is_repetitive(text, request.text):
            raise RejectedOutputError("the model repeated itself", "endless", text)
        if is_error_message(text, request.text):
            raise RejectedOutputError("the model's server sent an error message as an answer", "error", text)
        if is_only_label(text, request) or any(is_placeholder(each, request.text) for each in (generation.text, text)):
            raise RejectedOutputError("the model gave no text", "empty", text)
        if _has_alphanumerics(request.text) and not _has_alphanumerics(text):
            raise RejectedOutputError("the model gave no text", "empty", text)
        if repeats_prompt(text, request):
            raise RejectedOutputError("the model repeated its prompt", "echo", text)
        if is_refusal(text, request.text, request.source):
            raise RejectedOutputError("the model declined to translate", "refusal", text)
        if is_unreadable(text, request.target):
            if not has_known_latin_words(text, request):
                raise RejectedOutputError(
                    f"the model did not answer in {language_name(request.target)}", "language", text
                )
            if self._is_sentence(text, request):
                raise RejectedOutputError("the model repeated the source text", "echo", text)
        # The detector can't distinguish such languages, and many of their sentences are identical.
        if confusable_group(request.target) == confusable_group(request.source):
            return text
        if repeats_source(text, request) and self._is_in_language(text, request.source, request):
            raise RejectedOutputError("the model repeated the source text", "echo", text)
        other_language = detect_other_language(text, request)
        if other_language is not None:
            raise RejectedOutputError(f"the model answered in {language_name(other_language)}", "language", text)
        return text

    def _is_sentence(self, text: str, request: Utterance) -> bool:
        """Whether words of the source text are more than names and terms, which a reader of another script may read."""
        words = content_words(text, request)
        distinct_count = len(set(words))
        # Terms are in English mostly. The detector doesn't know each language in each script.
        is_foreign = self._detector.scores(" ".join(words))["en"] < _MIN_TERM_SCORE
        return (distinct_count >= MIN_DISTINCT_WORDS and is_foreign) or (
            distinct_count >= _MIN_SENTENCE_WORDS and self._is_in_language(text, request.source, request)
        )

    def _is_in_language(self, text: str, language: str, request: Utterance) -> bool:
        words = content_words(text, request)
        score = self._detector.scores(" ".join(words))[confusable_group(language)]
        return score >= (CONFIDENT_SCORE if len(set(words)) >= _MIN_WORDS_FOR_CONFIDENT_SCORE else CERTAIN_SCORE)


def _exceeds_translation(text: str, source_text: str) -> bool:
    """Whether an incomplete answer has more lines than the source text and is too long for a wrapped translation."""
    max_length = _MAX_WRAPPER_CHARS + _MAX_WRAPPED_RATIO * len(source_text)
    if len(text) <= max_length or "\n" not in text or "\n" in source_text or is_unfinished_reasoning(text):
        return False
    visible = strip_reasoning(text, source_text).strip()
    return len(visible) > max_length and "\n" in visible


def _has_alphanumerics(text: str) -> bool:
    return any(map(str.isalnum, text))
