"""Add the sessions of connectors: connections of Parley to a source's live stream."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "connector_sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("meeting_id", sa.Uuid(), nullable=False),
        sa.Column("encrypted_key", sa.Text()),
        sa.Column("key_variable", sa.Text()),
        sa.Column("options", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("desired", sa.Text(), server_default="connected", nullable=False),
        sa.Column("status", sa.Text(), server_default="connecting", nullable=False),
        sa.Column("counters", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("last_error", sa.Text()),
        sa.Column("gaps", postgresql.JSONB(), server_default="[]", nullable=False),
        sa.Column("connected_at", sa.DateTime(timezone=True)),
        sa.Column("last_message_at", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("desired in ('connected', 'disconnected')", name=op.f("ck_connector_sessions_desired")),
        sa.CheckConstraint(
            "status in ('connecting', 'connected', 'reconnecting', 'failed', 'ended')",
            name=op.f("ck_connector_sessions_status"),
        ),
        sa.CheckConstraint("(encrypted_key is null) <> (key_variable is null)", name=op.f("ck_connector_sessions_key")),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name=op.f("fk_connector_sessions_team_id")),
        sa.ForeignKeyConstraint(
            ["meeting_id"], ["meetings.id"], name=op.f("fk_connector_sessions_meeting_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_connector_sessions")),
    )
    op.create_index(
        op.f("uq_connector_sessions_open"),
        "connector_sessions",
        ["team_id", "source", "external_id"],
        unique=True,
        postgresql_where="status not in ('failed', 'ended')",
    )
    op.create_index(op.f("ix_connector_sessions_meeting_id"), "connector_sessions", ["meeting_id"])


def downgrade() -> None:
    op.drop_table("connector_sessions")
