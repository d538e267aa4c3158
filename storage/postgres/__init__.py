"""The tables, and the queries of teams, lanes, transcripts, dead letters and engine configurations.

Every row belongs to a team, except those of lanes and engine configurations. `MeetingTransaction` locks meetings and writes
their counters and outbox events. All code that writes a meeting's rows and events uses it.

A lane's writes are in `storage.batch_commit`, and a meeting's row in `storage.ingest`. Schema versions: `storage.migrations`.
"""

__all__ = [
    "dead_letter_queue",
    "engine_config_versions",
    "lane_positions",
    "lane_registry",
    "leader_lock",
    "meeting_transaction",
    "outbox",
    "stored_counts",
    "tables",
    "teams",
    "transcript_queries",
]
