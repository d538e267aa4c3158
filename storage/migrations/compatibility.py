"""Checks that Parley can use a database: its encoding and extensions, its schema version, and that its tables are Parley's."""

from __future__ import annotations

import psycopg
from alembic.script import ScriptDirectory

from operators.errors import SetupError
from storage.migrations.alembic_settings import make_alembic_config
from storage.postgres.tables import metadata

_REQUIRED_TABLES = ("lanes", "meetings", "teams")
"""Tables that every version of Parley has."""
_OWN_DATABASE_HINT = "give Parley a database of its own with PARLEY_POSTGRES_URL"


def check_database(connection: psycopg.Connection) -> None:
    """Check a database before its schema is upgraded or downgraded.

    Raises:
        SetupError: the database can't be used; the message has the reason and the fix.
    """
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise SetupError(
            f"the database is encoded in {encoding}, which can't hold every language: make one with "
            "`create database parley encoding 'UTF8' template template0`, and name it with PARLEY_POSTGRES_URL"
        )
    if connection.execute("select 1 from pg_available_extensions where name = 'vector'").fetchone() is None:
        raise SetupError(
            "Postgres lacks the extension pgvector, by which questions find sentences: install it on the database's machine "
            "(Debian's package is postgresql-18-pgvector), or use an image that has it, such as pgvector/pgvector"
        )
    tables = _read_relation_names(connection)
    versions = _read_schema_versions(connection) if "alembic_version" in tables else []
    if not versions:
        if foreign_tables := sorted(tables & metadata.tables.keys()):
            raise SetupError(
                f"the database has a table `{foreign_tables[0]}` that is not Parley's: {_OWN_DATABASE_HINT}"
            )
        return
    if not tables.issuperset(_REQUIRED_TABLES) or len(versions) > 1:
        raise SetupError(f"the database has a table `alembic_version` that is not Parley's: {_OWN_DATABASE_HINT}")
    version, known = versions[0], known_schema_versions()
    if version not in known:
        newest = known[0]
        if not (version.isdigit() and len(version) == len(newest) and version > newest):
            raise SetupError(f"the database has a table `alembic_version` that is not Parley's: {_OWN_DATABASE_HINT}")
        raise SetupError(
            f"a newer Parley has used this database: its schema is {version}, and this version knows {newest} at most. "
            f"Start the newer version. To go back, run `parley database downgrade {newest}` with the newer version first"
        )


def known_schema_versions() -> list[str]:
    """Return the schema versions that this version of Parley knows, newest first."""
    return [script.revision for script in ScriptDirectory.from_config(make_alembic_config()).walk_revisions()]


def _read_relation_names(connection: psycopg.Connection) -> set[str]:
    # Views count too, because a table can't have the same name as a view.
    rows = connection.execute(
        "select relname from pg_class where pg_table_is_visible(oid) and relkind in ('r', 'p', 'v', 'm', 'f')"
        " and relnamespace <> 'pg_catalog'::regnamespace"
    )
    return {str(name) for (name,) in rows.fetchall()}


def _read_schema_versions(connection: psycopg.Connection) -> list[str]:
    rows = connection.execute("select * from alembic_version").fetchall()
    return [str(row[0]) for row in rows if row]
