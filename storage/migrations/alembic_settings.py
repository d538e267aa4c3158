"""Alembic's settings for the migrations of the database's schema."""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config

MIGRATIONS_FOLDER = Path(__file__).resolve().parents[2] / "alembic"


def make_alembic_config() -> Config:
    """Make Alembic's settings for Parley's migrations. `attributes["connection"]` is the connection that they run on."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
