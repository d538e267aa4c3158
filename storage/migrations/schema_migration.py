"""Upgrades and downgrades the database's schema from code, without Alembic's ini file or command line."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import psycopg
from alembic.config import Config
from sqlalchemy import Connection, text

from alembic import command
from operators.errors import InvalidInputError, SetupError
from storage.connections import sync_engine
from storage.migrations.alembic_settings import make_alembic_config
from storage.migrations.compatibility import check_database, known_schema_versions
from storage.postgres.leader_lock import LEADER_LOCK_NAME

# An arbitrary number that nothing else in this database locks.
_MIGRATION_LOCK_KEY = 7_301_001


_TRY_LEADER_LOCK = text("select pg_try_advisory_xact_lock(hashtext(:name))")
_LOCK_SCHEMA = text("select pg_advisory_xact_lock(:key)")


def upgrade_schema(url: str) -> None:
    """Upgrade a database to the newest schema, in one transaction. Concurrent upgrades take turns.

    Args:
        url: `postgresql://…`, of a user that may create tables.

    Raises:
        SetupError: Parley can't use this database; the message has the reason and the fix.
        sqlalchemy.exc.OperationalError: the database can't be reached.
    """
    with _locked_database(url) as (config, _):
        command.upgrade(config, "head")


def downgrade_schema(url: str, schema: str) -> None:
    """Downgrade a database to the schema of an older version, in one transaction. Data that the old schema lacks is lost.

    Args:
        url: as for `upgrade_schema`.
        schema: an older schema, such as `0005`.

    Raises:
        InvalidInputError: the schema is unknown.
        SetupError: lanes run on the database, or Parley can't use it.
        sqlalchemy.exc.OperationalError: the database can't be reached.
    """
    known = known_schema_versions()
    if schema not in known:
        raise InvalidInputError("SCHEMA", f"must be one of {', '.join(reversed(known))}")
    with _locked_database(url) as (config, connection):
        # The lane manager holds this lock while lanes run.
        if not connection.execute(_TRY_LEADER_LOCK, {"name": LEADER_LOCK_NAME}).scalar_one():
            raise SetupError("lanes run on this database: stop them first, and the HTTP API as well")
        command.downgrade(config, schema)


@contextmanager
def _locked_database(url: str) -> Generator[tuple[Config, Connection]]:
    """Check a database and lock it against concurrent changes of its schema."""
    engine = sync_engine(url)
    try:
        with engine.begin() as connection:
            connection.execute(_LOCK_SCHEMA, {"key": _MIGRATION_LOCK_KEY})
            driver = connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)  # noqa: S101 - connections.py names this driver
            check_database(driver)
            config = make_alembic_config()
            config.attributes["connection"] = connection
            yield config, connection
    finally:
        engine.dispose()
