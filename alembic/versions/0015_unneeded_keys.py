"""Delete the keys of finished sessions and imports. Add the transcripts that an import of all left out."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

KEY = "ck_connector_sessions_key"


def upgrade() -> None:
    op.drop_constraint(op.f(KEY), "connector_sessions", type_="check")
    op.execute("update connector_sessions set encrypted_key = null where status in ('failed', 'ended')")
    op.execute("update source_imports set encrypted_key = null where state = 'done'")
    op.execute("update source_import_runs set encrypted_key = null where state in ('done', 'failed')")
    op.create_check_constraint(
        op.f(KEY),
        "connector_sessions",
        "(encrypted_key is null) <> (key_variable is null)"
        " or (encrypted_key is null and status in ('failed', 'ended'))",
    )
    op.add_column("source_import_runs", sa.Column("issues", postgresql.JSONB(), server_default="[]", nullable=False))
    op.add_column("source_import_runs", sa.Column("issue_count", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    op.drop_column("source_import_runs", "issue_count")
    op.drop_column("source_import_runs", "issues")
    op.drop_constraint(op.f(KEY), "connector_sessions", type_="check")
    # The earlier version needs a key in each row. No key can be decrypted from an empty text.
    op.execute("update connector_sessions set encrypted_key = '' where encrypted_key is null and key_variable is null")
    op.create_check_constraint(op.f(KEY), "connector_sessions", "(encrypted_key is null) <> (key_variable is null)")
