"""Create the first tables, and the default team."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "lanes",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("pid", sa.Integer()),
        sa.Column("node", sa.Text()),
        sa.Column("state", sa.Text(), server_default="stopped", nullable=False),
        sa.Column("retired", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("log_id", sa.Text(), server_default="0-0", nullable=False),
        sa.Column("waiting", sa.Integer(), server_default="0", nullable=False),
        sa.Column("log_length", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind in ('live', 'batch')", name=op.f("ck_lanes_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lanes")),
    )
    op.create_table(
        "teams",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_teams")),
    )
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("team_id", sa.Text()),
        sa.Column("meeting_id", sa.Uuid()),
        sa.Column("lane_id", sa.Text(), nullable=False),
        sa.Column("log_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("fields", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name=op.f("fk_dead_letters_team_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letters")),
        sa.UniqueConstraint("lane_id", "log_id", name=op.f("uq_dead_letters_lane_id_log_id")),
    )
    op.create_table(
        "meetings",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text()),
        sa.Column("title", sa.Text(), server_default="", nullable=False),
        sa.Column("clock", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="created", nullable=False),
        sa.Column("lane_id", sa.Text(), nullable=False),
        sa.Column("config", postgresql.JSONB(), nullable=False),
        sa.Column("generation", sa.Integer(), server_default="1", nullable=False),
        sa.Column("n", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("log_id", sa.Text()),
        sa.Column("state", postgresql.JSONB()),
        sa.Column("accepted", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("counters", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("end_reason", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["lane_id"], ["lanes.id"], name=op.f("fk_meetings_lane_id")),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name=op.f("fk_meetings_team_id")),
        sa.CheckConstraint("clock in ('live', 'recorded')", name=op.f("ck_meetings_clock")),
        sa.CheckConstraint(
            "status in ('created', 'live', 'paused', 'ended', 'timed_out')", name=op.f("ck_meetings_status")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_meetings")),
        sa.UniqueConstraint("team_id", "external_id", name=op.f("uq_meetings_team_id_external_id")),
    )
    op.create_index("ix_meetings_lane_id_status", "meetings", ["lane_id", "status"])
    op.create_index("ix_meetings_team_id_created_at", "meetings", ["team_id", "created_at"])
    op.create_table(
        "outbox",
        sa.Column("team_id", sa.Text(), nullable=False),
        sa.Column("meeting_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["meeting_id"], ["meetings.id"], name=op.f("fk_outbox_meeting_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name=op.f("fk_outbox_team_id")),
        sa.PrimaryKeyConstraint("meeting_id", "seq", name=op.f("pk_outbox")),
    )
    op.create_index("ix_outbox_created_at", "outbox", ["created_at"])
    op.create_table(
        "participants",
        sa.Column("team_id", sa.Text(), nullable=False),
        sa.Column("meeting_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["meeting_id"], ["meetings.id"], name=op.f("fk_participants_meeting_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name=op.f("fk_participants_team_id")),
        sa.PrimaryKeyConstraint("meeting_id", "name", name=op.f("pk_participants")),
    )
    op.create_table(
        "sentences",
        sa.Column("team_id", sa.Text(), nullable=False),
        sa.Column("meeting_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("speaker", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("start", sa.Double(), nullable=False),
        sa.Column("end", sa.Double(), nullable=False),
        sa.Column("boundary", sa.Text(), nullable=False),
        sa.Column("language", sa.Text()),
        sa.Column("first_emitted", sa.Double(), nullable=False),
        sa.Column("first_text", sa.Text(), nullable=False),
        sa.Column("retracted", sa.Boolean(), server_default="false", nullable=False),
        sa.ForeignKeyConstraint(
            ["meeting_id"], ["meetings.id"], name=op.f("fk_sentences_meeting_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name=op.f("fk_sentences_team_id")),
        sa.PrimaryKeyConstraint("meeting_id", "id", name=op.f("pk_sentences")),
    )
    op.create_index("ix_sentences_meeting_id_start", "sentences", ["meeting_id", "start"])
    op.create_table(
        "captions",
        sa.Column("team_id", sa.Text(), nullable=False),
        sa.Column("meeting_id", sa.Uuid(), nullable=False),
        sa.Column("sentence_id", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("text", sa.Text()),
        sa.Column("engine", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("version", sa.Integer(), server_default="0", nullable=False),
        sa.Column("asked", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(
            ["meeting_id", "sentence_id"],
            ["sentences.meeting_id", "sentences.id"],
            name=op.f("fk_captions_meeting_id_sentence_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name=op.f("fk_captions_team_id")),
        sa.CheckConstraint("status in ('owed', 'translated', 'same', 'untranslated')", name=op.f("ck_captions_status")),
        sa.PrimaryKeyConstraint("meeting_id", "sentence_id", "language", name=op.f("pk_captions")),
    )
    op.create_index("ix_captions_owed", "captions", ["due_at"], postgresql_where="status = 'owed'")
    op.bulk_insert(
        sa.table("teams", sa.column("id", sa.Text()), sa.column("name", sa.Text())),
        [{"id": "default", "name": "Default team"}],
    )


def downgrade() -> None:
    for table in ("captions", "sentences", "participants", "outbox", "meetings", "dead_letters", "teams", "lanes"):
        op.drop_table(table)
