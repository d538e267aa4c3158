"""Add notes, their revisions, and the sentences that they rest on."""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

CONFIG_TABLES = ("meetings", "imports", "sources", "source_accounts", "source_imports", "source_import_runs")


def upgrade() -> None:
    op.create_table(
        "notes",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("team_id", sa.Text(), sa.ForeignKey("teams.id"), nullable=False),
        sa.Column("meeting_id", sa.Uuid(), sa.ForeignKey("meetings.id", ondelete="CASCADE"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("text", sa.Text()),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False, server_default=""),
        sa.Column("engine", sa.Text()),
        sa.Column("prompt_version", sa.Integer()),
        sa.Column("prompt_tokens", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("completion_tokens", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("finish", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("pinned", sa.Boolean(), nullable=False, server_default="false"),
        sa.Column("edited", sa.Boolean(), nullable=False, server_default="false"),
        sa.Column("outdated", sa.Boolean(), nullable=False, server_default="false"),
        sa.Column("start", sa.Double(), nullable=False),
        sa.Column("end", sa.Double(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("due_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.CheckConstraint("kind in ('auto', 'manual', 'analysis')", name="kind"),
        sa.CheckConstraint("status in ('pending', 'ready', 'failed', 'withdrawn')", name="status"),
    )
    op.create_index("ix_notes_meeting_id_start", "notes", ["meeting_id", "start"])
    op.create_index("ix_notes_due", "notes", ["due_at"], postgresql_where="due_at is not null")
    note = sa.ForeignKey("notes.id", ondelete="CASCADE")
    op.create_table(
        "note_revisions",
        sa.Column("note_id", sa.Uuid(), note, primary_key=True),
        sa.Column("revision", sa.Integer(), primary_key=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("engine", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    note = sa.ForeignKey("notes.id", ondelete="CASCADE")
    op.create_table(
        "note_sentences",
        sa.Column("note_id", sa.Uuid(), note, primary_key=True),
        sa.Column("sentence_id", sa.Text(), primary_key=True),
        sa.Column("meeting_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("is_auto", sa.Boolean(), nullable=False),
    )
    op.create_index(
        "ix_note_sentences_auto",
        "note_sentences",
        ["meeting_id", "sentence_id"],
        unique=True,
        postgresql_where="is_auto",
    )
    op.create_index("ix_note_sentences_meeting_id_sentence_id", "note_sentences", ["meeting_id", "sentence_id"])


def downgrade() -> None:
    # An older version refuses a config with fields that it does not know.
    for table in CONFIG_TABLES:
        op.execute(
            f"update {table} set config = config - array['notes', 'note_sentences', 'note_seconds', 'note_language']"  # noqa: S608 - constants
        )
    op.execute("delete from webhook_deliveries where event_type = 'note.updated'")
    op.execute("delete from webhook_endpoints where event_types = array['note.updated']")
    op.execute("update webhook_endpoints set event_types = array_remove(event_types, 'note.updated')")
    op.drop_table("note_sentences")
    op.drop_table("note_revisions")
    op.drop_table("notes")
