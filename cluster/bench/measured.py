"""The translation service as it is measured: its engine gives answers of one size, and its work can be had without Serve."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from cluster.bench.load import closed_loop
from cluster.bench.summary import Round
from operators.models import Engine as Spec
from operators.models import Firefox
from operators.translation import TranslationRequest
from serve.engines.engine import Engine, Generation, Prompt, TranslationEngine, whole
from serve.engines.making import Maker, make_language_model
from serve.engines.prompted import PromptedTranslator
from serve.prompts import translation_prompt
from serve.translation import TranslationService, utterance

ANSWER = 40
"""Tokens of an answer at most."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What an engine gave since it was asked last: tokens of answers, seconds to each one's first, bytes of memory."""

    tokens: int
    firsts: tuple[float, ...]
    memory: int


class Steady:
    """A language model whose answers are cut to one line of `ANSWER` tokens, and none is left half-way.

    A model that doesn't translate is refused early by the service, and would do less there than alone. It is asked the same
    way in every layer.
    """

    def __init__(self, engine: Engine[Prompt], gave: Callable[[Generation | None], None]) -> None:
        self._engine = engine
        self._gave = gave

    @property
    def name(self) -> str:
        """The engine's."""
        return self._engine.name

    @property
    def version(self) -> str:
        """The engine's."""
        return self._engine.version

    async def generate(self, question: Prompt) -> AsyncGenerator[str | Generation]:
        """Answer as the engine does, within a line and `ANSWER` tokens.

        Raises:
            Unanswerable, Unavailable: as the engine does.
        """
        async with aclosing(self._engine.generate(replace(question, max_tokens=ANSWER))) as answer:
            async for piece in answer:
                if isinstance(piece, Generation):
                    self._gave(piece)
                    yield replace(piece, text=_line(piece.text), finish="stop")
                else:
                    self._gave(None)
                    yield _line(piece)

    async def check_health(self) -> None:
        """Have the engine answer a token.

        Raises:
            Unavailable: as the engine does.
        """
        await self._engine.check_health()

    async def close(self) -> None:
        """Close the engine."""
        await self._engine.close()


class MeasuredService(TranslationService):
    """The service in a replica, with one engine for all layers: two might not fit on one machine.

    Args:
        spec: the engine.
        models: a folder of further models of Firefox's.
    """

    def __init__(self, spec: Spec, models: Path | None) -> None:
        self._tokens_given = 0
        self._firsts: list[float] = []
        self._model: Steady | None = None
        self._spec, self._models = spec, models
        super().__init__(self._make, cached=0)

    async def alone(self, asked: Sequence[TranslationRequest], in_flight: int) -> Round:
        """Ask the engine by itself, in its own process: no Serve and no service between."""

        async def ask(request: TranslationRequest) -> None:
            question = utterance(request, request.source_language or "en")
            if self._model is None:
                await whole(self._engine.generate(question))
            else:
                await whole(self._model.generate(translation_prompt(question)))

        return await closed_loop(ask, asked, in_flight)

    async def taken(self) -> Taken:
        """What the engine gave since this was asked last."""
        me = psutil.Process()
        memory = sum(process.memory_info().rss for process in (me, *me.children(recursive=True)))
        taken = Taken(self._tokens_given, tuple(self._firsts), memory)
        self._tokens_given, self._firsts = 0, []
        return taken

    def _make(self) -> TranslationEngine:
        if isinstance(self._spec, Firefox):
            return Maker(self._spec, self._models).translator()
        self._model = Steady(make_language_model(self._spec), self._note)
        return PromptedTranslator(self._model)

    def _note(self, answer: Generation | None) -> None:
        self._liveness.gave()
        if answer is not None:
            self._tokens_given += answer.tokens
            self._firsts.append(answer.first)


def _line(text: str) -> str:
    return text.replace("\n", " ")
