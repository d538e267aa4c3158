"""Add the time of a lane's next tick, and the number of failed attempts of the backfill at a caption."""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("lanes", sa.Column("due_at", sa.BigInteger()))
    op.add_column("captions", sa.Column("failures", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("captions", "failures")
    op.drop_column("lanes", "due_at")
