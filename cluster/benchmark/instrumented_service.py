"""The translation service as it is measured: its engine gives answers of one size, and its work can be had without Serve."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from cluster.benchmark.summary import LayerRound
from cluster.benchmark.workload import run_closed_loop
from operators.engine_config import EngineConfig as Spec
from operators.engine_config import FirefoxConfig
from operators.translation_requests import TranslationRequest
from serve.deploy.engine_factory import EngineFactory, build_language_model
from serve.engines.protocol import Engine, Generation, Prompt, TranslationEngine, collect
from serve.translation.llm.prompts import translation_prompt
from serve.translation.llm.translator import LlmTranslator
from serve.translation.translation_service import TranslationService, to_utterance

MAX_OUTPUT_TOKENS = 40
"""Tokens of an answer at most."""


@dataclass(frozen=True, slots=True)
class EngineUsage:
    """What an engine gave since it was asked last: tokens of answers, seconds to each one's first, bytes of memory."""

    tokens: int
    first_token_latencies_s: tuple[float, ...]
    memory_bytes: int


class FixedLengthEngine:
    """A language model whose answers are cut to one line of `MAX_OUTPUT_TOKENS` tokens, and none is left half-way.

    A model that doesn't translate is refused early by the service, and would do less there than alone. It is asked the same
    way in every layer.
    """

    def __init__(self, engine: Engine[Prompt], on_output: Callable[[Generation | None], None]) -> None:
        self._engine = engine
        self._on_output = on_output

    @property
    def name(self) -> str:
        """The engine's."""
        return self._engine.name

    @property
    def version(self) -> str:
        """The engine's."""
        return self._engine.version

    async def generate(self, request: Prompt) -> AsyncGenerator[str | Generation]:
        """Answer as the engine does, within a line and `MAX_OUTPUT_TOKENS` tokens.

        Raises:
            Unanswerable, Unavailable: as the engine does.
        """
        async with aclosing(self._engine.generate(replace(request, max_tokens=MAX_OUTPUT_TOKENS))) as answer:
            async for piece in answer:
                if isinstance(piece, Generation):
                    self._on_output(piece)
                    yield replace(piece, text=_single_line(piece.text), finish="stop")
                else:
                    self._on_output(None)
                    yield _single_line(piece)

    async def check_health(self) -> None:
        """Have the engine answer a token.

        Raises:
            UnavailableError: as the engine does.
        """
        await self._engine.check_health()

    async def close(self) -> None:
        """Close the engine."""
        await self._engine.close()


class InstrumentedService(TranslationService):
    """The service in a replica, with one engine for all layers: two might not fit on one machine.

    Args:
        spec: the engine.
        models: a folder of further models of Firefox's.
    """

    def __init__(self, engine_config: Spec, models: Path | None) -> None:
        self._token_count = 0
        self._first_token_latencies_s: list[float] = []
        self._model: FixedLengthEngine | None = None
        self._engine_config, self._models = engine_config, models
        super().__init__(self._create_engine, cache_size=0)

    async def run_engine_alone(self, translation_requests: Sequence[TranslationRequest], in_flight: int) -> LayerRound:
        """Ask the engine by itself, in its own process: no Serve and no service between."""

        async def translate_directly(request: TranslationRequest) -> None:
            question = to_utterance(request, request.source_language or "en")
            if self._model is None:
                await collect(self._engine.generate(question))
            else:
                await collect(self._model.generate(translation_prompt(question)))

        return await run_closed_loop(translate_directly, translation_requests, in_flight)

    async def take_usage(self) -> EngineUsage:
        """What the engine gave since this was asked last."""
        current_process = psutil.Process()
        memory_bytes = sum(
            process.memory_info().rss for process in (current_process, *current_process.children(recursive=True))
        )
        usage = EngineUsage(self._token_count, tuple(self._first_token_latencies_s), memory_bytes)
        self._token_count, self._first_token_latencies_s = 0, []
        return usage

    def _create_engine(self) -> TranslationEngine:
        if isinstance(self._engine_config, FirefoxConfig):
            return EngineFactory(self._engine_config, self._models).create_translator()
        self._model = FixedLengthEngine(build_language_model(self._engine_config), self._record_output)
        return LlmTranslator(self._model)

    def _record_output(self, generation: Generation | None) -> None:
        self._health_check.record_output()
        if generation is not None:
            self._token_count += generation.completion_tokens
            self._first_token_latencies_s.append(generation.first_token_s)


def _single_line(text: str) -> str:
    return text.replace("\n", " ")
