"""A process's metrics and traces.

`ProcessMetrics` declares every metric. `metrics_federation` publishes them in Redis for half a minute and merges those of all
processes. `tracing` makes one OpenTelemetry trace for each sentence. None of it holds transcript text.

Metrics that are counted in the database, and the `/metrics` route, are in `serve.http`. This package imports nothing by
itself: OpenTelemetry is imported only if an endpoint is set.
"""

__all__ = [
    "metrics_federation",
    "process_metrics",
    "trace_ids",
    "tracing",
]
