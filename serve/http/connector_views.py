"""The connector of a meeting, as the routes of meetings show it: the latest session that Parley has for it at a source."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from serve.http.dependencies.request_budgets import BudgetView, read_budget
from serve.http.dependencies.services import Services
from storage.postgres.connector_sessions import CLOSED_SESSION_STATUSES, ConnectorSession, SessionStatus
from storage.postgres.source_accounts import StoredSecret

DisplayMode = Literal["both", "source", "translation"]
"""Which text pages show of a meeting."""


class SessionGap(BaseModel):
    """Speech that may be missing, in seconds from the meeting's start. `end` is null while it is unknown."""

    start: float
    end: float | None


class ConnectorSummary(BaseModel):
    """The connection of Parley to a meeting at a source, such as `fireflies`."""

    source: str
    status: SessionStatus


class ConnectorDetail(ConnectorSummary):
    """The connection of Parley to a meeting at a source, such as `fireflies`. `external_id` is the source's id of the meeting.

    `last_error` says what is wrong, and what to do. `gaps` is speech that may be missing; `filled` is the number of texts that
    were added or corrected from the source's transcript. `budget` is what is left of the plan's requests; null if the session
    is over, or if its key can't be read. `display_mode` is the text that pages show.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "source": "fireflies",
                    "status": "reconnecting",
                    "external_id": "ASxwZxCstx",
                    "is_disconnecting": False,
                    "display_mode": "both",
                    "last_error": "Fireflies can't be reached",
                    "gaps": [{"start": 310.5, "end": None}],
                    "filled": 4,
                    "budget": {"plan": "business", "limit": 60, "remaining": 58, "resets_in_s": 41},
                    "connected_at": "2026-11-30T09:00:04Z",
                    "last_message_at": "2026-11-30T09:05:10Z",
                    "ended_at": None,
                    "created_at": "2026-11-30T09:00:00Z",
                }
            ]
        }
    )

    external_id: str
    is_disconnecting: bool
    display_mode: DisplayMode
    last_error: str | None
    gaps: list[SessionGap]
    filled: int
    budget: BudgetView | None
    connected_at: datetime | None
    last_message_at: datetime | None
    ended_at: datetime | None
    created_at: datetime


def summarize_connector(session: ConnectorSession | None) -> ConnectorSummary | None:
    """Return the summary of a session; None without one."""
    return None if session is None else ConnectorSummary(source=session.source, status=session.status)


async def describe_connector(services: Services, session: ConnectorSession | None) -> ConnectorDetail | None:
    """Return a session in detail; None without one.

    Raises:
        UnavailableError: Redis does not respond.
    """
    if session is None:
        return None
    is_closed = session.status in CLOSED_SESSION_STATUSES
    key = StoredSecret(session.encrypted_key, session.key_variable)
    return ConnectorDetail(
        source=session.source,
        status=session.status,
        external_id=session.external_id,
        is_disconnecting=session.desired == "disconnected" and not is_closed,
        display_mode=read_display_mode(session),
        last_error=session.last_error,
        gaps=read_gaps(session),
        filled=session.counters.get("filled", 0),
        budget=None if is_closed else await read_budget(services, key, session.options),
        connected_at=session.connected_at,
        last_message_at=session.last_message_at,
        ended_at=session.ended_at,
        created_at=session.created_at,
    )


def read_display_mode(session: ConnectorSession) -> DisplayMode:
    """Return the text that pages show of a session's meeting."""
    return session.options.get("display_mode", "both")


def read_gaps(session: ConnectorSession) -> list[SessionGap]:
    """Return the speech that may be missing of a session."""
    return [SessionGap(start=start, end=end) for start, end in session.gaps]
