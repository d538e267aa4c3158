"""The services of the routes, one of each per replica: databases, log, live fan-out, limits and metrics.

`services` opens and closes them, and gives them to routes as `ServicesDep`. `live_fanout` and `meeting_progress` serve the
live streams of all clients, and `message_socket` serves clients that send. `stream_limit` bounds both.
`engine_problems` reads the engines' problems from replicas, and `request_budgets` the requests that a source still allows.
`host_lookup` checks hosts that requests name.
"""

__all__ = [
    "engine_problems",
    "host_lookup",
    "live_fanout",
    "meeting_progress",
    "message_socket",
    "request_budgets",
    "services",
    "stream_limit",
]
