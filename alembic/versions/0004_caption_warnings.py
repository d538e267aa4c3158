"""Add quality warnings to captions."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("captions", sa.Column("doubts", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False))


def downgrade() -> None:
    op.drop_column("captions", "doubts")
    # The counter did not exist before this version.
    op.execute("update meetings set counters = counters - 'in_doubt'")
