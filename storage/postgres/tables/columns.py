"""The metadata of all tables, and the columns that several tables have."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, DateTime, Integer, MetaData, Text, func
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def timestamp_column(name: str) -> Column[object]:
    """Return a column with the time at which a row is inserted, unless a statement sets another."""
    return Column(name, DateTime(timezone=True), nullable=False, server_default=func.now())


def key_columns() -> list[Column[object]]:
    """Return the columns of the key of a source's API: encrypted, or the name of an environment variable with the key."""
    return [Column("encrypted_key", Text), Column("key_variable", Text)]


def import_columns() -> list[Column[object]]:
    """Return the columns of an import's progress. `detail` says why it waits or failed, in words for the user."""
    return [
        Column(
            "state",
            Text,
            CheckConstraint("state in ('queued', 'running', 'done', 'failed')", name="state"),
            nullable=False,
            server_default="queued",
        ),
        Column("detail", Text),
        timestamp_column("created_at"),
        timestamp_column("updated_at"),
    ]


def source_import_columns() -> list[Column[object]]:
    """Return the columns of an import from a source's API, with those of its progress.

    Without a key, the team's account has it. `config` is that of new meetings. `due_at` is the time at which the import continues.
    """
    return [
        *key_columns(),
        Column("options", JSONB, nullable=False, server_default="{}"),
        Column("config", JSONB, nullable=False, server_default="{}"),
        Column("attempts", Integer, nullable=False, server_default="0"),
        timestamp_column("due_at"),
        *import_columns(),
    ]
