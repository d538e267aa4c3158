"""Changes of the configs of open meetings. Each is an entry of the log, so it takes effect at a known point of the stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from uuid6 import uuid7

from operators.entries import ConfigChanged
from operators.fields import to_invalid_input_error
from operators.meeting_config import MeetingConfig
from storage.ingest.config_completion import with_shared_terms
from storage.ingest.meeting_service import MeetingService
from storage.postgres.meeting_queries import read_meeting
from storage.redis_log.event_log import AppendResult, LogWriter, NewEvent

_LOCK_CONFIG = text("select pg_advisory_xact_lock(hashtextextended(:name, 0))")
"""A change is the whole config, so two changes of a meeting at once must not begin from the same one."""


class MeetingConfigs:
    """Changes configs of open meetings.

    Args:
        engine: the database.
        log_writer: the ingest API of the log.
        meetings: appends the changes.
    """

    def __init__(self, engine: AsyncEngine, log_writer: LogWriter, meetings: MeetingService) -> None:
        self._engine, self._log_writer, self._meetings = engine, log_writer, meetings

    async def change(
        self, team_id: str, meeting_id: UUID, changes: Mapping[str, Any]
    ) -> tuple[AppendResult, MeetingConfig]:
        """Change fields of a meeting's config, for all that follows.

        Args:
            team_id: the meeting's team.
            meeting_id: the meeting.
            changes: the fields to change. The other fields stay as they are.

        Returns:
            What became of the log's entry, and the config with the changes.

        Raises:
            NotFoundError: the team has no such meeting.
            InvalidInputError: a field is invalid, or a glossary is unknown.
            UnavailableError: the log can't be reached.
        """
        async with self._engine.begin() as conn:
            current, at_ms = await self._lock_current(conn, team_id, meeting_id)
            try:
                config = MeetingConfig.model_validate({**current.model_dump(), **changes})
            except ValidationError as error:
                raise to_invalid_input_error(error) from None
            # A glossary that was deleted since it was attached must not stop other changes.
            config = await _share_terms(conn, team_id, config, drop_unknown="glossary_ids" not in changes)
            return await self._append(team_id, meeting_id, config, at_ms), config

    async def refresh_glossaries(self, team_id: str, meeting_id: UUID) -> bool:
        """Bring the present terms of the attached glossaries to a meeting.

        Returns:
            Whether its config changed.

        Raises:
            NotFoundError: the team has no such meeting.
            UnavailableError: the log can't be reached.
        """
        async with self._engine.begin() as conn:
            current, at_ms = await self._lock_current(conn, team_id, meeting_id)
            config = await _share_terms(conn, team_id, current, drop_unknown=True)
            return config != current and (await self._append(team_id, meeting_id, config, at_ms)).reason is None

    async def _lock_current(
        self, conn: AsyncConnection, team_id: str, meeting_id: UUID
    ) -> tuple[MeetingConfig, int | None]:
        """Return a meeting's config, and when its last entry arrived (ms). A recent change may be in the log only."""
        await conn.execute(_LOCK_CONFIG, {"name": f"config {meeting_id}"})
        record = await read_meeting(conn, team_id, meeting_id)
        info = await self._log_writer.read_state(str(meeting_id))
        return (record.config, None) if info is None else (info.config, info.last_arrived_at_ms)

    async def _append(self, team_id: str, meeting_id: UUID, config: MeetingConfig, at_ms: int | None) -> AppendResult:
        event = NewEvent(f"config-{uuid7()}", ConfigChanged(config=config), at_ms)
        (result,) = await self._meetings.append(team_id, meeting_id, [event])
        return result


async def _share_terms(
    conn: AsyncConnection, team_id: str, config: MeetingConfig, *, drop_unknown: bool
) -> MeetingConfig:
    return await conn.run_sync(
        lambda connection: with_shared_terms(connection, team_id, config, drop_unknown=drop_unknown)
    )
