"""Add accounts at sources, imports of their transcripts, their webhooks, and the facts they have about meetings."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "source_accounts",
        sa.Column("team_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("encrypted_key", sa.Text()),
        sa.Column("key_variable", sa.Text()),
        sa.Column("encrypted_webhook_secret", sa.Text()),
        sa.Column("webhook_secret_variable", sa.Text()),
        sa.Column("options", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("config", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("counters", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name=op.f("fk_source_accounts_team_id")),
        sa.CheckConstraint(
            "encrypted_webhook_secret is null or webhook_secret_variable is null",
            name=op.f("ck_source_accounts_one_webhook_secret"),
        ),
        sa.CheckConstraint("encrypted_key is null or key_variable is null", name=op.f("ck_source_accounts_one_key")),
        sa.PrimaryKeyConstraint("team_id", "source", name=op.f("pk_source_accounts")),
    )
    op.create_table(
        "source_imports",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), server_default="", nullable=False),
        sa.Column("meeting_id", sa.Uuid()),
        sa.Column("encrypted_key", sa.Text()),
        sa.Column("key_variable", sa.Text()),
        sa.Column("options", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("config", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("state", sa.Text(), server_default="queued", nullable=False),
        sa.Column("detail", sa.Text()),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("appended_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("total_count", sa.Integer()),
        sa.Column("invalid_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name=op.f("fk_source_imports_team_id")),
        sa.ForeignKeyConstraint(
            ["meeting_id"], ["meetings.id"], name=op.f("fk_source_imports_meeting_id"), ondelete="SET NULL"
        ),
        sa.UniqueConstraint(
            "team_id", "source", "external_id", name=op.f("uq_source_imports_team_id_source_external_id")
        ),
        sa.CheckConstraint("state in ('queued', 'running', 'done', 'failed')", name=op.f("ck_source_imports_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source_imports")),
    )
    op.create_index(op.f("ix_source_imports_meeting_id"), "source_imports", ["meeting_id"])
    op.create_index(
        op.f("ix_source_imports_open"), "source_imports", ["due_at"], postgresql_where="state in ('queued', 'running')"
    )
    op.create_table(
        "source_import_runs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True)),
        sa.Column("skip", sa.Integer(), server_default="0", nullable=False),
        sa.Column("listed_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("queued_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("encrypted_key", sa.Text()),
        sa.Column("key_variable", sa.Text()),
        sa.Column("options", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("config", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("state", sa.Text(), server_default="queued", nullable=False),
        sa.Column("detail", sa.Text()),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name=op.f("fk_source_import_runs_team_id")),
        sa.CheckConstraint(
            "state in ('queued', 'running', 'done', 'failed')", name=op.f("ck_source_import_runs_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source_import_runs")),
    )
    op.create_index(op.f("ix_source_import_runs_created_at"), "source_import_runs", ["team_id", "source", "created_at"])
    op.create_index(
        op.f("uq_source_import_runs_open"),
        "source_import_runs",
        ["team_id", "source"],
        unique=True,
        postgresql_where="state in ('queued', 'running')",
    )
    op.create_table(
        "source_notifications",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text()),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name=op.f("fk_source_notifications_team_id")),
        sa.UniqueConstraint("team_id", "source", "digest", name=op.f("uq_source_notifications_team_id_source_digest")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source_notifications")),
    )
    op.create_index(op.f("ix_source_notifications_created_at"), "source_notifications", ["created_at"])
    op.create_index(
        op.f("ix_source_notifications_open"), "source_notifications", ["due_at"], postgresql_where="outcome is null"
    )
    op.create_table(
        "source_metadata",
        sa.Column("meeting_id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("content", postgresql.JSONB(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["meeting_id"], ["meetings.id"], name=op.f("fk_source_metadata_meeting_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name=op.f("fk_source_metadata_team_id")),
        sa.PrimaryKeyConstraint("meeting_id", name=op.f("pk_source_metadata")),
    )


def downgrade() -> None:
    op.drop_table("source_metadata")
    op.drop_table("source_notifications")
    op.drop_table("source_import_runs")
    op.drop_table("source_imports")
    op.drop_table("source_accounts")
