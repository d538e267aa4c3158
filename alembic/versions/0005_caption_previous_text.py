"""Add the previous translation to captions that are pending again."""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("captions", sa.Column("shown", sa.Text()))


def downgrade() -> None:
    op.drop_column("captions", "shown")
