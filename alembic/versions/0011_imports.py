"""Add imports of transcript files, and their batches of events that are not appended yet."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "imports",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Text(), sa.ForeignKey("teams.id", name=op.f("fk_imports_team_id")), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column(
            "state",
            sa.Text(),
            sa.CheckConstraint("state in ('queued', 'running', 'done', 'failed')", name=op.f("ck_imports_state")),
            server_default="queued",
            nullable=False,
        ),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("config", postgresql.JSONB(), nullable=False),
        sa.Column("began_at_ms", sa.BigInteger(), nullable=False),
        sa.Column(
            "meeting_id",
            sa.Uuid(),
            sa.ForeignKey("meetings.id", name=op.f("fk_imports_meeting_id"), ondelete="CASCADE"),
        ),
        sa.Column("event_count", sa.Integer(), nullable=False),
        sa.Column("appended", sa.Integer(), server_default="0", nullable=False),
        sa.Column("issues", postgresql.JSONB(), nullable=False),
        sa.Column("issue_count", sa.Integer(), nullable=False),
        sa.Column("speakers", sa.Text(), nullable=False),
        sa.Column("times_estimated", sa.Boolean(), nullable=False),
        sa.Column("detail", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imports")),
        sa.UniqueConstraint("team_id", "fingerprint", name=op.f("uq_imports_team_id_fingerprint")),
    )
    op.create_index(
        "ix_imports_unfinished", "imports", ["created_at"], postgresql_where="state in ('queued', 'running')"
    )
    op.create_index("ix_imports_meeting_id", "imports", ["meeting_id"])
    op.create_table(
        "import_batches",
        sa.Column(
            "import_id",
            sa.Uuid(),
            sa.ForeignKey("imports.id", name=op.f("fk_import_batches_import_id"), ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("first", sa.Integer(), nullable=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("import_id", "first", name=op.f("pk_import_batches")),
    )


def downgrade() -> None:
    # Imports that are not finished end with their meetings' leases.
    op.drop_table("import_batches")
    op.drop_table("imports")
