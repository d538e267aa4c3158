"""Add failed meetings, moves between lanes, resubmitted dead letters, and counters of a team's refusals."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _replace_status_check("'created', 'live', 'paused', 'ended', 'timed_out', 'failed'")
    # Timeouts are counted from now on. Of earlier ones, only the last of each meeting that is still timed out is known.
    op.execute("update meetings set counters = counters || '{\"timed_out\": 1}' where status = 'timed_out'")
    op.create_index("ix_meetings_team_id_status", "meetings", ["team_id", "status"])
    op.add_column("meetings", sa.Column("moves", sa.Integer(), server_default="0", nullable=False))
    op.add_column("lanes", sa.Column("held", sa.Text()))
    op.add_column("teams", sa.Column("counters", postgresql.JSONB(), server_default="{}", nullable=False))
    op.add_column("dead_letters", sa.Column("resubmitted_at", sa.DateTime(timezone=True)))
    op.create_index("ix_dead_letters_team_id_id", "dead_letters", ["team_id", "id"])


def downgrade() -> None:
    op.drop_index("ix_dead_letters_team_id_id", "dead_letters")
    op.drop_column("dead_letters", "resubmitted_at")
    op.drop_column("teams", "counters")
    op.drop_column("meetings", "moves")
    op.drop_column("lanes", "held")
    op.drop_index("ix_meetings_team_id_status", "meetings")
    op.execute("update meetings set counters = counters - 'timed_out'")
    op.execute("update meetings set status = 'ended' where status = 'failed'")
    _replace_status_check("'created', 'live', 'paused', 'ended', 'timed_out'")


def _replace_status_check(names: str) -> None:
    op.drop_constraint(op.f("ck_meetings_status"), "meetings")
    op.create_check_constraint(op.f("ck_meetings_status"), "meetings", f"status in ({names})")
