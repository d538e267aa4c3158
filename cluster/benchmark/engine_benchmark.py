"""Measures an engine in three layers with the same load: the engine alone, the service through Serve, the whole path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ray import serve as ray_serve

from cluster.benchmark.end_to_end import measure_captions
from cluster.benchmark.instrumented_service import EngineUsage, InstrumentedService
from cluster.benchmark.summary import LayerRound, LayerSummary, summarize_layer
from cluster.benchmark.workload import make_requests, run_closed_loop
from flows.translation import TranslationClient
from operators.engine_config import EngineConfig
from operators.errors import SetupError
from serve.deploy.builders import DOWNSCALE_DELAY_S, SHUTDOWN_TIMEOUT_S
from serve.deploy.deployment import make_deployment
from serve.deploy.engine_factory import check_requirements
from storage.store_urls import StoreUrls

LAYERS = ("engine", "service", "captions")
WARM_UP_COUNT = 4
"""Sentences translated in each layer before the first measurement."""


@dataclass(frozen=True, slots=True)
class BenchmarkPlan:
    """The measurements to make.

    Attributes:
        in_flight_counts: numbers of concurrent requests to measure.
        sentence_count: sentences in one measurement of a layer.
        round_count: measurements of each layer for each number of concurrent requests.
    """

    in_flight_counts: tuple[int, ...]
    sentence_count: int
    round_count: int

    @property
    def step_count(self) -> int:
        """Number of measurements in all layers together."""
        return len(self.in_flight_counts) * self.round_count * len(LAYERS)


@dataclass(frozen=True, slots=True)
class EngineMeasurement:
    """The results of one engine.

    Attributes:
        summaries: a summary for each layer and number of concurrent requests.
        memory: maximum memory in bytes.
    """

    summaries: tuple[LayerSummary, ...]
    memory: int


async def measure_engine(
    urls: StoreUrls,
    engine: EngineConfig,
    models: Path | None,
    application: str,
    plan: BenchmarkPlan,
    advance: Callable[[], None],
) -> EngineMeasurement:
    """Measure an engine.

    Args:
        urls: the stores.
        engine: the engine's configuration.
        models: a folder of further Firefox models.
        application: name of the engine's application in Serve. The application is deleted afterwards.
        plan: the measurements to make.
        advance: called after each measurement.

    Returns:
        The engine's results.

    Raises:
        SetupError: the engine can't be started on this machine.
    """
    check_requirements(engine)
    service = make_deployment("TranslationService", engine, DOWNSCALE_DELAY_S, SHUTDOWN_TIMEOUT_S)(InstrumentedService)
    try:
        handle: Any = ray_serve.run(service.bind(engine, models), name=application, route_prefix=None)
    except RuntimeError as error:
        raise SetupError(f"the {engine.kind} engine did not start here") from error
    try:
        benchmark = _EngineBenchmark(urls, handle, application)
        for layer in LAYERS:
            await benchmark.measure_layer(layer, 1, WARM_UP_COUNT)
        summaries: list[LayerSummary] = []
        for in_flight in plan.in_flight_counts:
            rounds_by_layer: dict[str, list[LayerRound]] = {layer: [] for layer in LAYERS}
            for round_index in range(plan.round_count):
                for layer in _rotate(LAYERS, round_index):
                    rounds_by_layer[layer].append(
                        await benchmark.measure_layer(layer, in_flight, max(plan.sentence_count, in_flight))
                    )
                    advance()
            summaries += [
                summarize_layer(layer, in_flight, rounds_by_layer[layer], rounds_by_layer["engine"]) for layer in LAYERS
            ]
        return EngineMeasurement(tuple(summaries), benchmark.max_memory_bytes)
    finally:
        ray_serve.delete(application)


class _EngineBenchmark:
    def __init__(self, urls: StoreUrls, handle: Any, application: str) -> None:
        self._urls = urls
        self._handle = handle
        self._application = application
        self.max_memory_bytes = 0

    async def measure_layer(self, layer: str, in_flight: int, sentences: int) -> LayerRound:
        if layer == "engine":
            layer_round: LayerRound = await self._handle.run_engine_alone.remote(make_requests(sentences), in_flight)
        elif layer == "service":
            translate = TranslationClient(self._application).translate
            layer_round = await run_closed_loop(translate, make_requests(sentences), in_flight)
        else:
            layer_round = await measure_captions(self._urls, self._application, sentences, in_flight)
        usage: EngineUsage = await self._handle.take_usage.remote()
        self.max_memory_bytes = max(self.max_memory_bytes, usage.memory_bytes)
        return replace(layer_round, tokens=usage.tokens, first_token_latencies_s=usage.first_token_latencies_s)


def _rotate(layers: Sequence[str], round_index: int) -> list[str]:
    """Start with a different layer in each round, so that a drift of the machine's speed favours no layer."""
    offset = round_index % len(layers)
    return [*layers[offset:], *layers[:offset]]
