"""The tables of notes: what was written about a part of a meeting, its earlier revisions, and the sentences it rests on."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
)

from storage.postgres.tables.columns import metadata, timestamp_column

notes = Table(
    "notes",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("team_id", ForeignKey("teams.id"), nullable=False),
    Column("meeting_id", ForeignKey("meetings.id", ondelete="CASCADE"), nullable=False),
    # A running note, one that a user wrote, or what the model wrote about a user's selection.
    Column("kind", Text, CheckConstraint("kind in ('auto', 'manual', 'analysis')", name="kind"), nullable=False),
    # `withdrawn`: all its sentences were retracted.
    Column(
        "status",
        Text,
        CheckConstraint("status in ('pending', 'ready', 'failed', 'withdrawn')", name="status"),
        nullable=False,
    ),
    # Number of texts so far, 0 while the first is pending.
    Column("revision", Integer, nullable=False, server_default="0"),
    Column("text", Text),
    Column("language", Text, nullable=False),
    # What a user asked about a selection; empty for other notes.
    Column("task", Text, nullable=False, server_default=""),
    Column("engine", Text),
    Column("prompt_version", Integer),
    Column("prompt_tokens", Integer, nullable=False, server_default="0"),
    Column("completion_tokens", Integer, nullable=False, server_default="0"),
    # `length` if the text was cut off.
    Column("finish", Text),
    Column("reason", Text),
    Column("pinned", Boolean, nullable=False, server_default="false"),
    # Whether a user wrote the present text: the model doesn't replace it.
    Column("edited", Boolean, nullable=False, server_default="false"),
    # Whether a sentence changed since the text was written.
    Column("outdated", Boolean, nullable=False, server_default="false"),
    # Span of the speech that it is about, seconds from the meeting's start.
    Column("start", Double, nullable=False),
    Column("end", Double, nullable=False),
    Column("failures", Integer, nullable=False, server_default="0"),
    # When the maintenance actor may write it; null if nothing is to be written.
    Column("due_at", DateTime(timezone=True)),
    timestamp_column("created_at"),
    timestamp_column("updated_at"),
    Index("ix_notes_meeting_id_start", "meeting_id", "start"),
    Index("ix_notes_due", "due_at", postgresql_where="due_at is not null"),
)

note_revisions = Table(
    "note_revisions",
    metadata,
    Column("note_id", ForeignKey("notes.id", ondelete="CASCADE"), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("text", Text, nullable=False),
    # Null for a text that a user wrote.
    Column("engine", Text),
    timestamp_column("created_at"),
)

note_sentences = Table(
    "note_sentences",
    metadata,
    Column("note_id", ForeignKey("notes.id", ondelete="CASCADE"), primary_key=True),
    Column("sentence_id", Text, primary_key=True),
    Column("meeting_id", Uuid, nullable=False),
    # The sentence's revision that the note's text rests on.
    Column("revision", Integer, nullable=False),
    Column("is_auto", Boolean, nullable=False),
    # A sentence is in one running note.
    Index(
        "ix_note_sentences_auto",
        "meeting_id",
        "sentence_id",
        unique=True,
        postgresql_where="is_auto",
    ),
    Index("ix_note_sentences_meeting_id_sentence_id", "meeting_id", "sentence_id"),
)
