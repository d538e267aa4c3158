"""The facts that a source has about a meeting beside its transcript: summary, attendees, attendance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from operators.errors import NotFoundError

_SAVE = text(
    "insert into source_metadata (meeting_id, team_id, source, external_id, content)"
    " values (:meeting_id, :team_id, :source, :external_id, cast(:content as jsonb))"
    " on conflict (meeting_id) do update set source = excluded.source, external_id = excluded.external_id,"
    " content = excluded.content, updated_at = now()"
)
_BY_MEETING = text(
    "select source, external_id, content, updated_at from source_metadata"
    " where team_id = :team_id and meeting_id = :meeting_id"
)


@dataclass(frozen=True, slots=True)
class SourceMetadata:
    """The facts that a source has about a meeting. `external_id` is the source's own id of it."""

    source: str
    external_id: str
    content: Mapping[str, Any]
    updated_at: datetime


async def save_metadata(
    conn: AsyncConnection, team_id: str, meeting_id: UUID, source: str, external_id: str, content: Mapping[str, Any]
) -> None:
    """Save the facts about a meeting. They replace earlier ones."""
    values = {"meeting_id": meeting_id, "team_id": team_id, "source": source, "external_id": external_id}
    await conn.execute(_SAVE, values | {"content": json.dumps(content)})


async def read_metadata(conn: AsyncConnection, team_id: str, meeting_id: UUID) -> SourceMetadata:
    """Read the facts about a meeting.

    Raises:
        NotFoundError: no source has any for this meeting.
    """
    row = (await conn.execute(_BY_MEETING, {"team_id": team_id, "meeting_id": meeting_id})).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"no source has facts about a meeting {meeting_id}")
    return SourceMetadata(**row)
