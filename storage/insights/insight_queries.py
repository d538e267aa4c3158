"""Queries of the API: a meeting's insights, requests for new ones, and their deletion."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid6 import uuid7

from operators.errors import ConflictError, NotFoundError
from operators.insights.templates import InsightTemplate, TemplateContent
from storage.insights.insight_records import InsightRecord

MAX_INSIGHTS = 500
"""Most insights of a page."""
MAX_PENDING = 50
"""Most insights of a meeting that may be pending."""

_COLUMNS = (
    "id, meeting_id, template, template_version, language, instructions, number, status, text, rows, dropped_rows,"
    " dropped_sentences, transcript_seq, engine, prompt_version, prompt_tokens, completion_tokens, part_count, finish, reason,"
    " created_at, finished_at"
)
_SELECT_OF_MEETING = text(
    f"select {_COLUMNS} from insights where team_id = :team_id and meeting_id = :meeting_id"  # noqa: S608 - a constant
    # Ids grow with time. A deleted insight is still a place to continue at.
    " and (cast(:before as uuid) is null or id < cast(:before as uuid)) order by id desc limit :limit"
)
_SELECT_SOME = text(
    f"select {_COLUMNS} from insights where team_id = :team_id and id = any(:ids) order by created_at, id"  # noqa: S608 - a constant
)
_LOCK_MEETING = text("select 1 from meetings where id = :meeting_id for update")
_INSERT = text(
    "insert into insights (id, team_id, meeting_id, template, template_version, template_content, language, instructions,"
    " number, due_at) select :id, :team_id, :meeting_id, :template, :version, cast(:content as jsonb), :language, :instructions,"
    " coalesce(max(number), 0) + 1, now() from insights"
    " where meeting_id = :meeting_id and template = :template and language = :language"
)
_COUNT_PENDING = text("select count(*) from insights where meeting_id = :meeting_id and status = 'pending'")
_DELETE = text("delete from insights where team_id = :team_id and id = :id returning id")


async def list_insights(
    conn: AsyncConnection, team_id: str, meeting_id: UUID, *, limit: int, before: UUID | None = None
) -> list[InsightRecord]:
    """List the insights of a team's meeting, newest first.

    Args:
        limit: most insights to return.
        before: id of the last insight of the previous page; None for the first page.
    """
    values = {"team_id": team_id, "meeting_id": meeting_id, "limit": limit, "before": before}
    rows = await conn.execute(_SELECT_OF_MEETING, values)
    return [InsightRecord(**row) for row in rows.mappings()]


async def read_insights(conn: AsyncConnection, team_id: str, insight_ids: Sequence[UUID]) -> list[InsightRecord]:
    """Read some of a team's insights, in the order of their requests. Unknown ones are left out."""
    rows = await conn.execute(_SELECT_SOME, {"team_id": team_id, "ids": list(insight_ids)})
    return [InsightRecord(**row) for row in rows.mappings()]


async def read_insight(conn: AsyncConnection, team_id: str, insight_id: UUID) -> InsightRecord:
    """Read a team's insight.

    Raises:
        NotFoundError: the team has no such insight.
    """
    found = await read_insights(conn, team_id, [insight_id])
    if not found:
        raise NotFoundError("there is no such insight")
    return found[0]


async def request_insights(
    conn: AsyncConnection,
    team_id: str,
    meeting_id: UUID,
    templates: Sequence[InsightTemplate],
    language: str,
    instructions: str,
) -> list[InsightRecord]:
    """Request an insight by each template. They are pending until the model has answered.

    Args:
        templates: the templates, as they are now.
        language: the answers' language, as a tag.
        instructions: what the user wants besides; may be empty.

    Raises:
        ConflictError: too many insights of the meeting are pending.
    """
    # The numbers of two requests at once must differ.
    await conn.execute(_LOCK_MEETING, {"meeting_id": meeting_id})
    pending = (await conn.execute(_COUNT_PENDING, {"meeting_id": meeting_id})).scalar_one()
    if pending + len(templates) > MAX_PENDING:
        raise ConflictError("limit", f"{pending} insights of the meeting are pending; wait for them")
    ids: list[UUID] = []
    for template in templates:
        ids.append(insight_id := uuid7())
        await conn.execute(
            _INSERT,
            {
                "id": insight_id,
                "team_id": team_id,
                "meeting_id": meeting_id,
                "template": template.name,
                "version": template.version,
                "content": template.model_dump_json(include=set(TemplateContent.model_fields)),
                "language": language,
                "instructions": instructions,
            },
        )
    return await read_insights(conn, team_id, ids)


async def delete_insight(conn: AsyncConnection, team_id: str, insight_id: UUID) -> None:
    """Delete a team's insight. A pending one is not generated any more.

    Raises:
        NotFoundError: the team has no such insight.
    """
    if (await conn.execute(_DELETE, {"team_id": team_id, "id": insight_id})).scalar_one_or_none() is None:
        raise NotFoundError("there is no such insight")
