"""Postgres, Redis, and what is stored in them.

- `storage.postgres`: tables and queries. `storage.migrations`: the schema's versions.
- `storage.redis_log`: the log, one stream for each lane, and the channels of live events.
- `storage.ingest`: opens, feeds and ends meetings. `storage.batch_commit`: the transactions of a lane and of the backfill.
- `storage.notes`: notes on parts of a meeting. `storage.insights`: what is written about whole meetings, and its templates.
- `storage.glossaries`: the glossaries of a team. `storage.chat`: conversations about meetings. `storage.retrieval`: the
  search by meaning.
- `storage.encryption`: encrypts stored secrets. `storage.source_apis`: clients of the APIs where sources store transcripts.
- `storage.cancellation`: the end of tasks that call stores.
- `storage.outbound_connections`: connections to addresses that users of the API name.
- `storage.observability`: a process's metrics and traces. `storage.embedded_servers`: a Postgres and a Valkey of Parley's own.

The meaning of a meeting's text is in `operators`. Async functions serve event loops; functions that take a `Connection` block.
"""

__all__ = [
    "batch_commit",
    "cancellation",
    "chat",
    "connections",
    "embedded_servers",
    "encryption",
    "glossaries",
    "ingest",
    "insights",
    "migrations",
    "notes",
    "observability",
    "outbound_connections",
    "postgres",
    "readiness",
    "records",
    "redis_keys",
    "redis_log",
    "retrieval",
    "source_apis",
    "store_urls",
]
