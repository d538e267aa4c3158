"""Add the speaker's id to sentences, which distinguishes two speakers of the same name."""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sentences", sa.Column("speaker_id", sa.Text()))


def downgrade() -> None:
    op.drop_column("sentences", "speaker_id")
