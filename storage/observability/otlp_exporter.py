"""Sends spans of sentences over OTLP, in batches, from a thread of OpenTelemetry."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

from storage.observability.process_metrics import ProcessMetrics
from storage.observability.trace_ids import ROOT_SPAN, root_span_id, trace_id

CLOSE_TIMEOUT_S = 2.0
"""Seconds that an ending process waits for its last spans to be sent. The exporter itself would retry for half a minute."""

_SAMPLED = trace.TraceFlags(trace.TraceFlags.SAMPLED)


class OtlpTraces:
    """Sends traces to the endpoint that the environment names. Implements `storage.observability.tracing.SentenceTraces`.

    Args:
        metrics: the metrics of this process.
        ratio: the share of sentences to trace, from 0 to 1.
    """

    def __init__(self, metrics: ProcessMetrics, ratio: float) -> None:
        resource = Resource({"service.name": "parley", "service.instance.id": metrics.process})
        self._metrics = metrics
        self._id_generator = _SentenceIdGenerator()
        self._provider = TracerProvider(
            sampler=TraceIdRatioBased(ratio),
            resource=resource.merge(OTELResourceDetector().detect()),
            id_generator=self._id_generator,
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(_CountingExporter(OTLPSpanExporter(), metrics)))
        self._tracer = self._provider.get_tracer("parley")

    def add_span(
        self, name: str, meeting_id: str, sentence_id: str, started_at: float, ended_at: float, **attributes: str | int
    ) -> None:
        """Add a span. A full queue drops its oldest span."""
        root_context = trace.SpanContext(
            trace_id(meeting_id, sentence_id), root_span_id(meeting_id, sentence_id), True, _SAMPLED
        )
        span_attributes: dict[str, str | int] = {"meeting": meeting_id, "sentence": sentence_id, **attributes}
        parent_context = (
            Context()
            if name == ROOT_SPAN
            else trace.set_span_in_context(trace.NonRecordingSpan(root_context), Context())
        )
        self._id_generator.next_root = root_context if name == ROOT_SPAN else None
        span = self._tracer.start_span(
            name,
            parent_context,
            attributes={f"parley.{key}": value for key, value in span_attributes.items()},
            start_time=_to_nanoseconds(started_at),
        )
        if span.is_recording():
            self._metrics.count_spans("made", 1)
        span.end(_to_nanoseconds(max(started_at, ended_at)))

    def close(self) -> None:
        """Send the remaining spans, for two seconds at most."""
        shutdown_thread = threading.Thread(target=self._provider.shutdown, name="traces-closing", daemon=True)
        shutdown_thread.start()
        shutdown_thread.join(CLOSE_TIMEOUT_S)


class _CountingExporter(SpanExporter):
    def __init__(self, exporter: OTLPSpanExporter, metrics: ProcessMetrics) -> None:
        self._exporter = exporter
        self._metrics = metrics

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._metrics.count_spans("sent", len(spans))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class _SentenceIdGenerator(RandomIdGenerator, threading.local):
    """Generates random ids, except for `next_root`, the root span that this thread is about to start."""

    next_root: trace.SpanContext | None = None

    def generate_trace_id(self) -> int:
        return self.next_root.trace_id if self.next_root else super().generate_trace_id()

    def generate_span_id(self) -> int:
        return self.next_root.span_id if self.next_root else super().generate_span_id()


def _to_nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
