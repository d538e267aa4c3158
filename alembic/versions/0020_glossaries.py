"""Add glossaries of a team, and their entries."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

CONFIG_TABLES = ("meetings", "imports", "sources", "source_accounts", "source_imports", "source_import_runs")


def upgrade() -> None:
    op.create_table(
        "glossaries",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("team_id", sa.Text(), sa.ForeignKey("teams.id"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False, server_default=""),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.UniqueConstraint("team_id", "name"),
    )
    op.create_table(
        "glossary_entries",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("glossary_id", sa.Uuid(), sa.ForeignKey("glossaries.id", ondelete="CASCADE"), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("content", JSONB(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.UniqueConstraint("glossary_id", "key"),
    )


def downgrade() -> None:
    # An older version refuses a config with fields that it does not know.
    for table in CONFIG_TABLES:
        op.execute(
            f"update {table} set config = config - array['glossary_ids', 'shared_glossary', 'glossary_versions']"  # noqa: S608 - constants
        )
        op.execute(
            f"update {table} set config = jsonb_set(config, '{{glossary}}',"  # noqa: S608 - constants
            " (select coalesce(jsonb_agg(term - 'whole_word' order by n), '[]')"
            " from jsonb_array_elements(config -> 'glossary') with ordinality as terms(term, n)))"
            " where jsonb_typeof(config -> 'glossary') = 'array'"
        )
    op.drop_table("glossary_entries")
    op.drop_table("glossaries")
