"""Strict parser of the `/metrics` response, with the checks of Prometheus' own tools."""

from __future__ import annotations

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families


def parse_strictly(exposition: str) -> dict[str, Metric]:
    """Parse a response and return its metric families by name.

    Raises:
        AssertionError: a family is declared twice or lacks HELP or TYPE, a series occurs twice, or a histogram's
            buckets are not cumulative or don't end with the total count.
    """
    lines = exposition.splitlines()
    for kind in ("HELP", "TYPE"):
        names = [line.split()[2] for line in lines if line.startswith(f"# {kind} ")]
        assert len(set(names)) == len(names), (
            f"{kind} is declared twice for {sorted(name for name in names if names.count(name) > 1)}"
        )
    families: dict[str, Metric] = {}
    series: set[tuple[str, ...]] = set()
    for family in text_string_to_metric_families(exposition):
        assert family.name not in families, f"{family.name} is in two pieces"
        assert family.type != "unknown", f"{family.name} has no TYPE"
        assert family.documentation, f"{family.name} has no HELP"
        families[family.name] = family
        buckets: dict[tuple[str, ...], list[tuple[float, float]]] = {}
        counts: dict[tuple[str, ...], float] = {}
        for sample in family.samples:
            labels = [f"{key}={value}" for key, value in sorted(sample.labels.items())]
            assert (sample.name, *labels) not in series, f"{sample.name}{labels} occurs twice"
            series.add((sample.name, *labels))
            series_labels = tuple(label for label in labels if not label.startswith("le="))
            if sample.name.endswith("_bucket"):
                buckets.setdefault(series_labels, []).append((float(sample.labels["le"]), sample.value))
            if sample.name.endswith("_count"):
                counts[series_labels] = sample.value
        for series_labels, ascending in buckets.items():
            assert ascending == sorted(ascending), f"{family.name}{series_labels} is not cumulative"
            assert ascending[-1] == (float("inf"), counts[series_labels]), (
                f"{family.name}{series_labels} does not end with the total count"
            )
    return families


def sample_values(exposition: str) -> dict[tuple[str, ...], float]:
    """Return the value of every sample, by its name and the values of its labels."""
    families = parse_strictly(exposition).values()
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}
