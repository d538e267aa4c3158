"""Add conversations about meetings, with their questions and answers."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "conversations",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("team_id", sa.Text(), sa.ForeignKey("teams.id"), nullable=False),
        sa.Column("meeting_id", sa.Uuid(), sa.ForeignKey("meetings.id", ondelete="CASCADE")),
        sa.Column("sentence_ids", ARRAY(sa.Text()), nullable=False, server_default="{}"),
        sa.Column("last_minutes", sa.Double()),
        sa.Column("title", sa.Text(), nullable=False, server_default=""),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    op.create_index("ix_conversations_team_id_created_at", "conversations", ["team_id", "created_at"])
    op.create_index("ix_conversations_meeting_id", "conversations", ["meeting_id"])
    op.create_table(
        "chat_messages",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("conversation_id", sa.Uuid(), sa.ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("language", sa.Text()),
        sa.Column("status", sa.Text(), nullable=False, server_default="pending"),
        sa.Column("claims", JSONB()),
        sa.Column("outcome", sa.Text()),
        sa.Column("dropped_claims", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("dropped_sentences", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("reach", JSONB()),
        sa.Column("engine", sa.Text()),
        sa.Column("prompt_version", sa.Integer()),
        sa.Column("prompt_tokens", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("completion_tokens", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("reason", sa.Text()),
        sa.Column("failures", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("due_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.UniqueConstraint("conversation_id", "number"),
        sa.CheckConstraint("status in ('pending', 'ready', 'failed')", name="status"),
    )
    op.create_index("ix_chat_messages_due", "chat_messages", ["due_at"], postgresql_where="due_at is not null")


def downgrade() -> None:
    op.drop_table("chat_messages")
    op.drop_table("conversations")
