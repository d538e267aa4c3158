"""The translation service with instruments for the benchmark: answers of a fixed length, and calls of the engine alone."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from cluster.benchmark.summary import LayerRound
from cluster.benchmark.workload import run_closed_loop
from operators.engine_config import EngineConfig, FirefoxConfig
from operators.translation_requests import TranslationRequest
from serve.deploy.engine_factory import EngineFactory, build_language_model
from serve.engines.protocol import Engine, Generation, Prompt, TranslationEngine, collect
from serve.translation.llm.prompts import translation_prompt
from serve.translation.llm.translator import LlmTranslator
from serve.translation.translation_service import TranslationService, to_utterance

MAX_OUTPUT_TOKENS = 40
"""Maximum number of tokens of an answer."""


@dataclass(frozen=True, slots=True)
class EngineUsage:
    """The usage of an engine since the last call.

    Attributes:
        tokens: number of tokens of all answers.
        first_token_latencies_s: seconds to the first token of each answer.
        memory_bytes: memory of the replica and its child processes.
    """

    tokens: int
    first_token_latencies_s: tuple[float, ...]
    memory_bytes: int


class FixedLengthEngine:
    """A language model that answers with one line of at most `MAX_OUTPUT_TOKENS` tokens.

    The service stops an answer early if it is no translation. The model would then generate less in the service than alone,
    and the layers could not be compared. One line of limited length is never stopped early, and always counts as complete.

    Args:
        engine: the language model.
        on_output: called with None for each piece of an answer, and with the generation at its end.
    """

    def __init__(self, engine: Engine[Prompt], on_output: Callable[[Generation | None], None]) -> None:
        self._engine = engine
        self._on_output = on_output

    @property
    def name(self) -> str:
        """Name of the engine."""
        return self._engine.name

    @property
    def version(self) -> str:
        """Version of the engine."""
        return self._engine.version

    async def generate(self, request: Prompt) -> AsyncGenerator[str | Generation]:
        """Generate an answer of one line with at most `MAX_OUTPUT_TOKENS` tokens.

        Raises:
            ParleyError: an error of the engine.
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
        """Have the engine generate one token.

        Raises:
            UnavailableError: the engine produced no token.
        """
        await self._engine.check_health()

    async def close(self) -> None:
        """Close the engine."""
        await self._engine.close()


class InstrumentedService(TranslationService):
    """The translation service in a replica, with one engine for all layers.

    A second engine might not fit on the machine. The cache is off, so that the engine translates every sentence.

    Args:
        engine_config: the engine's configuration.
        models: a folder of further Firefox models.
    """

    def __init__(self, engine_config: EngineConfig, models: Path | None) -> None:
        self._token_count = 0
        self._first_token_latencies_s: list[float] = []
        self._model: FixedLengthEngine | None = None
        self._engine_config, self._models = engine_config, models
        super().__init__(self._create_engine, cache_size=0)

    async def run_engine_alone(self, translation_requests: Sequence[TranslationRequest], in_flight: int) -> LayerRound:
        """Measure the engine alone, in its own process, without Serve and the service.

        Args:
            translation_requests: the sentences to translate.
            in_flight: number of concurrent requests.

        Returns:
            The measurement.
        """

        async def translate_directly(request: TranslationRequest) -> None:
            question = to_utterance(request, request.source_language or "en")
            if self._model is None:
                await collect(self._engine.generate(question))
            else:
                await collect(self._model.generate(translation_prompt(question)))

        return await run_closed_loop(translate_directly, translation_requests, in_flight)

    async def take_usage(self) -> EngineUsage:
        """Return the usage since the last call, and start counting anew."""
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
