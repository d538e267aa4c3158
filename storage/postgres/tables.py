"""The tables. Postgres is the source of truth: sentences, captions, and the state of each meeting.

Meetings, sentences, captions and live events belong to a team. Rows of sentences hold no wall-clock times, so replaying a log
gives the same rows.
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
    # Counters that belong to none of its meetings: refused openings of meetings.
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
    # As of the last sign of life: the log's id up to which all is committed, calls without a result, entries in the log.
    Column("log_id", Text, nullable=False, server_default="0-0"),
    # The log is retained after this id if meetings that move need more of it than `log_id` does.
    Column("retain_after", Text),
    Column("pending_calls", Integer, nullable=False, server_default="0"),
    Column("log_length", BigInteger, nullable=False, server_default="0"),
    # As of the last sign of life of a live lane: when its first uncommitted tick is due (ms, by Redis' time); null if none is.
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
    # The entry's id in the log. It prevents a second letter if the entry is read again.
    Column("log_id", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("fields", JSONB, nullable=False),
    _timestamp_column("created_at"),
    # When the letter was first resubmitted.
    Column("resubmitted_at", DateTime(timezone=True)),
    UniqueConstraint("lane_id", "log_id"),
    Index("ix_dead_letters_team_id_id", "team_id", "id"),
)

# Versions of the engine configuration, for all teams: the newest one is in force.
model_configs = Table(
    "model_configs",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("config", JSONB, nullable=False),
    # Its source: the settings at a start, a request, or a rollback to an older version.
    Column(
        "origin", Text, CheckConstraint("origin in ('settings', 'request', 'rollback')", name="origin"), nullable=False
    ),
    Column("note", Text, nullable=False, server_default=""),
    # Why applications could not be started, by application.
    Column("problems", JSONB, nullable=False, server_default="{}"),
    _timestamp_column("created_at"),
)

# Connections of Parley to a source's live stream: one row for each meeting that was asked for.
connector_sessions = Table(
    "connector_sessions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("team_id", ForeignKey("teams.id"), nullable=False),
    Column("source", Text, nullable=False),
    # The source's own id of the meeting.
    Column("external_id", Text, nullable=False),
    Column("meeting_id", ForeignKey("meetings.id", ondelete="CASCADE"), nullable=False),
    # The key of the source's API: encrypted, or the name of an environment variable that holds it.
    Column("encrypted_key", Text),
    Column("key_variable", Text),
    Column("options", JSONB, nullable=False, server_default="{}"),
    # Whether the connection shall exist: a request to disconnect only sets this.
    Column(
        "desired",
        Text,
        CheckConstraint("desired in ('connected', 'disconnected')", name="desired"),
        nullable=False,
        server_default="connected",
    ),
    Column(
        "status",
        Text,
        CheckConstraint("status in ('connecting', 'connected', 'reconnecting', 'failed', 'ended')", name="status"),
        nullable=False,
        server_default="connecting",
    ),
    Column("counters", JSONB, nullable=False, server_default="{}"),
    Column("last_error", Text),
    # Speech that may be missing, because there was no connection, as `[start, end]` in seconds from the meeting's start.
    Column("gaps", JSONB, nullable=False, server_default="[]"),
    Column("connected_at", DateTime(timezone=True)),
    Column("last_message_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
    _timestamp_column("created_at"),
    # An encrypted key is deleted when the session is over.
    CheckConstraint(
        "(encrypted_key is null) <> (key_variable is null)"
        " or (encrypted_key is null and status in ('failed', 'ended'))",
        name="key",
    ),
    Index(
        "uq_connector_sessions_open",
        "team_id",
        "source",
        "external_id",
        unique=True,
        postgresql_where="status not in ('failed', 'ended')",
    ),
    Index("ix_connector_sessions_meeting_id", "meeting_id"),
)

# Receivers of webhooks.
webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("team_id", ForeignKey("teams.id"), nullable=False),
    Column("url", Text, nullable=False),
    Column("event_types", ARRAY(Text, as_tuple=True), nullable=False),
    Column("enabled", Boolean, nullable=False, server_default="true"),
    Column("disabled_reason", Text),
    # Encrypted. After a rotation, the previous secret signs as well, until it expires.
    Column("secret", Text, nullable=False),
    Column("previous_secret", Text),
    Column("previous_secret_expires_at", DateTime(timezone=True)),
    _timestamp_column("created_at"),
    Index("ix_webhook_endpoints_team_id_created_at", "team_id", "created_at"),
)

# Deliveries of events to endpoints: the queue, and the log of what became of each.
webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("team_id", ForeignKey("teams.id"), nullable=False),
    Column("endpoint_id", ForeignKey("webhook_endpoints.id", ondelete="CASCADE"), nullable=False),
    # Deliveries of an endpoint with the same queue are sent in order. The queue is the meeting; for tests, the endpoint.
    Column("queue_id", Uuid, nullable=False),
    Column("meeting_id", ForeignKey("meetings.id", ondelete="CASCADE")),
    Column("seq", BigInteger),
    # The header `webhook-id`: the same at each attempt, and after a replay.
    Column("event_id", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    Column(
        "status",
        Text,
        CheckConstraint("status in ('pending', 'accepted', 'failed')", name="status"),
        nullable=False,
        server_default="pending",
    ),
    # Attempts since it was queued, with those that a crash interrupted, and those of them that failed.
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("failures", Integer, nullable=False, server_default="0"),
    # When it is attempted next: at once without a time. An attempt in progress sets the time at which it counts as lost.
    Column("due_at", DateTime(timezone=True)),
    Column("response_code", Integer),
    Column("reason", Text),
    _timestamp_column("created_at"),
    # When it was created, or last replayed.
    _timestamp_column("queued_at"),
    Column("attempted_at", DateTime(timezone=True)),
    Column("ended_at", DateTime(timezone=True)),
    UniqueConstraint("endpoint_id", "event_id"),
    # An event can't be removed from the outbox while a delivery needs its content, except with its meeting.
    ForeignKeyConstraint(["meeting_id", "seq"], ["outbox.meeting_id", "outbox.seq"]),
    Index("ix_webhook_deliveries_endpoint_id_id", "endpoint_id", "id"),
    Index("ix_webhook_deliveries_meeting_id_seq", "meeting_id", "seq"),
    Index("ix_webhook_deliveries_ended_at", "ended_at"),
    Index("ix_webhook_deliveries_pending", "endpoint_id", "queue_id", "id", postgresql_where="status = 'pending'"),
)

# Configurations of transcript sources that send their messages to Parley.
sources = Table(
    "sources",
    metadata,
    Column("team_id", ForeignKey("teams.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    # The config of meetings that the source's first message opens, without a glossary.
    Column("config", JSONB, nullable=False),
    # The signing secret: encrypted, or the name of an environment variable. Messages are not checked if both are null.
    Column("encrypted_secret", Text),
    Column("secret_env", Text),
    # Requests that were refused because of a wrong or missing signature.
    Column("refused_count", BigInteger, nullable=False, server_default="0"),
    _timestamp_column("updated_at"),
    CheckConstraint("encrypted_secret is null or secret_env is null", name="one_secret"),
)

# Imports of transcript files.
imports = Table(
    "imports",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("team_id", ForeignKey("teams.id"), nullable=False),
    # Of the file's content and the options: the same request again is the same import.
    Column("fingerprint", Text, nullable=False),
    Column(
        "state",
        Text,
        CheckConstraint("state in ('queued', 'running', 'done', 'failed')", name="state"),
        nullable=False,
        server_default="queued",
    ),
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
    # Why the import waits, or why it failed.
    Column("detail", Text),
    _timestamp_column("created_at"),
    _timestamp_column("updated_at"),
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

# A team's account at a source: the key and the defaults of meetings that come from it.
source_accounts = Table(
    "source_accounts",
    metadata,
    Column("team_id", ForeignKey("teams.id"), primary_key=True),
    Column("source", Text, primary_key=True),
    # The key of the source's API: encrypted, or the name of an environment variable that holds it.
    Column("encrypted_key", Text),
    Column("key_variable", Text),
    # The secret of the webhooks that the source sends, in the same two forms.
    Column("encrypted_webhook_secret", Text),
    Column("webhook_secret_variable", Text),
    Column("options", JSONB, nullable=False, server_default="{}"),
    # The config of new meetings.
    Column("config", JSONB, nullable=False, server_default="{}"),
    # Number of webhooks by event and outcome.
    Column("counters", JSONB, nullable=False, server_default="{}"),
    _timestamp_column("updated_at"),
    CheckConstraint("encrypted_key is null or key_variable is null", name="one_key"),
    CheckConstraint("encrypted_webhook_secret is null or webhook_secret_variable is null", name="one_webhook_secret"),
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
    # The key of the source's API. Without both, the team's account has it.
    Column("encrypted_key", Text),
    Column("key_variable", Text),
    Column("options", JSONB, nullable=False, server_default="{}"),
    Column("config", JSONB, nullable=False, server_default="{}"),
    Column(
        "state",
        Text,
        CheckConstraint("state in ('queued', 'running', 'done', 'failed')", name="state"),
        nullable=False,
        server_default="queued",
    ),
    # Why it waits, failed, or did not add text, in words for the user.
    Column("detail", Text),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("appended_count", Integer, nullable=False, server_default="0"),
    Column("total_count", Integer),
    Column("invalid_count", Integer, nullable=False, server_default="0"),
    Column("due_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    _timestamp_column("created_at"),
    _timestamp_column("updated_at"),
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
    Column("encrypted_key", Text),
    Column("key_variable", Text),
    Column("options", JSONB, nullable=False, server_default="{}"),
    Column("config", JSONB, nullable=False, server_default="{}"),
    Column(
        "state",
        Text,
        CheckConstraint("state in ('queued', 'running', 'done', 'failed')", name="state"),
        nullable=False,
        server_default="queued",
    ),
    Column("detail", Text),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("due_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    _timestamp_column("created_at"),
    _timestamp_column("updated_at"),
    Index(
        "uq_source_import_runs_open",
        "team_id",
        "source",
        unique=True,
        postgresql_where="state in ('queued', 'running')",
    ),
    Index("ix_source_import_runs_created_at", "team_id", "source", "created_at"),
)

# Webhooks that a source sent, until they are processed and for a month afterwards.
source_notifications = Table(
    "source_notifications",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("team_id", ForeignKey("teams.id"), nullable=False),
    Column("source", Text, nullable=False),
    # SHA-256 of the body: a repeated delivery has the same.
    Column("digest", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    # What followed, in words for the user; null until it is processed.
    Column("outcome", Text),
    Column("due_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    _timestamp_column("created_at"),
    UniqueConstraint("team_id", "source", "digest"),
    Index("ix_source_notifications_open", "due_at", postgresql_where="outcome is null"),
    Index("ix_source_notifications_created_at", "created_at"),
)

# The facts that a source has about a meeting beside its transcript: summary, attendees, attendance.
source_metadata = Table(
    "source_metadata",
    metadata,
    Column("meeting_id", ForeignKey("meetings.id", ondelete="CASCADE"), primary_key=True),
    Column("team_id", ForeignKey("teams.id"), nullable=False),
    Column("source", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("content", JSONB, nullable=False),
    _timestamp_column("updated_at"),
)
