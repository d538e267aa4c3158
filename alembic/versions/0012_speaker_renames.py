"""Add the renames of speakers to meetings, and the first revision of a caption's text."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    renames = sa.Column("speaker_renames", postgresql.JSONB(), nullable=False, server_default="[]")
    op.add_column("meetings", renames)
    op.add_column("captions", sa.Column("text_revision", sa.Integer()))


def downgrade() -> None:
    op.drop_column("captions", "text_revision")
    op.drop_column("meetings", "speaker_renames")
