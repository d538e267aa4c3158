"""The translation service: one question, one honest answer. Where it can't translate, it says so and why."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from ray.serve import metrics
from structlog.contextvars import bound_contextvars

from operators.engine_config import EngineConfig as Spec
from operators.engine_config import parse_engine_config
from operators.errors import UnavailableError
from operators.translation_requests import CaptionStatus, GlossaryEntry, Translation, TranslationRequest
from serve.engines.health_check import EngineHealthCheck
from serve.engines.protocol import NonRetryableError, TranslationEngine, Utterance, problem_of
from serve.text.languages import (
    LANGUAGES_WITHOUT_SPACES,
    LanguageDetector,
    base_language,
    has_wrong_script,
    language_and_script,
    refine_chinese_tag,
)
from serve.translation.repair import LATENCY_BUCKETS_S, RepairingTranslator

_MAX_CACHED_WORDS = 4
_MAX_CACHED_CHARS = 40
_MAX_CACHED_CHARS_WITHOUT_SPACES = 8
"""What an utterance has at most that is translated the same whatever was said before it; the last in scripts without spaces."""

CacheKey = tuple[str, str, str, str, tuple[GlossaryEntry, ...], tuple[GlossaryEntry, ...], str]
"""Of an answer: team, source language, target language, text, glossary, terms, style."""


class TranslationService:
    """Answers translation requests by one engine. Nothing of what was said is ever logged.

    Args:
        make_engine: makes the engine, in the process that is to use it.
        cached: how many short utterances are remembered.
        change: makes it another engine elsewhere while it is in use, and says whether it is another one; None where it
            stays what it is.
    """

    def __init__(
        self,
        make_engine: Callable[[], TranslationEngine],
        cache_size: int,
        swap_engine: Callable[[Spec], bool] | None = None,
    ) -> None:
        self._engine = make_engine()
        self._swap_engine = swap_engine
        self._detector = LanguageDetector()
        self._cache = _TranslationCache(cache_size)
        self._health_check = EngineHealthCheck(self._engine.check_health)
        self._translator = RepairingTranslator(self._engine, self._health_check.record_output)
        self._answers = metrics.Counter(
            "parley_translations",
            "Requests answered, by how",
            tag_keys=("status", "language", "cached"),  # pyright: ignore[reportArgumentType] - typed for one key only
        )
        self._seconds = metrics.Histogram(
            "parley_translation_seconds",
            "Time to answer a request",
            boundaries=LATENCY_BUCKETS_S,
            tag_keys=("language",),
        )

    async def reconfigure(self, engine: dict[str, Any]) -> None:
        """Serve tells each replica which engine elsewhere is its own, at its start and when that changes.

        Raises:
            SetupError: it can't be made; the one before stays.
        """
        if self._swap_engine is not None and self._swap_engine(parse_engine_config(engine)):
            self._cache.clear()

    async def translate(self, request: TranslationRequest) -> Translation:
        """Translate a sentence.

        Returns:
            The answer. One that is `untranslated` is final: asking again gives the same.

        Raises:
            UnavailableError: not now; trying again later is right.
        """
        started_at = time.monotonic()
        with bound_contextvars(meeting=request.meeting_id, sentence=request.sentence_id):
            translation = await self._translate_request(request)
        self._seconds.observe(time.monotonic() - started_at, tags={"language": request.language})
        self._answers.inc(
            tags={
                "status": translation.status.value,
                "language": request.language,
                "cached": str(translation.cached).lower(),
            }
        )
        return translation

    async def check_health(self) -> None:
        """Serve replaces a replica whose engine gives no token, three times in a row.

        Raises:
            UnavailableError: the engine does not work, or is silent; see `serve.engines.health_check`.
        """
        await self._health_check.check()

    async def check_ready(self) -> None:
        """Tell whether a question would be answered now.

        Raises:
            UnavailableError: the server refuses every question or loads its model, or as `check_health` does.
        """
        if problem := await self.problem():
            raise UnavailableError(problem)
        await self.check_health()

    async def problem(self) -> str:
        """Why the engine answers nothing at the moment, in words; empty where nothing is known against it."""
        return problem_of(self._engine) or ""

    async def __del__(self) -> None:
        # Serve awaits this when it stops the replica, even one whose engine could not be made.
        if hasattr(self, "_engine"):
            await self._engine.close()

    async def _translate_request(self, request: TranslationRequest) -> Translation:
        source = request.source_language
        if source is None or has_wrong_script(request.text, source):
            source = self._detect_language(request)
        if source is None and not any(character.isalpha() for character in request.text):
            return self._same_language(request)
        if source is None:
            return self._untranslated("its language could not be told")
        refined_source = refine_chinese_tag(source, request.text)
        if language_and_script(refined_source) == language_and_script(request.language):
            return self._same_language(request)
        # A model of both forms of Chinese may know them by one name.
        if self._engine.supports(refined_source, request.language) or language_and_script(
            source
        ) == language_and_script(request.language):
            source = refined_source
        if not self._engine.supports(source, request.language):
            return self._untranslated(f"no model translates {source} to {request.language}")
        return await self._translate_from(request, source)

    async def _translate_from(self, request: TranslationRequest, source: str) -> Translation:
        # What a meeting asks of all its translations is a part of the question.
        request_parts = (request.text, request.glossary, request.terms_in_text, request.style)
        key = (request.team_id, source, request.language, *request_parts)
        cached_text = self._cache.get(key)
        if cached_text is not None:
            return Translation(CaptionStatus.TRANSLATED, cached_text, self._engine_label, cached=True)
        # The engine may become another one while it works on this.
        label = self._engine_label
        try:
            attempt = await self._translator.translate(to_utterance(request, source))
        except NonRetryableError as error:
            return Translation(CaptionStatus.UNTRANSLATED, None, label, reason=str(error))
        if (
            not request.is_draft
            and not attempt.warnings
            and label == self._engine_label
            and _is_cacheable(request.text, source)
        ):
            self._cache.put(key, attempt.text)
        return Translation(CaptionStatus.TRANSLATED, attempt.text, label, warnings=tuple(map(str, attempt.warnings)))

    @property
    def _engine_label(self) -> str:
        return f"{self._engine.name} {self._engine.version}"

    def _detect_language(self, request: TranslationRequest) -> str | None:
        likely = self._engine.sources | {base_language(request.language)}
        return self._detector.detect(request.text, [sentence.text for sentence in request.context], likely)

    def _same_language(self, request: TranslationRequest) -> Translation:
        return Translation(CaptionStatus.SAME, request.text, self._engine_label)

    def _untranslated(self, reason: str) -> Translation:
        return Translation(CaptionStatus.UNTRANSLATED, None, self._engine_label, reason=reason)


def _is_cacheable(text: str, language: str) -> bool:
    """Whether a text is translated the same whatever was said before it."""
    max_characters = (
        _MAX_CACHED_CHARS_WITHOUT_SPACES if base_language(language) in LANGUAGES_WITHOUT_SPACES else _MAX_CACHED_CHARS
    )
    return len(text.split()) <= _MAX_CACHED_WORDS and len(text) <= max_characters


def to_utterance(request: TranslationRequest, source: str) -> Utterance:
    """What an engine is asked for a request, whose source language is known."""
    return Utterance(
        text=request.text,
        source=source,
        target=request.language,
        context=request.context,
        glossary=request.glossary,
        terms=request.terms_in_text,
        style=request.style,
        previous=request.previous_translation,
        draft=request.is_draft,
    )


class _TranslationCache:
    """The answers used last."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._translations: OrderedDict[CacheKey, str] = OrderedDict()

    def get(self, key: CacheKey) -> str | None:
        translation = self._translations.get(key)
        if translation is not None:
            self._translations.move_to_end(key)
        return translation

    def clear(self) -> None:
        self._translations.clear()

    def put(self, key: CacheKey, translation: str) -> None:
        self._translations[key] = translation
        self._translations.move_to_end(key)
        if len(self._translations) > self._size:
            self._translations.popitem(last=False)
