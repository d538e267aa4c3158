"""The tables of meetings, their sentences and captions, and their live events.

Rows of sentences hold no wall-clock times, so replaying a log gives the same rows.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from storage.postgres.tables.columns import metadata, timestamp_column

meetings = Table(
    "meetings",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("team_id", ForeignKey("teams.id"), nullable=False),
    Column("external_id", Text),
    Column("title", Text, nullable=False, server_default=""),
    Column("clock", Text, CheckConstraint("clock in ('live', 'recorded')", name="clock"), nullable=False),
    Column(
        "status",
        Text,
        CheckConstraint("status in ('created', 'live', 'paused', 'ended', 'timed_out', 'failed')", name="status"),
        nullable=False,
        server_default="created",
    ),
    Column("lane_id", ForeignKey("lanes.id"), nullable=False),
    Column("config", JSONB, nullable=False),
    Column("generation", Integer, nullable=False, server_default="1"),
    # Ordinal of the last committed entry, the log's id to read on from, and the operators' states at that point.
    Column("last_committed", BigInteger, nullable=False, server_default="0"),
    Column("log_id", Text),
    Column("state", JSONB),
    # Number of its moves to another lane, as far as they are committed.
    Column("moves", Integer, nullable=False, server_default="0"),
    # Ordinal of the last accepted entry, as far as it was recorded. The log's is lower if a crash lost entries.
    Column("last_accepted", BigInteger, nullable=False, server_default="0"),
    Column("counters", JSONB, nullable=False, server_default="{}"),
    # The renames of speakers, in order: payloads of log entries, for the meeting's next generation.
    Column("speaker_renames", JSONB, nullable=False, server_default="[]"),
    # `seq` of the last live event, taken in the transaction that writes the row.
    Column("seq", BigInteger, nullable=False, server_default="0"),
    Column("began_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
    Column("end_reason", Text),
    timestamp_column("created_at"),
    UniqueConstraint("team_id", "external_id"),
    Index("ix_meetings_team_id_created_at", "team_id", "created_at"),
    Index("ix_meetings_lane_id_status", "lane_id", "status"),
    Index("ix_meetings_team_id_status", "team_id", "status"),
)

sentences = Table(
    "sentences",
    metadata,
    Column("team_id", ForeignKey("teams.id"), nullable=False),
    Column("meeting_id", ForeignKey("meetings.id", ondelete="CASCADE"), primary_key=True),
    Column("id", Text, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("speaker", Text, nullable=False),
    # Distinguishes two speakers of the same name, if the source does.
    Column("speaker_id", Text),
    Column("text", Text, nullable=False),
    Column("start", Double, nullable=False),
    Column("end", Double, nullable=False),
    Column("boundary", Text, nullable=False),
    Column("language", Text),
    Column("first_emitted", Double, nullable=False),
    Column("first_text", Text, nullable=False),
    Column("retracted", Boolean, nullable=False, server_default="false"),
    # The source's text, if a user corrected the sentence.
    Column("original_text", Text),
    Index("ix_sentences_meeting_id_start", "meeting_id", "start"),
)

captions = Table(
    "captions",
    metadata,
    Column("team_id", ForeignKey("teams.id"), nullable=False),
    Column("meeting_id", Uuid, primary_key=True),
    Column("sentence_id", Text, primary_key=True),
    Column("language", Text, primary_key=True),
    # The sentence's revision that this row translates. The sentence may have a newer one until its text is stable.
    Column("revision", Integer, nullable=False),
    # The first revision with the same text, if the speaker was renamed since: results for it still count.
    Column("text_revision", Integer),
    Column(
        "status",
        Text,
        CheckConstraint("status in ('pending', 'translated', 'same', 'untranslated')", name="status"),
        nullable=False,
    ),
    Column("text", Text),
    Column("engine", Text),
    Column("reason", Text),
    # Quality warnings: what of the sentence the translation may lack.
    Column("warnings", ARRAY(Text, as_tuple=True), nullable=False, server_default="{}"),
    # While it is pending: the translation of an earlier revision, from which the new translation continues.
    Column("previous_text", Text),
    # Raised by each final result; 0 while the first is pending.
    Column("version", Integer, nullable=False, server_default="0"),
    # Requests made for this sentence, over all revisions.
    Column("attempts", Integer, nullable=False, server_default="0"),
    # Attempts of the backfill at this revision that failed for a reason of its own, such as an error of the engine.
    Column("failures", Integer, nullable=False, server_default="0"),
    # When the backfill may translate a pending caption: at once, or once the lane must have given up.
    Column("due_at", DateTime(timezone=True)),
    ForeignKeyConstraint(["meeting_id", "sentence_id"], ["sentences.meeting_id", "sentences.id"], ondelete="CASCADE"),
    Index("ix_captions_pending", "due_at", postgresql_where="status = 'pending'"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("team_id", ForeignKey("teams.id"), nullable=False),
    Column("meeting_id", ForeignKey("meetings.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("payload", JSONB, nullable=False),
    timestamp_column("created_at"),
    Index("ix_outbox_created_at", "created_at"),
)
