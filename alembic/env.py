"""Runs the migrations on the connection that Alembic's settings hold, within that connection's transaction."""

from __future__ import annotations

from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql.base import ischema_names

from alembic import context
from storage.postgres.tables import metadata
from storage.postgres.tables.retrieval_tables import HalfVector

# Alembic compares the columns' types with those that SQLAlchemy reads from the database.
ischema_names["halfvec"] = HalfVector  # pyright: ignore[reportArgumentType] - typed for the types of the dialect only


def run_migrations(connection: Connection) -> None:
    """Run the requested migrations on a connection."""
    context.configure(connection=connection, target_metadata=metadata, compare_server_default=True)
    with context.begin_transaction():
        context.run_migrations()


bind: Connection | Engine = context.config.attributes["connection"]
if isinstance(bind, Engine):
    with bind.connect() as engine_connection:
        run_migrations(engine_connection)
else:
    run_migrations(bind)
