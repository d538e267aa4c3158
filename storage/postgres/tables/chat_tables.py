"""The tables of conversations: questions about meetings, and their answers."""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from storage.postgres.tables.columns import metadata, timestamp_column

conversations = Table(
    "conversations",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("team_id", ForeignKey("teams.id"), nullable=False),
    # Null for all meetings of the team.
    Column("meeting_id", ForeignKey("meetings.id", ondelete="CASCADE")),
    # What of the meeting it is about: the selected sentences, or the speech of the last minutes; else all of it.
    Column("sentence_ids", ARRAY(Text, as_tuple=True), nullable=False, server_default="{}"),
    Column("last_minutes", Double),
    Column("title", Text, nullable=False, server_default=""),
    timestamp_column("created_at"),
    Index("ix_conversations_team_id_created_at", "team_id", "created_at"),
    Index("ix_conversations_meeting_id", "meeting_id"),
)

chat_messages = Table(
    "chat_messages",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("conversation_id", ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("question", Text, nullable=False),
    # A tag, if the client names the answer's language.
    Column("language", Text),
    Column(
        "status",
        Text,
        CheckConstraint("status in ('pending', 'ready', 'failed')", name="status"),
        nullable=False,
        server_default="pending",
    ),
    # The claims with their sentences; the outcome says why there is none.
    Column("claims", JSONB),
    Column("outcome", Text),
    Column("dropped_claims", Integer, nullable=False, server_default="0"),
    Column("dropped_sentences", Integer, nullable=False, server_default="0"),
    # How far the transcript reached, and how much of it the model read.
    Column("reach", JSONB),
    Column("engine", Text),
    Column("prompt_version", Integer),
    Column("prompt_tokens", Integer, nullable=False, server_default="0"),
    Column("completion_tokens", Integer, nullable=False, server_default="0"),
    Column("reason", Text),
    Column("failures", Integer, nullable=False, server_default="0"),
    # When the maintenance actor may answer it; null once it is answered or has failed for good.
    Column("due_at", DateTime(timezone=True)),
    timestamp_column("created_at"),
    Column("finished_at", DateTime(timezone=True)),
    UniqueConstraint("conversation_id", "number"),
    Index("ix_chat_messages_due", "due_at", postgresql_where="due_at is not null"),
)
