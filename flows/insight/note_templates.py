"""The templates of running notes: each team may have changed its own."""

from __future__ import annotations

import asyncio
import threading

import structlog
from cachetools import TTLCache
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from operators.insights.templates import AUTO_NOTE, InsightTemplate, default_templates
from storage.insights.template_queries import read_own_template

CACHE_S = 5.0
"""Seconds for which a team's template is kept."""
MAX_TEAMS = 1_000
"""Maximum number of teams whose template is kept."""

log = structlog.get_logger(__name__)


class NoteTemplates:
    """Reads the templates of running notes. Several event loops may use it, each in its own thread.

    Args:
        engine: the database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._templates = TTLCache[str, InsightTemplate](MAX_TEAMS, CACHE_S)

    async def read(self, team_id: str) -> InsightTemplate:
        """Return a team's template of running notes. The default is returned if the team's own can't be read."""
        with self._lock:
            known = self._templates.get(team_id)
        return known or await asyncio.to_thread(self._read, team_id)

    def _read(self, team_id: str) -> InsightTemplate:
        default = default_templates()[AUTO_NOTE]
        try:
            with self._engine.connect() as connection:
                own = read_own_template(connection, team_id, AUTO_NOTE)
        except SQLAlchemyError as error:
            log.warning("template of notes not read", error=type(error).__name__)
            return default
        template = default if own is None or not own.is_active else own
        with self._lock:
            self._templates[team_id] = template
        return template
