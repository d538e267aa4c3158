"""The tables of transcript sources: connections, configurations, accounts, received webhooks, facts about meetings."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from storage.postgres.tables.columns import key_columns, metadata, timestamp_column

# Connections of Parley to a source's live stream: one row for each meeting that was asked for.
connector_sessions = Table(
    "connector_sessions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("team_id", ForeignKey("teams.id"), nullable=False),
    Column("source", Text, nullable=False),
    # The source's own id of the meeting.
    Column("external_id", Text, nullable=False),
    Column("meeting_id", ForeignKey("meetings.id", ondelete="CASCADE"), nullable=False),
    *key_columns(),
    Column("options", JSONB, nullable=False, server_default="{}"),
    # Whether the connection shall exist: a request to disconnect only sets this.
    Column(
        "desired",
        Text,
        CheckConstraint("desired in ('connected', 'disconnected')", name="desired"),
        nullable=False,
        server_default="connected",
    ),
    Column(
        "status",
        Text,
        CheckConstraint("status in ('connecting', 'connected', 'reconnecting', 'failed', 'ended')", name="status"),
        nullable=False,
        server_default="connecting",
    ),
    Column("counters", JSONB, nullable=False, server_default="{}"),
    Column("last_error", Text),
    # Speech that may be missing, because there was no connection, as `[start, end]` in seconds from the meeting's start.
    Column("gaps", JSONB, nullable=False, server_default="[]"),
    Column("connected_at", DateTime(timezone=True)),
    Column("last_message_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
    timestamp_column("created_at"),
    # When a connector last said that it runs the session.
    timestamp_column("heartbeat_at"),
    # An encrypted key is deleted when the session is over.
    CheckConstraint(
        "(encrypted_key is null) <> (key_variable is null)"
        " or (encrypted_key is null and status in ('failed', 'ended'))",
        name="key",
    ),
    Index(
        "uq_connector_sessions_open",
        "team_id",
        "source",
        "external_id",
        unique=True,
        postgresql_where="status not in ('failed', 'ended')",
    ),
    Index("ix_connector_sessions_meeting_id", "meeting_id"),
)

# Configurations of transcript sources that send their messages to Parley.
sources = Table(
    "sources",
    metadata,
    Column("team_id", ForeignKey("teams.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    # The config of meetings that the source's speech opens, without a glossary.
    Column("config", JSONB, nullable=False),
    # The signing secret: encrypted, or the name of an environment variable. Messages are not checked if both are null.
    Column("encrypted_secret", Text),
    Column("secret_env", Text),
    # Requests that were refused because of a wrong or missing signature.
    Column("refused_count", BigInteger, nullable=False, server_default="0"),
    timestamp_column("updated_at"),
    CheckConstraint("encrypted_secret is null or secret_env is null", name="one_secret"),
)

# A team's account at a source: the key and the defaults of meetings that come from it.
source_accounts = Table(
    "source_accounts",
    metadata,
    Column("team_id", ForeignKey("teams.id"), primary_key=True),
    Column("source", Text, primary_key=True),
    *key_columns(),
    # The secret of the webhooks that the source sends, in the same two forms.
    Column("encrypted_webhook_secret", Text),
    Column("webhook_secret_variable", Text),
    Column("options", JSONB, nullable=False, server_default="{}"),
    # The config of new meetings.
    Column("config", JSONB, nullable=False, server_default="{}"),
    # Number of webhooks by event and outcome.
    Column("counters", JSONB, nullable=False, server_default="{}"),
    timestamp_column("updated_at"),
    CheckConstraint("encrypted_key is null or key_variable is null", name="one_key"),
    CheckConstraint("encrypted_webhook_secret is null or webhook_secret_variable is null", name="one_webhook_secret"),
)

# Webhooks that a source sent, until they are processed and for a month afterwards.
source_notifications = Table(
    "source_notifications",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("team_id", ForeignKey("teams.id"), nullable=False),
    Column("source", Text, nullable=False),
    # SHA-256 of the body: a repeated delivery has the same.
    Column("digest", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    # What followed, in words for the user; null until it is processed.
    Column("outcome", Text),
    timestamp_column("due_at"),
    timestamp_column("created_at"),
    UniqueConstraint("team_id", "source", "digest"),
    Index("ix_source_notifications_open", "due_at", postgresql_where="outcome is null"),
    Index("ix_source_notifications_created_at", "created_at"),
)

# The facts that a source has about a meeting beside its transcript: summary, attendees, attendance.
source_metadata = Table(
    "source_metadata",
    metadata,
    Column("meeting_id", ForeignKey("meetings.id", ondelete="CASCADE"), primary_key=True),
    Column("team_id", ForeignKey("teams.id"), nullable=False),
    Column("source", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("content", JSONB, nullable=False),
    timestamp_column("updated_at"),
)
