"""The tables of glossaries: a team's named lists of terms."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Integer, Table, Text, UniqueConstraint, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from storage.postgres.tables.columns import metadata, timestamp_column

glossaries = Table(
    "glossaries",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("team_id", ForeignKey("teams.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    timestamp_column("created_at"),
    timestamp_column("updated_at"),
    UniqueConstraint("team_id", "name"),
)

glossary_entries = Table(
    "glossary_entries",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("glossary_id", ForeignKey("glossaries.id", ondelete="CASCADE"), nullable=False),
    # What makes two terms the same: see `operators.meeting_config.Term.dedupe_key`.
    Column("key", Text, nullable=False),
    # The fields of a `GlossaryTerm`.
    Column("content", JSONB, nullable=False),
    # Higher ones come first where there are too many terms.
    Column("priority", Integer, nullable=False, server_default="0"),
    timestamp_column("created_at"),
    timestamp_column("updated_at"),
    UniqueConstraint("glossary_id", "key"),
)
