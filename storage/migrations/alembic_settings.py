"""Where the migrations of the database's schema lie."""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config

MIGRATIONS_FOLDER = Path(__file__).resolve().parents[2] / "alembic"


def make_alembic_config() -> Config:
    """Alembic's settings for our migrations. `attributes["connection"]` says where they run."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
