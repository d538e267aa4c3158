"""storage/observability/metrics_federation.py: the merging of snapshots."""

from __future__ import annotations

import json
from typing import Any

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector

from storage.observability.metrics_federation import MergedMetrics, merge_snapshots
from tests.harness.api.metrics_exposition import sample_values


def make_snapshot(
    process: str = "maintenance", since: float = 1.0, *samples: Any, kind: str = "counter", **other: Any
) -> bytes:
    family = {"name": "parley_things", "help": "Things", "type": kind, "samples": samples}
    return json.dumps({"process": process, "since": since, "families": [family], **other}).encode()


def thing_sample(value: float, **labels: str) -> list[Any]:
    return ["parley_things_total", labels, value]


def exposed_values(merged: MergedMetrics) -> dict[tuple[str, ...], float]:
    class MergedCollector(Collector):
        def collect(self) -> list[Metric]:
            return list(merged.families.values())

    registry = CollectorRegistry()
    registry.register(MergedCollector())
    return sample_values(generate_latest(registry).decode())


def test_an_invalid_snapshot_does_not_affect_the_others() -> None:
    merged = merge_snapshots(
        [
            make_snapshot("a", 1.0, thing_sample(1)),
            make_snapshot("b", 1.0, ["parley_things", {}, 1.0], kind="gauge"),
            make_snapshot("c", 1.0, thing_sample(1), thing_sample(2)),
            make_snapshot("d", 1.0, thing_sample(1, process="a")),
            make_snapshot("e", 1.0, thing_sample(5)),
            make_snapshot("f", 1.0, ["parley_things_total", {}, "NaN"]),
        ]
    )
    assert exposed_values(merged) == {("parley_things_total", "a"): 1, ("parley_things_total", "e"): 5}
    assert merged.unread_count == 4
    assert list(merged.started_at) == ["a", "e"]


def test_reserved_names_are_refused() -> None:
    merged = merge_snapshots([make_snapshot("a", 1.0, thing_sample(1))], reserved_names={"parley_things"})
    assert (merged.unread_count, merged.families) == (1, {})


def test_a_restarted_process_counts_from_zero() -> None:
    merged = merge_snapshots(
        [make_snapshot("lane/live-1", 10.0, thing_sample(2)), make_snapshot("lane/live-1", 5.0, thing_sample(700))]
    )
    assert exposed_values(merged) == {("parley_things_total", "lane/live-1"): 2}
