"""Add the source's text of a sentence that a user corrected."""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sentences", sa.Column("original_text", sa.Text()))


def downgrade() -> None:
    # The corrected text stays: it is the one that captions, notes and answers rest on.
    op.drop_column("sentences", "original_text")
