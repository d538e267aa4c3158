"""storage/snapshots.py: how snapshots are merged into one answer."""

from __future__ import annotations

import json
from typing import Any

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector

from storage.snapshots import Merged, merge
from tests.harness.exposition import values


def snapshot(
    process: str = "maintenance", since: float = 1.0, *samples: Any, kind: str = "counter", **other: Any
) -> bytes:
    family = {"name": "parley_things", "help": "Things", "type": kind, "samples": samples}
    return json.dumps({"process": process, "since": since, "families": [family], **other}).encode()


def things(value: float, **labels: str) -> list[Any]:
    return ["parley_things_total", labels, value]


def exposed(merged: Merged) -> dict[tuple[str, ...], float]:
    class Families(Collector):
        def collect(self) -> list[Metric]:
            return list(merged.families.values())

    registry = CollectorRegistry()
    registry.register(Families())
    return values(generate_latest(registry).decode())


def test_no_snapshot_can_spoil_the_answer() -> None:
    merged = merge(
        [
            snapshot("a", 1.0, things(1)),
            snapshot("b", 1.0, ["parley_things", {}, 1.0], kind="gauge"),
            snapshot("c", 1.0, things(1), things(2)),
            snapshot("d", 1.0, things(1, process="a")),
            snapshot("e", 1.0, things(5)),
            snapshot("f", 1.0, ["parley_things_total", {}, "NaN"]),
        ]
    )
    assert exposed(merged) == {("parley_things_total", "a"): 1, ("parley_things_total", "e"): 5}
    assert merged.unread == 4
    assert list(merged.since) == ["a", "e"]


def test_names_that_are_taken_are_refused() -> None:
    merged = merge([snapshot("a", 1.0, things(1))], taken={"parley_things"})
    assert (merged.unread, merged.families) == (1, {})


def test_a_process_that_starts_again_counts_from_nothing() -> None:
    merged = merge([snapshot("lane/live-1", 10.0, things(2)), snapshot("lane/live-1", 5.0, things(700))])
    assert exposed(merged) == {("parley_things_total", "lane/live-1"): 2}
