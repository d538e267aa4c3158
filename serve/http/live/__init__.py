"""Live events of a meeting to its clients, over WebSocket and server-sent events.

`routes` has the two endpoints, `subscription` the stream of one client, `push_metrics` the latency of each push. All clients
share one Redis connection: `serve.http.dependencies.live_fanout`.
"""

__all__ = [
    "routes",
    "subscription",
]
