"""Summaries of measurements: quantiles, and medians over rounds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LayerRound:
    """One measurement of one layer.

    Attributes:
        duration_s: seconds from the first sentence to the last answer.
        latencies_s: seconds to the answer of each answered sentence.
        errors: number of sentences without an answer.
        tokens: number of tokens of all answers; 0 if the engine doesn't count them.
        first_token_latencies_s: seconds to the first token of each answer, measured at the engine.
    """

    duration_s: float
    latencies_s: tuple[float, ...]
    errors: int
    tokens: int = 0
    first_token_latencies_s: tuple[float, ...] = ()

    @property
    def sentences_per_second(self) -> float:
        """Answered sentences a second."""
        return len(self.latencies_s) / self.duration_s

    @property
    def tokens_per_second(self) -> float:
        """Tokens of answers a second."""
        return self.tokens / self.duration_s


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """A summary of a layer's rounds with the same number of concurrent requests.

    Attributes:
        layer: name of the layer.
        in_flight: number of concurrent requests.
        answered: number of answered sentences.
        errors: number of sentences without an answer.
        sentences_a_second: median over the rounds.
        tokens_a_second: median over the rounds.
        first_p50: median of the seconds to the first token; None if the engine doesn't measure them.
        p50, p95, p99: quantiles of the seconds to the answer, over the sentences of all rounds; None without an answer.
        ratio: rate of the layer divided by the rate of the engine alone; None without an answer of the engine.
    """

    layer: str
    in_flight: int
    answered: int
    errors: int
    sentences_a_second: float
    tokens_a_second: float
    first_p50: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    ratio: float | None


def summarize_layer(
    layer: str, in_flight: int, rounds: Sequence[LayerRound], baseline: Sequence[LayerRound]
) -> LayerSummary:
    """Summarize the rounds of a layer.

    Args:
        layer: name of the layer.
        in_flight: number of concurrent requests.
        rounds: the layer's rounds, at least one.
        baseline: the rounds of the engine alone, each measured next to the layer's round of the same index. The ratio is the
            median of the rounds' ratios. It compares tokens a second, or sentences a second if the engine counts no tokens.
    """
    latencies = [latency for each in rounds for latency in each.latencies_s]
    first_token_latencies = [latency for each in rounds for latency in each.first_token_latencies_s]
    return LayerSummary(
        layer,
        in_flight,
        answered=len(latencies),
        errors=sum(each.errors for each in rounds),
        sentences_a_second=statistics.median(each.sentences_per_second for each in rounds),
        tokens_a_second=statistics.median(each.tokens_per_second for each in rounds),
        first_p50=quantile(first_token_latencies, 0.5),
        p50=quantile(latencies, 0.5),
        p95=quantile(latencies, 0.95),
        p99=quantile(latencies, 0.99),
        ratio=_median_ratio(rounds, baseline),
    )


def quantile(values: Sequence[float], fraction: float) -> float | None:
    """Return the least value that at least a fraction of the values does not exceed.

    Args:
        values: the values, in any order.
        fraction: from 0 to 1.

    Returns:
        The quantile, or None without values.
    """
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(fraction * len(values)) - 1)]


def _median_ratio(rounds: Sequence[LayerRound], baseline: Sequence[LayerRound]) -> float | None:
    rates = [
        (layer_round.tokens_per_second, engine_round.tokens_per_second)
        if layer_round.tokens and engine_round.tokens
        else (layer_round.sentences_per_second, engine_round.sentences_per_second)
        for layer_round, engine_round in zip(rounds, baseline, strict=True)
    ]
    ratios = [layer_rate / engine_rate for layer_rate, engine_rate in rates if engine_rate]
    return statistics.median(ratios) if ratios else None
