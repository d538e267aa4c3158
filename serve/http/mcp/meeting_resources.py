"""Transcripts as resources: each meeting is a Markdown file, which a person attaches to a chat."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from operators.errors import InvalidInputError, NotFoundError
from serve.http.dependencies.services import Services
from serve.http.exports import read_stored_transcript, render_export, select_export
from storage.postgres import meeting_queries
from storage.records import DEFAULT_TEAM_ID

URI_TEMPLATE = "parley://meetings/{meeting_id}/transcript"
"""URIs of the resources (RFC 6570)."""
MIME_TYPE = "text/markdown"
PAGE_SIZE = 50
"""Most meetings of a page."""
MAX_CHARS = 400_000
"""Maximum length of a resource, in characters: speech of about ten hours."""

_URI = re.compile(r"parley://meetings/([0-9a-f-]{36})/transcript")


@dataclass(frozen=True, slots=True)
class MeetingResource:
    """The transcript of a meeting, with the meeting's title and the time of its creation."""

    uri: str
    title: str
    created: str


async def list_resources(services: Services, cursor: str | None) -> tuple[Sequence[MeetingResource], str | None]:
    """List the transcripts of the team's meetings, newest first.

    Args:
        services: the services of the replica.
        cursor: the cursor of the previous page; None for the first page.

    Returns:
        A page, and its cursor; None on the last page.

    Raises:
        InvalidInputError: there is no such cursor.
    """
    before = None if cursor is None else _parse_id("cursor", cursor, "must be the `nextCursor` of the previous page")
    async with services.database.connect() as conn:
        records = await meeting_queries.list_meetings(conn, DEFAULT_TEAM_ID, limit=PAGE_SIZE + 1, before=before)
    page = records[:PAGE_SIZE]
    resources = [
        MeetingResource(
            URI_TEMPLATE.format(meeting_id=record.id),
            record.title or "Meeting",
            f"{record.created_at:%Y-%m-%d %H:%M} UTC",
        )
        for record in page
    ]
    return resources, str(page[-1].id) if len(records) > len(page) else None


async def read_resource(services: Services, uri: str) -> str:
    """Read the transcript of a meeting as Markdown, as it was spoken.

    Raises:
        NotFoundError: there is no such resource.
        InvalidInputError: the transcript is too long for a resource.
    """
    match = _URI.fullmatch(uri)
    if match is None:
        raise NotFoundError(f"uri: there is no such resource; its form is {URI_TEMPLATE}")
    transcript = await read_stored_transcript(
        services, _parse_id("uri", match[1], f"must have the form {URI_TEMPLATE}")
    )
    selection = select_export(transcript, "md", "source", None)
    text = (await asyncio.to_thread(render_export, transcript, selection)).decode()
    if len(text) > MAX_CHARS:
        raise InvalidInputError("uri", f"it has more than {MAX_CHARS} characters; read it with `read_transcript`")
    return text


def _parse_id(field: str, value: str, fix: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise InvalidInputError(field, fix) from None
