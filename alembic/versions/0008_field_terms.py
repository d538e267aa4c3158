"""Rename columns, a caption's status and counters to the API's terms. Drop the table of participants, which nothing read."""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

COLUMNS = {
    "captions": {"doubts": "warnings", "shown": "previous_text", "asked": "attempts"},
    "lanes": {"held": "retain_after", "retired": "draining", "waiting": "pending_calls"},
    "meetings": {"n": "last_committed", "accepted": "last_accepted"},
}
COUNTERS = {"owed": "pending", "in_doubt": "warned"}


def upgrade() -> None:
    for table, columns in COLUMNS.items():
        for old, new in columns.items():
            _rename_column(table, old, new)
    _rename_status("owed", "pending")
    for old, new in COUNTERS.items():
        _rename_counter(old, new)
    op.drop_table("participants")


def downgrade() -> None:
    op.create_table(
        "participants",
        sa.Column(
            "team_id", sa.Text(), sa.ForeignKey("teams.id", name=op.f("fk_participants_team_id")), nullable=False
        ),
        sa.Column(
            "meeting_id",
            sa.Uuid(),
            sa.ForeignKey("meetings.id", name=op.f("fk_participants_meeting_id"), ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("meeting_id", "name", name=op.f("pk_participants")),
    )
    for old, new in COUNTERS.items():
        _rename_counter(new, old)
    _rename_status("pending", "owed")
    for table, columns in COLUMNS.items():
        for old, new in columns.items():
            _rename_column(table, new, old)


def _rename_column(table: str, old: str, new: str) -> None:
    op.alter_column(table, old, new_column_name=new)
    # Since Postgres 18, `not null` is a constraint with a name.
    names = f"{table}_{old}_not_null", f"{table}_{new}_not_null"
    known = sa.text("select 1 from pg_constraint where conname = :name").bindparams(name=names[0])
    if op.get_bind().execute(known).one_or_none():
        op.execute(f"alter table {table} rename constraint {names[0]} to {names[1]}")


def _rename_status(old: str, new: str) -> None:
    op.drop_index(f"ix_captions_{old}", "captions")
    op.drop_constraint(op.f("ck_captions_status"), "captions")
    op.execute(sa.text("update captions set status = :new where status = :old").bindparams(new=new, old=old))
    op.create_check_constraint(
        op.f("ck_captions_status"), "captions", f"status in ('{new}', 'translated', 'same', 'untranslated')"
    )
    op.create_index(f"ix_captions_{new}", "captions", ["due_at"], postgresql_where=f"status = '{new}'")


def _rename_counter(old: str, new: str) -> None:
    statement = sa.text(
        "update meetings set counters = (counters - cast(:old as text)) || jsonb_build_object(cast(:new as text), counters -> :old)"
        " where jsonb_exists(counters, :old)"
    )
    op.execute(statement.bindparams(new=new, old=old))
