"""The tables of teams, lanes, dead letters and engine configurations."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from storage.postgres.tables.columns import metadata, timestamp_column

teams = Table(
    "teams",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    timestamp_column("created_at"),
    # Counters that belong to none of its meetings: refused openings of meetings.
    Column("counters", JSONB, nullable=False, server_default="{}"),
)

# The tokens of a team's notes, insights and answers on a day (UTC), by the role of the requests.
token_usage = Table(
    "token_usage",
    metadata,
    Column("team_id", ForeignKey("teams.id"), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("role", Text, primary_key=True),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
)

lanes = Table(
    "lanes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, CheckConstraint("kind in ('live', 'batch')", name="kind"), nullable=False),
    # Raised by each process that takes the lane over; a process with an older one can't write.
    Column("epoch", BigInteger, nullable=False, server_default="0"),
    Column("pid", Integer),
    Column("node", Text),
    Column("state", Text, nullable=False, server_default="stopped"),
    # It gets no new meetings, and its open ones move to other lanes.
    Column("draining", Boolean, nullable=False, server_default="false"),
    # As of the last sign of life: the log's id up to which all is committed, calls without a result, entries in the log.
    Column("log_id", Text, nullable=False, server_default="0-0"),
    # The log is retained after this id if meetings that move need more of it than `log_id` does.
    Column("retain_after", Text),
    Column("pending_calls", Integer, nullable=False, server_default="0"),
    Column("log_length", BigInteger, nullable=False, server_default="0"),
    # As of the last sign of life of a live lane: when its first uncommitted tick is due (ms, by Redis' time); null if none is.
    Column("due_at", BigInteger),
    timestamp_column("updated_at"),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("team_id", ForeignKey("teams.id")),
    Column("meeting_id", Uuid),
    Column("lane_id", Text, nullable=False),
    # The entry's id in the log. It prevents a second letter if the entry is read again.
    Column("log_id", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("fields", JSONB, nullable=False),
    timestamp_column("created_at"),
    # When the letter was first resubmitted.
    Column("resubmitted_at", DateTime(timezone=True)),
    UniqueConstraint("lane_id", "log_id"),
    Index("ix_dead_letters_team_id_id", "team_id", "id"),
)

# Versions of the engine configuration, for all teams: the newest one is in force.
engine_config_versions = Table(
    "engine_config_versions",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("config", JSONB, nullable=False),
    # Its source: the settings at a start, a request, or a rollback to an older version.
    Column(
        "origin", Text, CheckConstraint("origin in ('settings', 'request', 'rollback')", name="origin"), nullable=False
    ),
    Column("note", Text, nullable=False, server_default=""),
    # Why applications could not be started, by application.
    Column("problems", JSONB, nullable=False, server_default="{}"),
    timestamp_column("created_at"),
)
