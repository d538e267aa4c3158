"""Add the configurations of transcript sources."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sources",
        sa.Column("team_id", sa.Text(), sa.ForeignKey("teams.id", name=op.f("fk_sources_team_id")), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("config", JSONB(), nullable=False),
        sa.Column("encrypted_secret", sa.Text()),
        sa.Column("secret_env", sa.Text()),
        sa.Column("refused_count", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("team_id", "name", name=op.f("pk_sources")),
        sa.CheckConstraint("encrypted_secret is null or secret_env is null", name=op.f("ck_sources_one_secret")),
    )


def downgrade() -> None:
    op.drop_table("sources")
