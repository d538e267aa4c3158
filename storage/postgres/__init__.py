"""The tables, and the queries of teams, token usage, lanes, meetings, transcripts, imports, dead letters, engines, sources.

Every row belongs to a team, except those of lanes and engine configurations. `MeetingTransaction` locks meetings and writes
their counters and outbox events. All code that writes a meeting's rows and events uses it.

A lane's writes are in `storage.batch_commit`. `storage.ingest` opens, feeds and ends meetings. `storage.migrations` has the
schema's versions.
"""

__all__ = [
    "connector_sessions",
    "dead_letter_queue",
    "engine_config_versions",
    "lane_positions",
    "lane_registry",
    "leader_lock",
    "meeting_queries",
    "meeting_transaction",
    "outbox",
    "sentence_corrections",
    "source_accounts",
    "source_configs",
    "source_import_runs",
    "source_imports",
    "source_metadata",
    "source_notifications",
    "speaker_names",
    "stored_counts",
    "tables",
    "teams",
    "token_usage",
    "transcript_imports",
    "transcript_queries",
    "transcript_search",
    "webhook_deliveries",
    "webhook_endpoints",
    "webhook_queue",
]
