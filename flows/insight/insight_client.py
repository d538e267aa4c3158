"""Client of the insight applications on Ray Serve, in the order of the engine configuration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from flows.insight.application_failover import ApplicationFailover
from flows.insight.note_templates import NoteTemplates
from flows.insight.token_quotas import TokenQuotas
from operators.insight_requests import Insight, InsightRequest
from operators.note_requests import NoteRequest, note_insight_request
from storage.postgres.engine_config_versions import EngineConfigWatcher


def configured_insight_applications(
    following: EngineConfigWatcher, role: Literal["insight", "chat", "embedding"] = "insight"
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
        quotas: the teams' token quotas.
        templates: the teams' templates of running notes; None for the default.
    """

    def __init__(
        self, names: Callable[[], Sequence[str]], quotas: TokenQuotas, templates: NoteTemplates | None = None
    ) -> None:
        self._applications, self._quotas = ApplicationFailover(names, "insights"), quotas
        self._templates = templates

    def is_configured(self) -> bool:
        """Whether an engine serves insights."""
        return self._applications.is_configured()

    async def answer(self, request: InsightRequest) -> Insight:
        """Answer a request with the first engine that is available.

        Raises:
            DeferredError: no engine serves insights, or the team's token quota is used up (`QuotaExceededError`).
            UnavailableError: no engine is available. It is the error of the last one.
            RayTaskError: an engine can never answer this request. It is an instance of that error's type as well.
        """
        async with self._quotas.reserve(request) as reservation:
            insight: Insight = await self._applications.call("answer", request)
            reservation.settle(insight)
        return insight

    async def write_note(self, request: NoteRequest) -> Insight:
        """Write a note.

        Raises:
            DeferredError, UnavailableError, RayTaskError: as for `answer`.
        """
        template = None if self._templates is None else await self._templates.read(request.team_id)
        return await self.answer(note_insight_request(request, template))
