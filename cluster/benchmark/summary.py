"""What measurements come to: quantiles, medians over rounds, and the largest load that keeps a bound."""

from __future__ import annotations

import math
import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LayerRound:
    """One measurement of one layer.

    Attributes:
        seconds: from the first sentence to the last answer.
        latencies: seconds of each sentence that was answered.
        errors: sentences that were not.
        tokens: of all answers, as the engine counted them; 0 where it doesn't count.
        firsts: seconds to the first token of each answer, at the engine.
    """

    duration_s: float
    latencies_s: tuple[float, ...]
    errors: int
    tokens: int = 0
    first_token_latencies_s: tuple[float, ...] = ()

    @property
    def sentences_per_second(self) -> float:
        """Of those that were answered."""
        return len(self.latencies_s) / self.duration_s

    @property
    def tokens_per_second(self) -> float:
        """Of answers."""
        return self.tokens / self.duration_s


@dataclass(frozen=True, slots=True)
class LayerSummary:
    """A layer's rounds with so many sentences in flight. Rates are medians over them, quantiles are of all sentences."""

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
    """Sum a layer up.

    Args:
        rounds: its own, at least one.
        bare: the bare engine's rounds, each measured beside the layer's round of the same place. The ratio is the median of
            the rounds' ratios, of tokens a second where the engine counts them, and of sentences a second where not.
    """
    latencies = [each for one in rounds for each in one.latencies_s]
    first_token_latencies = [each for one in rounds for each in one.first_token_latencies_s]
    return LayerSummary(
        layer,
        in_flight,
        answered=len(latencies),
        errors=sum(one.errors for one in rounds),
        sentences_a_second=statistics.median(one.sentences_per_second for one in rounds),
        tokens_a_second=statistics.median(one.tokens_per_second for one in rounds),
        first_p50=quantile(first_token_latencies, 0.5),
        p50=quantile(latencies, 0.5),
        p95=quantile(latencies, 0.95),
        p99=quantile(latencies, 0.99),
        ratio=_median_ratio(rounds, baseline),
    )


def quantile(values: Sequence[float], fraction: float) -> float | None:
    """The least of the values that so large a share of them does not exceed; None of none."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(fraction * len(values)) - 1)]


async def find_largest(is_within_limit: Callable[[int], Awaitable[bool]], maximum: int) -> int:
    """The largest number up to `most` that holds, where all below one that holds do: doubled first, then halved between."""
    passing, failing = 0, maximum + 1
    probe = 1
    while passing + 1 < failing:
        if await is_within_limit(probe):
            passing = probe
        else:
            failing = probe
        probe = min(2 * passing, maximum) if failing == maximum + 1 else (passing + failing) // 2
    return passing


def _median_ratio(rounds: Sequence[LayerRound], baseline: Sequence[LayerRound]) -> float | None:
    rates = [
        (one.tokens_per_second, other.tokens_per_second)
        if one.tokens and other.tokens
        else (one.sentences_per_second, other.sentences_per_second)
        for one, other in zip(rounds, baseline, strict=True)
    ]
    ratios = [rate / other for rate, other in rates if other]
    return statistics.median(ratios) if ratios else None
