"""Requests a translation from an engine and checks the answer. A defective answer may be repaired in a second attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass

from ray.serve import metrics

from operators.errors import UnavailableError
from serve.engines.protocol import (
    Generation,
    NonRetryableError,
    RejectedOutputError,
    RepairHint,
    SupportsRepair,
    TokenStream,
    TranslationEngine,
    Utterance,
)
from serve.metric_tags import metric_tag
from serve.translation.quality.checks import QualityWarning, find_quality_warnings

_MAX_LENGTH_RATIO = 10
"""Maximum length of an answer as a multiple of the source's. Real translations stay far below in every language pair."""
_REPAIR_TIMEOUT_S = 2.0
"""Seconds for the repair of a translation with warnings. The caller waits meanwhile."""
_MIN_LENGTH_LIMIT_CHARS = 80
"""Characters that any answer may have: a short word may become a long phrase."""

LATENCY_BUCKETS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]
"""Bucket boundaries of the latency histograms, in seconds."""


@dataclass(frozen=True, slots=True)
class TranslationAttempt:
    """An engine's answer to an utterance.

    Attributes:
        text: the answer; incomplete if it was stopped.
        warnings: quality warnings about the translation.
        rejection: why the answer is no translation; None if it is one.
    """

    text: str
    warnings: tuple[QualityWarning, ...] = ()
    rejection: RejectedOutputError | None = None

    @property
    def is_acceptable(self) -> bool:
        """Whether the answer needs no repair: a second attempt would not improve it."""
        return self.rejection is None and not any(
            warning.expected is not None or warning.kind == "language" for warning in self.warnings
        )

    @property
    def repair_hint(self) -> RepairHint:
        """The hint for the engine on what to repair."""
        defect = None if self.rejection is None else self.rejection.defect
        if any(warning.kind == "language" for warning in self.warnings):
            defect = "language"
        return RepairHint(
            self.text, defect, tuple(warning.expected for warning in self.warnings if warning.expected is not None)
        )


class RepairingTranslator:
    """Requests a translation from an engine, and its repair if needed.

    Args:
        engine: the translation engine.
        on_output: called for each piece of an answer.
    """

    def __init__(self, engine: TranslationEngine, on_output: Callable[[], None]) -> None:
        self._engine = engine
        self._on_output = on_output
        self._first_output_seconds = metrics.Histogram(
            "parley_translation_first_seconds",
            "Time to the first piece of an engine's answer",
            boundaries=LATENCY_BUCKETS_S,
            tag_keys=("model",),
        )
        self._tokens = metrics.Counter(
            "parley_translation_tokens",
            "Tokens of prompts and answers, if the engine counts them; cached: prompt tokens from the prefix cache",
            tag_keys=("model", "kind"),  # pyright: ignore[reportArgumentType] - typed for one key only
        )
        self._replaced_characters = metrics.Counter(
            "parley_translation_replaced_characters",
            "Invalid characters in answers that were replaced",
            tag_keys=("model",),
        )
        self._rejections = metrics.Counter(
            "parley_translation_refusals", "Answers rejected as a translation, by defect", tag_keys=("defect",)
        )
        self._repairs = metrics.Counter(
            "parley_translation_repairs",
            "Repairs of defective answers, by outcome",
            tag_keys=("outcome",),
        )
        self._terms = metrics.Counter(
            "parley_glossary_terms",
            "Glossary terms expected in translations, by whether they are there",
            tag_keys=("kept",),
        )

    async def translate(self, utterance: Utterance) -> TranslationAttempt:
        """Translate an utterance.

        An engine that supports repair gets a second attempt at a defective answer. Drafts get none, because the next draft is
        already on
        its way.

        Args:
            utterance: the utterance.

        Returns:
            The better of the attempts: the one with fewer warnings.

        Raises:
            NonRetryableError: all attempts were rejected, or the engine can't translate this.
            UnavailableError: the engine can't answer now; a later attempt may succeed.
        """
        best = await self._try_once(self._engine.generate(utterance), utterance)
        if not best.is_acceptable and not utterance.draft and isinstance(self._engine, SupportsRepair):
            best = await self._repair(self._engine, best, utterance)
        if best.rejection is not None:
            raise best.rejection
        if not utterance.draft:
            missing_terms = sum(warning.kind == "term" for warning in best.warnings)
            for kept, count in (("true", len(utterance.terms) - missing_terms), ("false", missing_terms)):
                if count:
                    self._terms.inc(count, tags={"kept": kept})
        return best

    async def _repair(
        self, engine: SupportsRepair, first: TranslationAttempt, utterance: Utterance
    ) -> TranslationAttempt:
        try:
            async with asyncio.timeout(_REPAIR_TIMEOUT_S if first.rejection is None else None):
                second = await self._try_once(engine.repair(utterance, first.repair_hint), utterance)
        except (NonRetryableError, TimeoutError):
            # The longer prompt was too much for the model, or the repair of a usable translation took too long.
            second = first
        except UnavailableError:
            # A translation with warnings is better than a retry of the whole request later.
            if first.rejection is not None:
                raise
            second = first
        best = min(first, second, key=lambda attempt: (attempt.rejection is not None, len(attempt.warnings)))
        outcome = "repaired" if best.is_acceptable else "warned" if best.rejection is None else "failed"
        self._repairs.inc(tags={"outcome": outcome})
        return best

    async def _try_once(self, stream: TokenStream, utterance: Utterance) -> TranslationAttempt:
        try:
            text = await self._collect(stream, utterance)
        except RejectedOutputError as error:
            if error.generation is not None:
                self._record_usage(error.generation)
            self._rejections.inc(tags={"defect": error.defect})
            return TranslationAttempt(error.output, rejection=error)
        return TranslationAttempt(text, find_quality_warnings(utterance, text))

    async def _collect(self, stream: TokenStream, utterance: Utterance) -> str:
        """Return the whole answer. An answer that grows far beyond the source's length is stopped early."""
        max_length = max(_MIN_LENGTH_LIMIT_CHARS, _MAX_LENGTH_RATIO * len(utterance.text))
        text = ""
        async with aclosing(stream) as pieces:
            async for piece in pieces:
                self._on_output()
                if isinstance(piece, Generation):
                    self._record_usage(piece)
                    if not piece.text.strip():
                        raise RejectedOutputError("the engine gave no text", "empty", "")
                    return piece.text.strip()
                text += piece
                if len(text) > max_length:
                    raise RejectedOutputError(
                        "the engine's answer was many times as long as the source", "endless", text
                    )
        raise AssertionError("an answer ends with the whole of it")

    def _record_usage(self, generation: Generation) -> None:
        model = metric_tag(generation.model)
        self._first_output_seconds.observe(generation.first_token_s, tags={"model": model})
        if generation.replaced_characters:
            self._replaced_characters.inc(generation.replaced_characters, tags={"model": model})
        parts = (
            ("prompt", generation.prompt_tokens),
            ("cached", generation.cached_tokens),
            ("answer", generation.completion_tokens),
        )
        for kind, tokens in parts:
            if tokens:
                self._tokens.inc(tokens, tags={"model": model, "kind": kind})
