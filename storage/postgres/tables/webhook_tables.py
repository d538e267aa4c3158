"""The tables of webhooks: their receivers, and the deliveries to each."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY

from storage.postgres.tables.columns import metadata, timestamp_column

# Receivers of webhooks.
webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("team_id", ForeignKey("teams.id"), nullable=False),
    Column("url", Text, nullable=False),
    Column("event_types", ARRAY(Text, as_tuple=True), nullable=False),
    Column("enabled", Boolean, nullable=False, server_default="true"),
    Column("disabled_reason", Text),
    # Encrypted. After a rotation, the previous secret signs as well, until it expires.
    Column("secret", Text, nullable=False),
    Column("previous_secret", Text),
    Column("previous_secret_expires_at", DateTime(timezone=True)),
    timestamp_column("created_at"),
    Index("ix_webhook_endpoints_team_id_created_at", "team_id", "created_at"),
)

# Deliveries of events to endpoints: the queue, and the log of what became of each.
webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("team_id", ForeignKey("teams.id"), nullable=False),
    Column("endpoint_id", ForeignKey("webhook_endpoints.id", ondelete="CASCADE"), nullable=False),
    # Deliveries of an endpoint with the same queue are sent in order. The queue is the meeting; for tests, the endpoint.
    Column("queue_id", Uuid, nullable=False),
    Column("meeting_id", ForeignKey("meetings.id", ondelete="CASCADE")),
    Column("seq", BigInteger),
    # The header `webhook-id`: the same at each attempt, and after a replay.
    Column("event_id", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    Column(
        "status",
        Text,
        CheckConstraint("status in ('pending', 'accepted', 'failed')", name="status"),
        nullable=False,
        server_default="pending",
    ),
    # Attempts since it was queued, with those that a crash interrupted, and those of them that failed.
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("failures", Integer, nullable=False, server_default="0"),
    # When it is attempted next: at once without a time. An attempt in progress sets the time at which it counts as lost.
    Column("due_at", DateTime(timezone=True)),
    Column("response_code", Integer),
    Column("reason", Text),
    timestamp_column("created_at"),
    # When it was created, or last replayed.
    timestamp_column("queued_at"),
    Column("attempted_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
    UniqueConstraint("endpoint_id", "event_id"),
    # An event can't be removed from the outbox while a delivery needs its content, except with its meeting.
    ForeignKeyConstraint(["meeting_id", "seq"], ["outbox.meeting_id", "outbox.seq"]),
    Index("ix_webhook_deliveries_endpoint_id_id", "endpoint_id", "id"),
    Index("ix_webhook_deliveries_meeting_id_seq", "meeting_id", "seq"),
    Index("ix_webhook_deliveries_ended_at", "ended_at"),
    Index("ix_webhook_deliveries_pending", "endpoint_id", "queue_id", "id", postgresql_where="status = 'pending'"),
)
