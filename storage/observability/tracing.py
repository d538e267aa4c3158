"""One OpenTelemetry trace a sentence, across processes that hand no context to each other.

The ids of a sentence's trace and of its root span are made from the sentence's own. So every process adds its spans to the
same trace by itself, and all agree on whether it is sampled. Spans say when and which, never what.

OpenTelemetry's own variables set it up. Unless one of `ENDPOINT_VARIABLES` is set nothing is done, or even imported.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from typing import Protocol

import structlog

from storage.observability.process_metrics import ProcessMetrics

ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
RATIO_VARIABLE = "OTEL_TRACES_SAMPLER_ARG"
ROOT_SPAN = "sentence"
"""The name of the root span of each trace. One process adds it, once."""

log = structlog.get_logger(__name__)


class SentenceTraces(Protocol):
    """Where spans go."""

    def add_span(
        self, name: str, meeting_id: str, sentence_id: str, started_at: float, ended_at: float, **attributes: str | int
    ) -> None:
        """Add a span to a sentence's trace; `ROOT_SPAN` is the one that the others lie under.

        Args:
            began, ended: seconds since the epoch.
            attributes: what else to say of it; never what was said.
        """

    def close(self) -> None:
        """Send what is left, as far as that goes quickly."""


class _DisabledTraces:
    def add_span(
        self, name: str, meeting_id: str, sentence_id: str, started_at: float, ended_at: float, **attributes: str | int
    ) -> None:
        pass

    def close(self) -> None:
        pass


def open_traces(measures: ProcessMetrics) -> SentenceTraces:
    """Traces to the endpoint that the environment names, or to nowhere.

    Args:
        measures: those of this process, which count its spans and name it.
    """
    if not any(os.environ.get(name) for name in ENDPOINT_VARIABLES):
        return _DisabledTraces()
    # Not before: processes without traces are spared it.
    from storage.observability.otlp_exporter import OtlpTraces

    return OtlpTraces(measures, _sampling_ratio())


def _sampling_ratio() -> float:
    try:
        ratio = float(os.environ.get(RATIO_VARIABLE) or 1)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        log.warning(
            "every sentence is traced: the ratio is none", variable=RATIO_VARIABLE, must_be="a number from 0 to 1"
        )
        return 1.0
    return ratio


def trace_id(meeting_id: str, sentence_id: str) -> int:
    """The id of a sentence's trace."""
    return _digest(meeting_id, sentence_id, 16)


def root_span_id(meeting_id: str, sentence_id: str) -> int:
    """The id of the root span of a sentence's trace."""
    return _digest(meeting_id, sentence_id, 8)


def _digest(meeting_id: str, sentence_id: str, size: int) -> int:
    # No id may be 0.
    return int.from_bytes(blake2b(f"{meeting_id}/{sentence_id}".encode(), digest_size=size).digest(), "big") or 1
