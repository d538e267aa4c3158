"""The ingest service: it opens, feeds, moves and ends meetings, in Postgres and in the log.

Each call can be repeated after a crash. `AcceptedLedger` records accepted ordinals in Postgres once a second, so that entries
that Redis loses are counted. `meeting_configs` changes configs of open meetings. `lane_lag` measures how far lanes lag; the HTTP
API refuses batches by it. `source_sessions` keeps the states of source adapters.

`connector_opening` opens sessions of connectors, each with its meeting. `connector_memory` keeps what connectors must know
after a restart; `request_budget` counts requests to a source's API.
`idempotent_responses` keeps the responses to requests that may be repeated.

The HTTP routes are in `serve.http`, the log's scripts in `storage.redis_log`.
"""

__all__ = [
    "connector_memory",
    "connector_opening",
    "idempotent_responses",
    "lane_lag",
    "meeting_configs",
    "meeting_service",
    "request_budget",
    "source_sessions",
]
