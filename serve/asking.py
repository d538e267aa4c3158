"""Asks an engine for a translation, and looks at the answer: what can't be passed on as it is may be asked for once more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass

from ray.serve import metrics

from operators.errors import Unavailable
from serve.checking import Doubt, doubts
from serve.engines.engine import (
    Answer,
    Corrects,
    Generation,
    Refused,
    Rejected,
    TranslationEngine,
    Unanswerable,
    Utterance,
)
from serve.metric_tags import metric_tag

_ABSURD = 10
"""How many times as long as the source an answer is nonsense. Every language pair stays far below."""
_SECOND_S = 2.0
"""Seconds that a translation in doubt may get better in: whoever asked waits for it."""
_LENIENT = 80
"""Characters that any answer may have: a short word may well become a long phrase."""

SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]
"""Boundaries of the times that are measured."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What an engine made of an utterance.

    Attributes:
        text: its answer, as far as it came.
        doubts: what the translation may not have kept.
        refused: why it is no translation, if it is none.
    """

    text: str
    doubts: tuple[Doubt, ...] = ()
    refused: Refused | None = None

    @property
    def good(self) -> bool:
        """Whether it can be passed on as it is: to ask for it once more would not make it better."""
        return self.refused is None and all(doubt.wanted is None for doubt in self.doubts)

    @property
    def rejected(self) -> Rejected:
        """What the engine is told about it."""
        flaw = None if self.refused is None else self.refused.flaw
        return Rejected(self.text, flaw, tuple(doubt.wanted for doubt in self.doubts if doubt.wanted is not None))


class Asking:
    """Asks an engine, twice at most.

    Args:
        engine: the one that translates.
        gave: called at each piece of an answer.
    """

    def __init__(self, engine: TranslationEngine, gave: Callable[[], None]) -> None:
        self._engine = engine
        self._gave = gave
        self._first = metrics.Histogram(
            "parley_translation_first_seconds",
            "Time to the first piece of an engine's answer",
            boundaries=SECONDS,
            tag_keys=("model",),
        )
        self._tokens = metrics.Counter(
            "parley_translation_tokens",
            "Tokens that engines read and wrote, where they count them; cached: of the prompt's, those that were still known",
            tag_keys=("model", "part"),  # pyright: ignore[reportArgumentType] - typed for one key only
        )
        self._replaced = metrics.Counter(
            "parley_translation_replaced_characters",
            "Characters of answers that were no text, and were replaced",
            tag_keys=("model",),
        )
        self._refusals = metrics.Counter(
            "parley_translation_refusals", "Answers that could not be a translation, by why", tag_keys=("flaw",)
        )
        self._repairs = metrics.Counter(
            "parley_translation_repairs",
            "Answers that were asked for once more, by what came of it",
            tag_keys=("outcome",),
        )
        self._terms = metrics.Counter(
            "parley_glossary_terms",
            "Terms that translations were to have, by whether they have them",
            tag_keys=("kept",),
        )

    async def ask(self, utterance: Utterance) -> Attempt:
        """Ask for a translation. A model that can be told what is wrong is, but for drafts: the next one is on its way.

        Returns:
            A translation. Of two, the one that leaves less in doubt.

        Raises:
            Unanswerable: there is none.
            Unavailable: not now.
        """
        best = await self._attempt(self._engine.generate(utterance), utterance)
        if not best.good and not utterance.draft and isinstance(self._engine, Corrects):
            best = await self._repaired(self._engine, best, utterance)
        if best.refused is not None:
            raise best.refused
        if not utterance.draft:
            lost = sum(doubt.kind == "term" for doubt in best.doubts)
            for kept, count in (("true", len(utterance.terms) - lost), ("false", lost)):
                if count:
                    self._terms.inc(count, tags={"kept": kept})
        return best

    async def _repaired(self, engine: Corrects, first: Attempt, utterance: Utterance) -> Attempt:
        try:
            async with asyncio.timeout(_SECOND_S if first.refused is None else None):
                second = await self._attempt(engine.again(utterance, first.rejected), utterance)
        except (Unanswerable, TimeoutError):
            # Both together were too much for the model, or a translation was there that nobody should wait longer for.
            second = first
        except Unavailable:
            # What is there already is better than to have all of it asked again later.
            if first.refused is not None:
                raise
            second = first
        best = min(first, second, key=lambda attempt: (attempt.refused is not None, len(attempt.doubts)))
        outcome = "repaired" if best.good else "warned" if best.refused is None else "failed"
        self._repairs.inc(tags={"outcome": outcome})
        return best

    async def _attempt(self, answer: Answer, utterance: Utterance) -> Attempt:
        try:
            text = await self._taken(answer, utterance)
        except Refused as error:
            if error.whole is not None:
                self._count(error.whole)
            self._refusals.inc(tags={"flaw": error.flaw})
            return Attempt(error.answer, refused=error)
        return Attempt(text, doubts(utterance, text))

    async def _taken(self, answer: Answer, utterance: Utterance) -> str:
        """The whole of an answer. One that runs away is given up while it comes."""
        most = max(_LENIENT, _ABSURD * len(utterance.text))
        text = ""
        async with aclosing(answer) as pieces:
            async for piece in pieces:
                self._gave()
                if isinstance(piece, Generation):
                    self._count(piece)
                    if not piece.text.strip():
                        raise Refused("the engine gave no text", "empty", "")
                    return piece.text.strip()
                text += piece
                if len(text) > most:
                    raise Refused("the engine's answer was many times as long as the source", "endless", text)
        raise AssertionError("an answer ends with the whole of it")

    def _count(self, answer: Generation) -> None:
        model = metric_tag(answer.model)
        self._first.observe(answer.first, tags={"model": model})
        if answer.replaced:
            self._replaced.inc(answer.replaced, tags={"model": model})
        parts = (("prompt", answer.prompt_tokens), ("cached", answer.cached_tokens), ("answer", answer.tokens))
        for part, tokens in parts:
            if tokens:
                self._tokens.inc(tokens, tags={"model": model, "part": part})
