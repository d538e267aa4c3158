"""The metrics of one process: the duration of each stage, and counters. Each family of such metrics is declared here.

Lanes, the maintenance actor and the API's replicas open no port for metrics: `storage.observability.metrics_federation`
brings them to the API's `/metrics`.
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
    "notes",
    "queue",
    "call",
    "commit",
    "push",
    "sentence",
    "caption",
    "draft",
    "backfill",
    "webhook",
]
"""The stages that are timed, in the order in which an entry passes them.

- `arrival`: a request's events, from received to accepted.
- `log`: from accepted to read by the lane.
- `dedup`, `sentences`, `context`, `notes`: one step of that operator.
- `queue`, `call`: a translation's wait for its turn, and its call.
- `commit`: the lane's transaction.
- `push`: from committed to passed to a subscriber's socket.
- `sentence`: from the arrival of the meeting's last entry to the commit of the sentence that it completed.
- `caption`: from the commit of a sentence to the commit of its caption.
- `draft`: the translation of an interim text.
- `backfill`: the translation of a pending caption.
- `webhook`: an attempt to deliver an event to a webhook endpoint.
"""

CallOutcome = Literal["answered", "deadline", "capacity", "replaced", "stopped", "failed"]
"""Outcome of a call.

- `answered`: with an answer.
- `deadline`: its deadline passed.
- `capacity`: there was no room for it.
- `replaced`: a newer revision replaced it.
- `stopped`: the lane stopped.
- `failed`: with an error.
"""

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
"""Outcome of a draft.

- `published`: its text was published.
- `unchanged`: its text was shown already.
- `untranslated`: the engine gave no translation in that language.
- `stale`: its sentence had been emitted.
- `captions_waiting`: not requested, because captions waited.
- `replaced`: not requested, because a newer interim text replaced it.
- `capacity`: not requested, because there was no room for it.
- `deadline`, `stopped`, `failed`: as for a call.
"""

WebhookOutcome = Literal["accepted", "retried", "failed", "disabled"]
"""Outcome of an attempt to deliver an event to a webhook endpoint.

- `accepted`: the receiver accepted it.
- `retried`: it failed, and is attempted again.
- `failed`: it failed for the last time.
- `disabled`: the receiver wants no more events, so the endpoint was disabled.
"""


class ProcessMetrics:
    """The metrics of one process. Any thread may add to them.

    Args:
        process: the process's name: `lane/live-1`, `maintenance`, `api/node/pid`. The part before the first slash is its kind.
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
        # Cached, because `labels` costs more than `observe`.
        self._latency_children: dict[LatencyMetric, Histogram] = {}
        self._calls = Counter(
            "parley_calls", "Translation calls that ended, by outcome", ["outcome"], registry=self._registry
        )
        self._drafts = Counter("parley_drafts", "Drafts that ended, by outcome", ["outcome"], registry=self._registry)
        self._retries = Counter("parley_call_retries", "Translations requested again", registry=self._registry)
        self._webhooks = Counter(
            "parley_webhook_attempts",
            "Attempts to deliver an event to a webhook endpoint, by outcome",
            ["ended"],
            registry=self._registry,
        )
        self._unpublished = Counter(
            "parley_snapshots_unpublished", "Snapshots of metrics that could not be published", registry=self._registry
        )
        self._spans = Counter("parley_spans", "Spans of traces, made and sent", ["state"], registry=self._registry)

    def observe(self, stage: LatencyMetric, seconds: float) -> None:
        """Record the duration of a stage. A negative duration, from the clocks of two machines, counts as 0."""
        child = self._latency_children.get(stage)
        if child is None:
            child = self._latency_children[stage] = self._latencies.labels(stage)
        child.observe(max(0.0, seconds))

    @contextmanager
    def measure(self, stage: LatencyMetric, steps: int = 1) -> Generator[None]:
        """Observe the duration of the block. A block that raises is not observed.

        Args:
            stage: the stage that the block is.
            steps: number of equal steps in the block; the duration of one step is observed.
        """
        started_at = time.perf_counter()
        yield
        self.observe(stage, (time.perf_counter() - started_at) / steps)

    def count_call(self, outcome: CallOutcome, attempts: int = 1) -> None:
        """Count a call that ended, and its retries: all `attempts` after the first."""
        self._calls.labels(outcome).inc()
        if attempts > 1:
            self._retries.inc(attempts - 1)

    def count_draft(self, outcome: DraftOutcome) -> None:
        """Count a draft that ended."""
        self._drafts.labels(outcome).inc()

    def count_webhook(self, outcome: WebhookOutcome) -> None:
        """Count an attempt to deliver an event to a webhook endpoint."""
        self._webhooks.labels(outcome).inc()

    def count_unpublished(self) -> None:
        """Count a snapshot of these metrics that could not be published."""
        self._unpublished.inc()

    def count_spans(self, state: Literal["made", "sent"], count: int) -> None:
        """Count spans that were made or sent. A span that was made and never sent is lost."""
        self._spans.labels(state).inc(count)

    def collect(self) -> list[Metric]:
        """Return the current value of every metric."""
        return list(self._registry.collect())
