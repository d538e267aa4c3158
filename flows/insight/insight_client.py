"""Client of the insight applications on Ray Serve, in the order of the engine configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal

import structlog

from flows.insight.note_templates import NoteTemplates
from flows.serve_application import ServeApplication
from operators.errors import DeferredError, UnavailableError
from operators.insight_requests import Insight, InsightRequest
from operators.note_requests import NoteRequest, note_insight_request
from storage.postgres.engine_config_versions import EngineConfigWatcher

log = structlog.get_logger(__name__)


def configured_insight_applications(
    following: EngineConfigWatcher, role: Literal["insight", "chat"] = "insight"
) -> Callable[[], Sequence[str]]:
    """Return a function that reads a role's applications from the configuration in force. Without one there are none.

    Args:
        following: watches the configuration.
        role: the role.
    """

    def names() -> Sequence[str]:
        version = following.current if following.is_loaded else None
        return () if version is None else version.config.serve_app_names(role)

    return names


class InsightClient:
    """Calls the most preferred insight application that answers. Several event loops may use it, each in its own thread.

    Args:
        names: returns the applications' names, the preferred one first; none if no engine serves insights.
        templates: the teams' templates of running notes; None for the default.
    """

    def __init__(self, names: Callable[[], Sequence[str]], templates: NoteTemplates | None = None) -> None:
        self._names, self._templates = names, templates
        self._applications: dict[tuple[asyncio.AbstractEventLoop, str], ServeApplication] = {}

    def is_configured(self) -> bool:
        """Whether an engine serves insights."""
        return bool(self._names())

    async def answer(self, request: InsightRequest) -> Insight:
        """Answer a request with the first engine that is available.

        Raises:
            DeferredError: no engine serves insights.
            UnavailableError: no engine is available. It is the error of the last one.
            RayTaskError: an engine can never answer this request. It is an instance of that error's type as well.
        """
        unavailable: UnavailableError | None = None
        for name in self._names():
            # Clients are per event loop: a task of one loop can't wake a waiter in another loop.
            key = (asyncio.get_running_loop(), name)
            application = self._applications.setdefault(key, ServeApplication(name, "insight"))
            try:
                return await application.call("answer", request)
            except UnavailableError as error:
                log.info("an insight engine is unavailable", application=name, error=type(error).__name__)
                unavailable = error
        raise unavailable or DeferredError("no engine serves insights")

    async def write_note(self, request: NoteRequest) -> Insight:
        """Write a note.

        Raises:
            DeferredError, UnavailableError, RayTaskError: as for `answer`.
        """
        template = None if self._templates is None else await self._templates.read(request.team_id)
        return await self.answer(note_insight_request(request, template))
