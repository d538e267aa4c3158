"""Add the versions of the engine configuration."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "model_configs",
        sa.Column("version", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("config", postgresql.JSONB(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("problems", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("origin in ('settings', 'request', 'rollback')", name=op.f("ck_model_configs_origin")),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_model_configs")),
    )


def downgrade() -> None:
    op.drop_table("model_configs")
