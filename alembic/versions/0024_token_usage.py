"""Add the tokens that each team used in a day."""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "token_usage",
        sa.Column("team_id", sa.Text(), sa.ForeignKey("teams.id"), primary_key=True),
        sa.Column("day", sa.Date(), primary_key=True),
        sa.Column("role", sa.Text(), primary_key=True),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("token_usage")
