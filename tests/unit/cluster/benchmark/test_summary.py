"""Summaries of measurements."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.benchmark.summary import LayerRound, quantile, summarize_layer

SECONDS = st.lists(st.floats(0.001, 100), min_size=1, max_size=200)


@settings(deadline=None)
@given(SECONDS, st.floats(0.01, 1))
def test_quantile(values: list[float], share: float) -> None:
    found = quantile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6
    assert sum(value < found for value in values) < share * len(values) + 1e-6


def test_no_values_have_no_quantile() -> None:
    assert quantile([], 0.95) is None


def test_the_ratio_is_the_median_of_the_ratios_of_matching_rounds() -> None:
    bare = [LayerRound(seconds, (1.0,) * 10, 0, tokens=400) for seconds in (1.0, 2.0, 4.0)]
    # The machine gets slower in each round, but the layer takes a tenth longer in all of them.
    layer = [LayerRound(1.1 * one.duration_s, one.latencies_s, 1, tokens=400) for one in bare]
    found = summarize_layer("service", 8, layer, bare)
    assert found.ratio is not None
    assert abs(found.ratio - 1 / 1.1) < 1e-9
    assert (found.answered, found.errors) == (30, 3)


def test_without_tokens_the_ratio_compares_sentences() -> None:
    found = summarize_layer("service", 1, [LayerRound(2.0, (1.0, 1.0), 0)], [LayerRound(1.0, (0.5, 0.5), 0)])
    assert (found.ratio, found.tokens_a_second, found.first_p50) == (0.5, 0.0, None)


def test_a_layer_without_answers_reports_its_errors() -> None:
    found = summarize_layer("captions", 1, [LayerRound(2.0, (), 5)], [LayerRound(1.0, (0.5,), 0)])
    assert (found.answered, found.errors, found.p95, found.ratio) == (0, 5, None, 0.0)
