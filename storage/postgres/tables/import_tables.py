"""The tables of imports: transcript files, and transcripts that a source keeps."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from storage.postgres.tables.columns import import_columns, metadata, source_import_columns

# Imports of transcript files.
imports = Table(
    "imports",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("team_id", ForeignKey("teams.id"), nullable=False),
    # Of the file's content and the options: the same request again is the same import.
    Column("fingerprint", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("format", Text, nullable=False),
    # The meeting's title, config and start; the meeting itself, once it is open.
    Column("title", Text, nullable=False),
    Column("config", JSONB, nullable=False),
    Column("began_at_ms", BigInteger, nullable=False),
    Column("meeting_id", ForeignKey("meetings.id", ondelete="CASCADE")),
    Column("event_count", Integer, nullable=False),
    Column("appended", Integer, nullable=False, server_default="0"),
    # The first parts of the file that were left out or repaired, and the number of all.
    Column("issues", JSONB, nullable=False),
    Column("issue_count", Integer, nullable=False),
    Column("speakers", Text, nullable=False),
    Column("times_estimated", Boolean, nullable=False),
    *import_columns(),
    UniqueConstraint("team_id", "fingerprint"),
    Index("ix_imports_unfinished", "created_at", postgresql_where="state in ('queued', 'running')"),
    Index("ix_imports_meeting_id", "meeting_id"),
)

# Events of imports that are not appended to the log yet: JSON, with the number of the first event.
import_batches = Table(
    "import_batches",
    metadata,
    Column("import_id", ForeignKey("imports.id", ondelete="CASCADE"), primary_key=True),
    Column("first", Integer, primary_key=True, autoincrement=False),
    Column("events", Text, nullable=False),
)

# Imports of a source's transcripts, each the latest one of its transcript.
source_imports = Table(
    "source_imports",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("team_id", ForeignKey("teams.id"), nullable=False),
    Column("source", Text, nullable=False),
    # The source's own id of the transcript.
    Column("external_id", Text, nullable=False),
    Column("title", Text, nullable=False, server_default=""),
    Column("meeting_id", ForeignKey("meetings.id", ondelete="SET NULL")),
    Column("appended_count", Integer, nullable=False, server_default="0"),
    Column("total_count", Integer),
    Column("invalid_count", Integer, nullable=False, server_default="0"),
    *source_import_columns(),
    UniqueConstraint("team_id", "source", "external_id"),
    Index("ix_source_imports_meeting_id", "meeting_id"),
    Index("ix_source_imports_open", "due_at", postgresql_where="state in ('queued', 'running')"),
)

# Imports of all transcripts since a date: each lists the transcripts page by page, and queues an import for each.
source_import_runs = Table(
    "source_import_runs",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("team_id", ForeignKey("teams.id"), nullable=False),
    Column("source", Text, nullable=False),
    Column("since", DateTime(timezone=True), nullable=False),
    # How far it is: transcripts that began after `until` are listed, and `skip` older ones.
    Column("until", DateTime(timezone=True)),
    Column("skip", Integer, nullable=False, server_default="0"),
    Column("listed_count", Integer, nullable=False, server_default="0"),
    Column("queued_count", Integer, nullable=False, server_default="0"),
    # The first listed transcripts that can't be read, and the number of all.
    Column("issues", JSONB, nullable=False, server_default="[]"),
    Column("issue_count", Integer, nullable=False, server_default="0"),
    *source_import_columns(),
    Index(
        "uq_source_import_runs_open",
        "team_id",
        "source",
        unique=True,
        postgresql_where="state in ('queued', 'running')",
    ),
    Index("ix_source_import_runs_created_at", "team_id", "source", "created_at"),
)
