"""The tables of retrieval: embeddings of windows of sentences, and how far each meeting is embedded."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, ForeignKey, Index, Integer, Table, Text, func
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import UserDefinedType

from storage.postgres.tables.columns import metadata


class HalfVector(UserDefinedType[str]):
    """pgvector's `halfvec`, as text. pgvector's own type would have every process import numpy."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """Return the type's name in SQL. Without a number of dimensions, each model has its own."""
        return "halfvec"


sentence_windows = Table(
    "sentence_windows",
    metadata,
    Column("meeting_id", ForeignKey("meetings.id", ondelete="CASCADE"), primary_key=True),
    # The window's first sentence.
    Column("sentence_id", Text, primary_key=True),
    Column("team_id", ForeignKey("teams.id"), nullable=False),
    Column("sentence_ids", ARRAY(Text, as_tuple=True), nullable=False),
    # Tells whether a sentence changed since.
    Column("digest", Text, nullable=False),
    # Vectors of different models can't be compared.
    Column("model", Text, nullable=False),
    Column("sentence_embedding", HalfVector, nullable=False),
    # Null while the window isn't complete.
    Column("window_embedding", HalfVector),
    Index("ix_sentence_windows_team_id_model", "team_id", "model"),
)

embedded_meetings = Table(
    "embedded_meetings",
    metadata,
    Column("meeting_id", ForeignKey("meetings.id", ondelete="CASCADE"), primary_key=True),
    Column("team_id", ForeignKey("teams.id"), nullable=False),
    # The meeting's last live event when its sentences were read; -1 before all windows have a vector.
    Column("seq", BigInteger, nullable=False),
    Column("model", Text),
    Column("failures", Integer, nullable=False, server_default="0"),
    # No earlier than this, the meeting is looked at again.
    Column("due_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
