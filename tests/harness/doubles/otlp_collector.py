"""A collector that receives OpenTelemetry traces over OTLP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass(frozen=True)
class Span:
    """A received span. `process` is the sender's instance id; times are Unix nanoseconds."""

    process: str
    name: str
    trace: str
    id: str
    parent: str
    started_ns: int
    ended_ns: int
    attributes: dict[str, Any]


@dataclass
class OtlpCollector:
    """The received spans and request bodies.

    Attributes:
        url: the collector's base URL.
        spans: the received spans, in order.
        bodies: the received request bodies, in order.
        may_answer: requests wait until it is set, at most a minute.
    """

    url: str
    spans: list[Span] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    may_answer: threading.Event = field(default_factory=threading.Event)

    def record(self, body: bytes) -> None:
        """Store a request's body and its spans."""
        self.bodies.append(body)
        request = ExportTraceServiceRequest.FromString(body)
        for resource_spans in request.resource_spans:
            process = {attribute.key: attribute.value.string_value for attribute in resource_spans.resource.attributes}[
                "service.instance.id"
            ]
            for span in (span for scope in resource_spans.scope_spans for span in scope.spans):
                values = {a.key: getattr(a.value, str(a.value.WhichOneof("value"))) for a in span.attributes}
                ids = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
                times = span.start_time_unix_nano, span.end_time_unix_nano
                self.spans.append(Span(process, span.name, *ids, *times, values))


@contextmanager
def otlp_collector() -> Iterator[OtlpCollector]:
    """Run a collector on loopback during the block."""

    class CollectorHandler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.may_answer.wait(60)
            assert self.path == "/v1/traces"
            collector.record(body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), CollectorHandler)
    collector = OtlpCollector(f"http://127.0.0.1:{server.server_address[1]}")
    collector.may_answer.set()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield collector
    finally:
        collector.may_answer.set()
        server.shutdown()
        thread.join()
        server.server_close()
