"""Where the migrations of the database's schema lie."""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config

SCRIPTS = Path(__file__).resolve().parents[1] / "alembic"


def alembic_config() -> Config:
    """Alembic's settings for our migrations. `attributes["connection"]` says where they run."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
