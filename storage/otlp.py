"""Spans of sentences, sent over OTLP in batches by a thread of OpenTelemetry's."""

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

from storage.measures import Measures
from storage.tracing import ROOT, root_id, trace_id

CLOSING_S = 2.0
"""How long a process that ends waits for its last spans to be sent. The exporter itself would try for half a minute."""

_SAMPLED = trace.TraceFlags(trace.TraceFlags.SAMPLED)


class ExportedTraces:
    """Traces to the endpoint that the environment names. See `storage.tracing.Traces`.

    Args:
        measures: those of this process.
        ratio: the share of the sentences that is traced.
    """

    def __init__(self, measures: Measures, ratio: float) -> None:
        resource = Resource({"service.name": "parley", "service.instance.id": measures.process})
        self._measures = measures
        self._ids = _Ids()
        self._provider = TracerProvider(
            sampler=TraceIdRatioBased(ratio),
            resource=resource.merge(OTELResourceDetector().detect()),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(_Counted(OTLPSpanExporter(), measures)))
        self._tracer = self._provider.get_tracer("parley")

    def span(
        self, name: str, meeting_id: str, sentence_id: str, began: float, ended: float, **attributes: str | int
    ) -> None:
        """Add a span. A queue that is full drops the oldest."""
        root = trace.SpanContext(trace_id(meeting_id, sentence_id), root_id(meeting_id, sentence_id), True, _SAMPLED)
        named: dict[str, str | int] = {"meeting": meeting_id, "sentence": sentence_id, **attributes}
        above = Context() if name == ROOT else trace.set_span_in_context(trace.NonRecordingSpan(root), Context())
        self._ids.root = root if name == ROOT else None
        span = self._tracer.start_span(
            name,
            above,
            attributes={f"parley.{key}": value for key, value in named.items()},
            start_time=_nanoseconds(began),
        )
        if span.is_recording():
            self._measures.spans("made", 1)
        span.end(_nanoseconds(max(began, ended)))

    def close(self) -> None:
        """Send what is left, for two seconds at most."""
        closing = threading.Thread(target=self._provider.shutdown, name="traces-closing", daemon=True)
        closing.start()
        closing.join(CLOSING_S)


class _Counted(SpanExporter):
    def __init__(self, exporter: OTLPSpanExporter, measures: Measures) -> None:
        self._exporter = exporter
        self._measures = measures

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._measures.spans("sent", len(spans))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class _Ids(RandomIdGenerator, threading.local):
    """Draws ids, but for those of `root`, the root span that this thread is about to begin."""

    root: trace.SpanContext | None = None

    def generate_trace_id(self) -> int:
        return self.root.trace_id if self.root else super().generate_trace_id()

    def generate_span_id(self) -> int:
        return self.root.span_id if self.root else super().generate_span_id()


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
