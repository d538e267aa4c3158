"""Rename the table of the engine configuration's versions after what it holds."""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

OLD, NEW = "model_configs", "engine_config_versions"


def upgrade() -> None:
    _rename(OLD, NEW)


def downgrade() -> None:
    _rename(NEW, OLD)


def _rename(old: str, new: str) -> None:
    op.rename_table(old, new)
    own = sa.text("select conname from pg_constraint where conrelid = cast(:table as regclass)").bindparams(table=new)
    for name in op.get_bind().execute(own).scalars().all():
        op.execute(f"alter table {new} rename constraint {name} to {name.replace(old, new)}")
