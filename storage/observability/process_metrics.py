"""The metrics of one process: the duration of each stage, and counters. Every metric family is declared here.

Lanes, the maintenance actor and the API's replicas open no port for them: `storage.observability.metrics_federation` brings
them to the API's `/metrics`.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import Metric

LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the histograms, in seconds."""

LatencyMetric = Literal[
    "arrival",
    "log",
    "dedup",
    "sentences",
    "context",
    "queue",
    "call",
    "commit",
    "push",
    "sentence",
    "caption",
    "draft",
    "backfill",
]
"""What is timed, in the order of an entry's way.

`arrival`: a request's events, from received to accepted. `log`: accepted to read by the lane. `dedup`, `sentences`,
`context`: the operator's own step. `queue` and `call`: a translation that waits for its turn, and is asked. `commit`: the
lane's transaction. `push`: committed to handed to a follower's socket. And over all of it, `sentence`: from the arrival of
the meeting's last entry to the commit of the sentence that it brought; `caption`: from there to the commit of its caption.
`draft`: a draft of a sentence that is still being said, asked and answered. `backfill`: a translation that was pending, and is
asked again.
"""

CallOutcome = Literal["answered", "deadline", "capacity", "replaced", "stopped", "failed"]
"""How a call ended: with an answer; given up too late, at once for want of room, for a newer revision, or because the lane
ended; by an error."""

DraftOutcome = Literal[
    "published",
    "unchanged",
    "untranslated",
    "stale",
    "captions_waiting",
    "replaced",
    "capacity",
    "deadline",
    "stopped",
    "failed",
]
"""How a draft ended. With an answer: more of it or other words are shown, or nothing else is; there was none in that language;
its sentence had been put out. Not asked: captions waited, a newer one took its place, for want of room. Or as a call ends."""


class ProcessMetrics:
    """The measures of one process. Any thread may add to them.

    Args:
        process: names it: `lane/live-1`, `maintenance`, `api/node/pid`. The part before the first slash is its kind.
    """

    def __init__(self, process: str) -> None:
        self.process = process
        self._registry = CollectorRegistry()
        self._latencies = Histogram(
            "parley_stage_seconds",
            "Time that each stage takes",
            ["stage"],
            buckets=LATENCY_BUCKETS_S,
            registry=self._registry,
        )
        # Looked up once each: `labels` costs more than to observe.
        self._latency_children: dict[LatencyMetric, Histogram] = {}
        self._calls = Counter("parley_calls", "Translations that ended, by how", ["ended"], registry=self._registry)
        self._drafts = Counter("parley_drafts", "Drafts that ended, by how", ["ended"], registry=self._registry)
        self._retries = Counter("parley_call_retries", "Translations asked again", registry=self._registry)
        self._unpublished = Counter(
            "parley_snapshots_unpublished", "Times these measures could not be published", registry=self._registry
        )
        self._spans = Counter("parley_spans", "Spans of traces, made and sent", ["state"], registry=self._registry)

    def observe(self, stage: LatencyMetric, seconds: float) -> None:
        """Note that a stage took so long; less than nothing, as clocks of two machines may say, counts as nothing."""
        child = self._latency_children.get(stage)
        if child is None:
            child = self._latency_children[stage] = self._latencies.labels(stage)
        child.observe(max(0.0, seconds))

    @contextmanager
    def measure(self, stage: LatencyMetric, steps: int = 1) -> Generator[None]:
        """Observe how long the block takes. One that raises is no measure of the stage.

        Args:
            steps: how many equal steps it does; one step's share of the time is observed.
        """
        started_at = time.perf_counter()
        yield
        self.observe(stage, (time.perf_counter() - started_at) / steps)

    def count_call(self, outcome: CallOutcome, attempts: int = 1) -> None:
        """Count a call that ended, and how many times more than once it was `asked`."""
        self._calls.labels(outcome).inc()
        if attempts > 1:
            self._retries.inc(attempts - 1)

    def count_draft(self, outcome: DraftOutcome) -> None:
        """Count a draft that ended."""
        self._drafts.labels(outcome).inc()

    def count_unpublished(self) -> None:
        """Count that these measures could not be published."""
        self._unpublished.inc()

    def count_spans(self, state: Literal["made", "sent"], count: int) -> None:
        """Count spans that were made for a trace, or sent. What was made and is never sent is lost."""
        self._spans.labels(state).inc(count)

    def collect(self) -> list[Metric]:
        """Everything, as it stands."""
        return list(self._registry.collect())
