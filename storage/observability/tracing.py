"""One OpenTelemetry trace for each sentence, across processes that pass no trace context to each other.

The ids of a sentence's trace and of its root span are derived from the sentence's id. So every process adds its spans to the
same trace by itself, and all agree on whether it is sampled. Spans hold times and ids, never transcript text.

OpenTelemetry's environment variables configure it. Unless one of `ENDPOINT_VARIABLES` is set, nothing is sent or imported.
"""

from __future__ import annotations

import os
from typing import Protocol

import structlog

from storage.observability.process_metrics import ProcessMetrics

ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
RATIO_VARIABLE = "OTEL_TRACES_SAMPLER_ARG"

log = structlog.get_logger(__name__)


class SentenceTraces(Protocol):
    """Receives the spans of sentences."""

    def add_span(
        self, name: str, meeting_id: str, sentence_id: str, started_at: float, ended_at: float, **attributes: str | int
    ) -> None:
        """Add a span to a sentence's trace.

        Args:
            name: the span's name; `trace_ids.ROOT_SPAN` is the parent of all others.
            meeting_id, sentence_id: the sentence.
            started_at, ended_at: seconds since the epoch.
            attributes: further attributes; never transcript text.
        """

    def close(self) -> None:
        """Send the remaining spans, as far as that succeeds within a short time."""


class _DisabledTraces:
    def add_span(
        self, name: str, meeting_id: str, sentence_id: str, started_at: float, ended_at: float, **attributes: str | int
    ) -> None:
        pass

    def close(self) -> None:
        pass


def open_traces(metrics: ProcessMetrics) -> SentenceTraces:
    """Make the receiver of spans: the endpoint that the environment names, or nothing.

    Args:
        metrics: the metrics of this process, which count its spans and name the process.
    """
    if not any(os.environ.get(name) for name in ENDPOINT_VARIABLES):
        return _DisabledTraces()
    # A late import, because processes without traces don't need OpenTelemetry.
    from storage.observability.otlp_exporter import OtlpTraces

    return OtlpTraces(metrics, _sampling_ratio())


def _sampling_ratio() -> float:
    try:
        ratio = float(os.environ.get(RATIO_VARIABLE) or 1)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        log.warning(
            "every sentence is traced: the ratio is invalid", variable=RATIO_VARIABLE, must_be="a number from 0 to 1"
        )
        return 1.0
    return ratio
