"""The translation service: one question, one honest answer. Where it can't translate, it says so and why."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from ray.serve import metrics
from structlog.contextvars import bound_contextvars

from operators.errors import Unavailable
from operators.models import Engine as Spec
from operators.models import parse_engine
from operators.translation import CaptionStatus, Translation, TranslationRequest, Wanted
from serve.asking import SECONDS, Asking
from serve.engines.engine import TranslationEngine, Unanswerable, Utterance, problem_of
from serve.languages import WRITTEN_TOGETHER, LanguageDetector, base, contradicts, refined, written
from serve.liveness import Liveness

_SHORT_WORDS = 4
_SHORT_CHARACTERS = 40
_SHORT_TOGETHER = 8
"""What an utterance has at most that is translated the same whatever was said before it; the last in scripts without spaces."""

Key = tuple[str, str, str, str, tuple[Wanted, ...], tuple[Wanted, ...], str]
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
        cached: int,
        change: Callable[[Spec], bool] | None = None,
    ) -> None:
        self._engine = make_engine()
        self._change = change
        self._detector = LanguageDetector()
        self._short = _Recent(cached)
        self._liveness = Liveness(self._engine.check_health)
        self._asking = Asking(self._engine, self._liveness.gave)
        self._answers = metrics.Counter(
            "parley_translations",
            "Requests answered, by how",
            tag_keys=("status", "language", "cached"),  # pyright: ignore[reportArgumentType] - typed for one key only
        )
        self._seconds = metrics.Histogram(
            "parley_translation_seconds", "Time to answer a request", boundaries=SECONDS, tag_keys=("language",)
        )

    async def reconfigure(self, engine: dict[str, Any]) -> None:
        """Serve tells each replica which engine elsewhere is its own, at its start and when that changes.

        Raises:
            SetupFailed: it can't be made; the one before stays.
        """
        if self._change is not None and self._change(parse_engine(engine)):
            self._short.clear()

    async def translate(self, request: TranslationRequest) -> Translation:
        """Translate a sentence.

        Returns:
            The answer. One that is `untranslated` is final: asking again gives the same.

        Raises:
            Unavailable: not now; trying again later is right.
        """
        began = time.monotonic()
        with bound_contextvars(meeting=request.meeting_id, sentence=request.sentence_id):
            answer = await self._answer(request)
        self._seconds.observe(time.monotonic() - began, tags={"language": request.language})
        self._answers.inc(
            tags={"status": answer.status.value, "language": request.language, "cached": str(answer.cached).lower()}
        )
        return answer

    async def check_health(self) -> None:
        """Serve replaces a replica whose engine gives no token, three times in a row.

        Raises:
            Unavailable: the engine does not work, or is silent; see `serve.liveness`.
        """
        await self._liveness.check()

    async def check_ready(self) -> None:
        """Tell whether a question would be answered now.

        Raises:
            Unavailable: the server refuses every question or loads its model, or as `check_health` does.
        """
        if problem := await self.problem():
            raise Unavailable(problem)
        await self.check_health()

    async def problem(self) -> str:
        """Why the engine answers nothing at the moment, in words; empty where nothing is known against it."""
        return problem_of(self._engine) or ""

    async def __del__(self) -> None:
        # Serve awaits this when it stops the replica, even one whose engine could not be made.
        if hasattr(self, "_engine"):
            await self._engine.close()

    async def _answer(self, request: TranslationRequest) -> Translation:
        source = request.source_language
        if source is None or contradicts(request.text, source):
            source = self._detect(request)
        if source is None and not any(character.isalpha() for character in request.text):
            return self._same(request)
        if source is None:
            return self._untranslated("its language could not be told")
        heard = refined(source, request.text)
        if written(heard) == written(request.language):
            return self._same(request)
        # A model of both forms of Chinese may know them by one name.
        if self._engine.supports(heard, request.language) or written(source) == written(request.language):
            source = heard
        if not self._engine.supports(source, request.language):
            return self._untranslated(f"no model translates {source} to {request.language}")
        return await self._translated(request, source)

    async def _translated(self, request: TranslationRequest, source: str) -> Translation:
        # What a meeting asks of all its translations is a part of the question.
        asked = (request.text, request.glossary, request.terms, request.style)
        key = (request.team_id, source, request.language, *asked)
        known = self._short.get(key)
        if known is not None:
            return Translation(CaptionStatus.TRANSLATED, known, self._label, cached=True)
        # The engine may become another one while it works on this.
        label = self._label
        try:
            answer = await self._asking.ask(utterance(request, source))
        except Unanswerable as error:
            return Translation(CaptionStatus.UNTRANSLATED, None, label, reason=str(error))
        if not request.draft and not answer.doubts and label == self._label and _is_short(request.text, source):
            self._short.put(key, answer.text)
        return Translation(CaptionStatus.TRANSLATED, answer.text, label, warnings=tuple(map(str, answer.doubts)))

    @property
    def _label(self) -> str:
        return f"{self._engine.name} {self._engine.version}"

    def _detect(self, request: TranslationRequest) -> str | None:
        likely = self._engine.sources | {base(request.language)}
        return self._detector.detect(request.text, [one.text for one in request.context], likely)

    def _same(self, request: TranslationRequest) -> Translation:
        return Translation(CaptionStatus.SAME, request.text, self._label)

    def _untranslated(self, reason: str) -> Translation:
        return Translation(CaptionStatus.UNTRANSLATED, None, self._label, reason=reason)


def _is_short(text: str, language: str) -> bool:
    """Whether a text is translated the same whatever was said before it."""
    most = _SHORT_TOGETHER if base(language) in WRITTEN_TOGETHER else _SHORT_CHARACTERS
    return len(text.split()) <= _SHORT_WORDS and len(text) <= most


def utterance(request: TranslationRequest, source: str) -> Utterance:
    """What an engine is asked for a request, whose source language is known."""
    return Utterance(
        text=request.text,
        source=source,
        target=request.language,
        context=request.context,
        glossary=request.glossary,
        terms=request.terms,
        style=request.style,
        previous=request.previous,
        draft=request.draft,
    )


class _Recent:
    """The answers used last."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._answers: OrderedDict[Key, str] = OrderedDict()

    def get(self, key: Key) -> str | None:
        answer = self._answers.get(key)
        if answer is not None:
            self._answers.move_to_end(key)
        return answer

    def clear(self) -> None:
        self._answers.clear()

    def put(self, key: Key, answer: str) -> None:
        self._answers[key] = answer
        self._answers.move_to_end(key)
        if len(self._answers) > self._size:
            self._answers.popitem(last=False)
