"""Measures a model in three layers with one load: the engine alone, the service through Serve, and the whole path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ray import serve as ray_serve

from cluster.bench.captions import captions
from cluster.bench.load import EVERY, closed_loop, open_loop, requests
from cluster.bench.measured import MeasuredService, Taken
from cluster.bench.summary import Round, Summary, largest, quantile, summarize
from flows.translation import TranslationClient
from operators.errors import SetupFailed
from operators.models import Engine
from serve.app import GRACE_S, IDLE_S
from serve.engines.making import check
from serve.replicas import deployment
from storage.embedded import StoreUrls

LAYERS = ("engine", "service", "captions")
WARM = 4
"""Sentences that are asked in each layer before anything is measured."""
BOUND = 1.0
"""Seconds within which 95 % of the captions of meetings must come."""
MOST_MEETINGS = 1024


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured: each number in flight, in so many rounds of so many sentences a layer.

    Attributes:
        meetings_for: seconds for which meetings speak in each step of the search for the most meetings; 0 for no search.
    """

    in_flight: tuple[int, ...]
    sentences: int
    rounds: int
    meetings_for: float

    @property
    def steps(self) -> int:
        """Measurements of a layer, in all."""
        return len(self.in_flight) * self.rounds * len(LAYERS)


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of one engine. `meetings` at once had 95 % of their answers within `BOUND`; `memory` is bytes at most."""

    summaries: tuple[Summary, ...]
    meetings: int | None
    memory: int


async def measure(
    urls: StoreUrls, engine: Engine, models: Path | None, application: str, plan: Plan, advance: Callable[[], None]
) -> Measured:
    """Measure an engine.

    Args:
        urls: the stores.
        engine: which, and how it runs.
        models: a folder of further models of Firefox's.
        application: the name of its application in Serve; it is gone afterwards.
        plan: what is measured.
        advance: told of each measurement that is done.

    Raises:
        SetupFailed: the engine can't be started here.
    """
    check(engine)
    service = deployment("TranslationService", engine, IDLE_S, GRACE_S)(MeasuredService)
    try:
        handle: Any = ray_serve.run(service.bind(engine, models), name=application, route_prefix=None)
    except RuntimeError as error:
        raise SetupFailed(f"the {engine.kind} engine did not start here") from error
    try:
        bench = _Bench(urls, handle, application)
        for layer in LAYERS:
            await bench.measure(layer, 1, WARM)
        summaries: list[Summary] = []
        for in_flight in plan.in_flight:
            found: dict[str, list[Round]] = {layer: [] for layer in LAYERS}
            for turn in range(plan.rounds):
                for layer in _turned(LAYERS, turn):
                    found[layer].append(await bench.measure(layer, in_flight, max(plan.sentences, in_flight)))
                    advance()
            summaries += [summarize(layer, in_flight, found[layer], found["engine"]) for layer in LAYERS]
        meetings = await bench.most_meetings(plan.meetings_for) if plan.meetings_for else None
        return Measured(tuple(summaries), meetings, bench.memory)
    finally:
        ray_serve.delete(application)


class _Bench:
    def __init__(self, urls: StoreUrls, handle: Any, application: str) -> None:
        self._urls = urls
        self._handle = handle
        self._application = application
        self.memory = 0

    async def measure(self, layer: str, in_flight: int, sentences: int) -> Round:
        if layer == "engine":
            measured: Round = await self._handle.alone.remote(requests(sentences), in_flight)
        elif layer == "service":
            ask = TranslationClient(self._application).translate
            measured = await closed_loop(ask, requests(sentences), in_flight)
        else:
            measured = await captions(self._urls, self._application, sentences, in_flight)
        taken: Taken = await self._handle.taken.remote()
        self.memory = max(self.memory, taken.memory)
        return replace(measured, tokens=taken.tokens, firsts=taken.firsts)

    async def most_meetings(self, seconds: float) -> int:
        ask = TranslationClient(self._application).translate

        async def holds(meetings: int) -> bool:
            # No fewer sentences than can tell a twentieth of them.
            spoken = await open_loop(ask, meetings, max(seconds, 20 * EVERY / meetings))
            p95 = quantile(spoken.latencies, 0.95)
            return not spoken.errors and p95 is not None and p95 <= BOUND

        return await largest(holds, MOST_MEETINGS)


def _turned(layers: Sequence[str], turn: int) -> list[str]:
    """Another layer comes first each time, so that what drifts favours none."""
    at = turn % len(layers)
    return [*layers[at:], *layers[:at]]
