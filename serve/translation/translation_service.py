"""The translation service: it answers a request with a translation, or with the reason why there is none."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from cachetools import LRUCache
from ray.serve import metrics
from structlog.contextvars import bound_contextvars

from operators.engine_config import EngineConfig, parse_engine_config
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
"""Maximum length of an utterance whose translation doesn't depend on context, in words and in characters. The last limit is for
scripts without spaces."""

CacheKey = tuple[str, str, str, str, tuple[GlossaryEntry, ...], tuple[GlossaryEntry, ...], str]
"""The key of a cached answer: team, source language, target language, text, glossary, terms, style."""


class TranslationService:
    """Answers translation requests with one engine. It never logs transcript text.

    Args:
        make_engine: makes the engine, in the process that uses it.
        cache_size: maximum number of cached answers to short utterances; 0 caches none.
        swap_engine: replaces the remote engine while it is in use, and returns whether it changed; None if the engine never
            changes.
    """

    def __init__(
        self,
        make_engine: Callable[[], TranslationEngine],
        cache_size: int,
        swap_engine: Callable[[EngineConfig], bool] | None = None,
    ) -> None:
        self._engine = make_engine()
        self._swap_engine = swap_engine
        self._detector = LanguageDetector()
        self._cache = LRUCache[CacheKey, str](cache_size)
        self._health_check = EngineHealthCheck(self._engine.check_health)
        self._translator = RepairingTranslator(self._engine, self._health_check.record_output)
        self._answers = metrics.Counter(
            "parley_translations",
            "Answered translation requests, by status",
            tag_keys=("status", "language", "cached"),  # pyright: ignore[reportArgumentType] - typed for one key only
        )
        self._seconds = metrics.Histogram(
            "parley_translation_seconds",
            "Time to answer a translation request",
            boundaries=LATENCY_BUCKETS_S,
            tag_keys=("language",),
        )

    async def reconfigure(self, engine: dict[str, Any]) -> None:
        """Swap the remote engine. Serve calls this with the engine's configuration when a replica starts and when it changes.

        Args:
            engine: the engine's configuration.

        Raises:
            SetupError: the engine can't be made; the one before stays in use.
        """
        if self._swap_engine is not None and self._swap_engine(parse_engine_config(engine)):
            self._cache.clear()

    async def translate(self, request: TranslationRequest) -> Translation:
        """Translate a sentence.

        Args:
            request: the sentence, with its target language and context.

        Returns:
            The answer. An `untranslated` answer is final: another attempt would give the same.

        Raises:
            UnavailableError: the engine can't answer now; a later attempt may succeed.
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
        """Check that the engine produces tokens. Serve replaces a replica after three failures in a row.

        Raises:
            UnavailableError: the engine doesn't work or is unresponsive; see `serve.engines.health_check`.
        """
        await self._health_check.check()

    async def check_ready(self) -> None:
        """Check that a request would be answered now.

        Raises:
            UnavailableError: the server refuses every request or loads its model, or as for `check_health`.
        """
        if problem := await self.problem():
            raise UnavailableError(problem)
        await self.check_health()

    async def problem(self) -> str:
        """Return why the engine can't answer at the moment, in words; empty if no problem is known."""
        return problem_of(self._engine) or ""

    async def close(self) -> None:
        """Close the engine. A service whose engine could not be made has none."""
        if hasattr(self, "_engine"):
            await self._engine.close()

    async def _translate_request(self, request: TranslationRequest) -> Translation:
        source = request.source_language
        if source is None or has_wrong_script(request.text, source):
            source = self._detect_language(request)
        if source is None and not any(character.isalpha() for character in request.text):
            return self._same_language(request)
        if source is None:
            return self._untranslated("its language could not be detected")
        refined_source = refine_chinese_tag(source, request.text)
        if language_and_script(refined_source) == language_and_script(request.language):
            return self._same_language(request)
        # An engine may support both forms of Chinese under one tag.
        if self._engine.supports(refined_source, request.language) or language_and_script(
            source
        ) == language_and_script(request.language):
            source = refined_source
        if not self._engine.supports(source, request.language):
            return self._untranslated(f"no model translates {source} to {request.language}")
        return await self._translate_from(request, source)

    async def _translate_from(self, request: TranslationRequest, source: str) -> Translation:
        # The meeting's glossary and style change the translation, so they are part of the key.
        request_parts = (request.text, request.glossary, request.terms_in_text, request.style)
        key = (request.team_id, source, request.language, *request_parts)
        cached_text = self._cache.get(key)
        if cached_text is not None:
            return Translation(CaptionStatus.TRANSLATED, cached_text, self._engine_label, cached=True)
        # The engine may be swapped during this call.
        label = self._engine_label
        try:
            attempt = await self._translator.translate(to_utterance(request, source))
        except NonRetryableError as error:
            return Translation(CaptionStatus.UNTRANSLATED, None, label, reason=str(error))
        if (
            self._cache.maxsize
            and not request.is_draft
            and not attempt.warnings
            and label == self._engine_label
            and _is_cacheable(request.text, source)
        ):
            self._cache[key] = attempt.text
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
    """Whether a text's translation is the same in any context."""
    max_characters = (
        _MAX_CACHED_CHARS_WITHOUT_SPACES if base_language(language) in LANGUAGES_WITHOUT_SPACES else _MAX_CACHED_CHARS
    )
    return len(text.split()) <= _MAX_CACHED_WORDS and len(text) <= max_characters


def to_utterance(request: TranslationRequest, source: str) -> Utterance:
    """Build the engine's request from a translation request with a known source language."""
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
