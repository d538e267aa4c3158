"""Brings the database's schema up to date, by code: no ini file, no command line."""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config
from sqlalchemy import text

from alembic import command
from storage.database import sync_engine

SCRIPTS = Path(__file__).resolve().parents[1] / "alembic"
# Any number will do that nothing else in this database locks.
_LOCK = 7_301_001


def alembic_config() -> Config:
    """Alembic's settings for our migrations. `attributes["connection"]` says where they run."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def upgrade(url: str) -> None:
    """Bring a database to the newest schema, in one transaction. Starters that come at once take turns.

    Args:
        url: `postgresql://…`, of a user that may create tables.

    Raises:
        sqlalchemy.exc.OperationalError: the database can't be reached.
    """
    engine = sync_engine(url)
    try:
        with engine.begin() as connection:
            connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            config = alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()
