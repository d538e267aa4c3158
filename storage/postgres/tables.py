"""The tables. Postgres holds the truth: what was said, how it reads in each language, and each meeting's state.

Every row belongs to a team. Rows of sentences hold nothing of the wall clock: replaying a log gives the same rows.
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
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _timestamp_column(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=func.now())


teams = Table(
    "teams",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    _timestamp_column("created_at"),
    # What belongs to none of its meetings: those it was refused.
    Column("counters", JSONB, nullable=False, server_default="{}"),
)

lanes = Table(
    "lanes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, CheckConstraint("kind in ('live', 'batch')", name="kind"), nullable=False),
    # Raised by each process that takes the lane over; a process with an older one can't write.
    Column("epoch", BigInteger, nullable=False, server_default="0"),
    Column("pid", Integer),
    Column("node", Text),
    Column("state", Text, nullable=False, server_default="stopped"),
    # It gets no new meetings, and its open ones move to other lanes.
    Column("draining", Boolean, nullable=False, server_default="false"),
    # As of the last sign of life: the log's id up to which all was committed, calls without an answer, entries in the log.
    Column("log_id", Text, nullable=False, server_default="0-0"),
    # The log is retained after this id, where meetings that arrive from other lanes, or leave, need more than that.
    Column("retain_after", Text),
    Column("pending_calls", Integer, nullable=False, server_default="0"),
    Column("log_length", BigInteger, nullable=False, server_default="0"),
    # Likewise, of a live lane: when the first tick is due that is not committed (ms, by Redis' time); null where none is.
    Column("due_at", BigInteger),
    _timestamp_column("updated_at"),
)

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
    # Ordinal of the last entry that is committed, the log's id to read on from, and the operators' states at that point.
    Column("last_committed", BigInteger, nullable=False, server_default="0"),
    Column("log_id", Text),
    Column("state", JSONB),
    # How often it went on in another lane, as far as that is committed.
    Column("moves", Integer, nullable=False, server_default="0"),
    # Ordinal of the last entry that the log accepted, as far as it was recorded. The log holds fewer if a crash lost entries.
    Column("last_accepted", BigInteger, nullable=False, server_default="0"),
    Column("counters", JSONB, nullable=False, server_default="{}"),
    # Of the last live event; taken in the transaction that writes the row.
    Column("seq", BigInteger, nullable=False, server_default="0"),
    Column("began_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
    Column("end_reason", Text),
    _timestamp_column("created_at"),
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
    # Tells two people of one name apart, where the source does.
    Column("speaker_id", Text),
    Column("text", Text, nullable=False),
    Column("start", Double, nullable=False),
    Column("end", Double, nullable=False),
    Column("boundary", Text, nullable=False),
    Column("language", Text),
    Column("first_emitted", Double, nullable=False),
    Column("first_text", Text, nullable=False),
    Column("retracted", Boolean, nullable=False, server_default="false"),
    Index("ix_sentences_meeting_id_start", "meeting_id", "start"),
)

captions = Table(
    "captions",
    metadata,
    Column("team_id", ForeignKey("teams.id"), nullable=False),
    Column("meeting_id", Uuid, primary_key=True),
    Column("sentence_id", Text, primary_key=True),
    Column("language", Text, primary_key=True),
    # The sentence's revision that this row speaks of. The sentence may be further on until its new text has settled.
    Column("revision", Integer, nullable=False),
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
    _timestamp_column("created_at"),
    Index("ix_outbox_created_at", "created_at"),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("team_id", ForeignKey("teams.id")),
    Column("meeting_id", Uuid),
    Column("lane_id", Text, nullable=False),
    # The log's id of the entry: an entry that is read again is kept once.
    Column("log_id", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("fields", JSONB, nullable=False),
    _timestamp_column("created_at"),
    # When what it holds was put through the door again.
    Column("resubmitted_at", DateTime(timezone=True)),
    UniqueConstraint("lane_id", "log_id"),
    Index("ix_dead_letters_team_id_id", "team_id", "id"),
)

# Which models do what, for all teams: the newest version is in force.
model_configs = Table(
    "model_configs",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("config", JSONB, nullable=False),
    # Whether the settings of a start gave it, somebody asked for it, or an older version is in force again.
    Column(
        "origin", Text, CheckConstraint("origin in ('settings', 'request', 'rollback')", name="origin"), nullable=False
    ),
    Column("note", Text, nullable=False, server_default=""),
    # By application: why it could not be started.
    Column("problems", JSONB, nullable=False, server_default="{}"),
    _timestamp_column("created_at"),
)
