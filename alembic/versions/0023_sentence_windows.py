"""Add embeddings of windows of sentences. They need the extension pgvector."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import UserDefinedType

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


class _HalfVector(UserDefinedType[str]):
    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "halfvec"


def upgrade() -> None:
    op.execute("create extension if not exists vector")
    op.create_table(
        "sentence_windows",
        sa.Column("meeting_id", sa.Uuid(), sa.ForeignKey("meetings.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("sentence_id", sa.Text(), primary_key=True),
        sa.Column("team_id", sa.Text(), sa.ForeignKey("teams.id"), nullable=False),
        sa.Column("sentence_ids", ARRAY(sa.Text()), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("sentence_embedding", _HalfVector(), nullable=False),
        sa.Column("window_embedding", _HalfVector()),
    )
    op.create_index("ix_sentence_windows_team_id_model", "sentence_windows", ["team_id", "model"])
    op.create_table(
        "embedded_meetings",
        sa.Column("meeting_id", sa.Uuid(), sa.ForeignKey("meetings.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("team_id", sa.Text(), sa.ForeignKey("teams.id"), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("model", sa.Text()),
        sa.Column("failures", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )


def downgrade() -> None:
    # The extension stays: other tables of the database may use it.
    op.drop_table("embedded_meetings")
    op.drop_table("sentence_windows")
