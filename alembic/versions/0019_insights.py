"""Add templates of insights, and insights."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "insight_templates",
        sa.Column("team_id", sa.Text(), sa.ForeignKey("teams.id"), primary_key=True),
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("content", JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    op.create_table(
        "insights",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("team_id", sa.Text(), sa.ForeignKey("teams.id"), nullable=False),
        sa.Column("meeting_id", sa.Uuid(), sa.ForeignKey("meetings.id", ondelete="CASCADE"), nullable=False),
        sa.Column("template", sa.Text(), nullable=False),
        sa.Column("template_version", sa.Integer(), nullable=False),
        sa.Column("template_content", JSONB(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("instructions", sa.Text(), nullable=False, server_default=""),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False, server_default="pending"),
        sa.Column("text", sa.Text()),
        sa.Column("rows", JSONB()),
        sa.Column("dropped_rows", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("dropped_sentences", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("transcript_seq", sa.BigInteger()),
        sa.Column("engine", sa.Text()),
        sa.Column("prompt_version", sa.Integer()),
        sa.Column("prompt_tokens", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("completion_tokens", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("part_count", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("finish", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("failures", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("due_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.UniqueConstraint("meeting_id", "template", "language", "number"),
        sa.CheckConstraint("status in ('pending', 'ready', 'failed')", name="status"),
    )
    op.create_index("ix_insights_due", "insights", ["due_at"], postgresql_where="due_at is not null")


def downgrade() -> None:
    op.drop_table("insights")
    op.drop_table("insight_templates")
