"""The tables of insights: the templates that a team changed or added, and what the model wrote by them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
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

# A row with the name of a default stands for it.
insight_templates = Table(
    "insight_templates",
    metadata,
    Column("team_id", ForeignKey("teams.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("content", JSONB, nullable=False),
    timestamp_column("created_at"),
    timestamp_column("updated_at"),
)

insights = Table(
    "insights",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("team_id", ForeignKey("teams.id"), nullable=False),
    Column("meeting_id", ForeignKey("meetings.id", ondelete="CASCADE"), nullable=False),
    Column("template", Text, nullable=False),
    # The template as it was then, with its version.
    Column("template_version", Integer, nullable=False),
    Column("template_content", JSONB, nullable=False),
    Column("language", Text, nullable=False),
    Column("instructions", Text, nullable=False, server_default=""),
    # Number of this insight among those of the same meeting, template and language.
    Column("number", Integer, nullable=False),
    Column(
        "status",
        Text,
        CheckConstraint("status in ('pending', 'ready', 'failed')", name="status"),
        nullable=False,
        server_default="pending",
    ),
    Column("text", Text),
    # Rows with the ids of their sentences, if the template asks for rows.
    Column("rows", JSONB),
    Column("dropped_rows", Integer, nullable=False, server_default="0"),
    Column("dropped_sentences", Integer, nullable=False, server_default="0"),
    # `seq` of the meeting's last live event when the transcript was read: what follows is not in the insight.
    Column("transcript_seq", BigInteger),
    Column("engine", Text),
    Column("prompt_version", Integer),
    Column("prompt_tokens", Integer, nullable=False, server_default="0"),
    Column("completion_tokens", Integer, nullable=False, server_default="0"),
    Column("part_count", Integer, nullable=False, server_default="0"),
    # `length` if the answer, or the notes on a part, was cut off.
    Column("finish", Text),
    Column("reason", Text),
    Column("failures", Integer, nullable=False, server_default="0"),
    # When the maintenance actor may generate it; null once it is ready or has failed for good.
    Column("due_at", DateTime(timezone=True)),
    timestamp_column("created_at"),
    Column("finished_at", DateTime(timezone=True)),
    UniqueConstraint("meeting_id", "template", "language", "number"),
    Index("ix_insights_due", "due_at", postgresql_where="due_at is not null"),
)
