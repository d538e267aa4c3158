"""What the routes use, one of each per replica: databases, log, live fan-out, limits and metrics.

`services` opens and closes them, and gives them to routes as `ServicesDep`. `live_fanout` and `meeting_progress` serve the
live streams of all clients, `stream_limit` bounds these, and `engine_problems` reads the engines' problems from replicas.
"""

__all__ = [
    "engine_problems",
    "live_fanout",
    "meeting_progress",
    "services",
    "stream_limit",
]
