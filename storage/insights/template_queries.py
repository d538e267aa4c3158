"""The templates of a team: the defaults, as far as the team didn't change them, and its own."""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from operators.errors import ConflictError, InvalidInputError, NotFoundError
from operators.insights.templates import InsightTemplate, TemplateContent, default_templates, parse_template

MAX_TEMPLATES = 200
"""Most templates that a team may have, the defaults left out."""

_SELECT = text("select name, version, content from insight_templates where team_id = :team_id order by name")
_SELECT_ONE = text("select version, content from insight_templates where team_id = :team_id and name = :name")
_COUNT = text("select count(*) from insight_templates where team_id = :team_id")
_INSERT = text(
    "insert into insight_templates (team_id, name, version, content) values (:team_id, :name, 1, cast(:content as jsonb))"
    " on conflict do nothing returning version"
)
_UPSERT = text(
    "insert into insight_templates as t (team_id, name, version, content)"
    " values (:team_id, :name, :version, cast(:content as jsonb)) on conflict (team_id, name) do update"
    " set version = t.version + 1, content = excluded.content, updated_at = now() returning version"
)
_DELETE = text("delete from insight_templates where team_id = :team_id and name = :name returning name")


async def read_templates(conn: AsyncConnection, team_id: str) -> dict[str, InsightTemplate]:
    """Read a team's templates by name: the defaults first, then its own.

    A stored template that this release can't read is left out; a default takes its place.
    """
    templates = dict(default_templates())
    for row in await conn.execute(_SELECT, {"team_id": team_id}):
        try:
            templates[row.name] = _parse_stored(row.name, row.version, row.content)
        except InvalidInputError:
            # A newer release wrote it.
            continue
    return templates


def read_own_template(connection: Connection, team_id: str, name: str) -> InsightTemplate | None:
    """Read a team's own template; None if it has none, or one that this release can't read."""
    row = connection.execute(_SELECT_ONE, {"team_id": team_id, "name": name}).one_or_none()
    try:
        return None if row is None else _parse_stored(name, row.version, row.content)
    except InvalidInputError:
        # A newer release wrote it.
        return None


async def read_template(conn: AsyncConnection, team_id: str, name: str) -> InsightTemplate:
    """Read a team's template.

    Raises:
        NotFoundError: there is none with this name.
    """
    template = (await read_templates(conn, team_id)).get(name)
    if template is None:
        raise NotFoundError("there is no such template")
    return template


async def create_template(conn: AsyncConnection, team_id: str, name: str, content: TemplateContent) -> InsightTemplate:
    """Create a template of a team.

    Raises:
        ConflictError: a template has this name, or the team has too many.
    """
    if (await conn.execute(_COUNT, {"team_id": team_id})).scalar_one() >= MAX_TEMPLATES:
        raise ConflictError("limit", f"a team may have {MAX_TEMPLATES} templates of its own; delete one first")
    parameters = {"team_id": team_id, "name": name, "content": _dump(content)}
    taken = name in default_templates() or (await conn.execute(_INSERT, parameters)).scalar_one_or_none() is None
    if taken:
        raise ConflictError("exists", "a template has this name; change that one, or choose another name")
    return _parse_stored(name, 1, content.model_dump())


async def change_template(conn: AsyncConnection, team_id: str, name: str, content: TemplateContent) -> InsightTemplate:
    """Replace the content of a team's template. A changed default stays a default for others.

    Raises:
        NotFoundError: there is none with this name.
    """
    template = await read_template(conn, team_id, name)
    parameters = {"team_id": team_id, "name": name, "version": template.version + 1, "content": _dump(content)}
    version = (await conn.execute(_UPSERT, parameters)).scalar_one()
    return _parse_stored(name, version, content.model_dump())


async def delete_template(conn: AsyncConnection, team_id: str, name: str) -> None:
    """Delete a team's template. A default that the team changed is the default again.

    Raises:
        NotFoundError: the team has no template of its own with this name.
        ConflictError: it is a default that the team didn't change.
    """
    if (await conn.execute(_DELETE, {"team_id": team_id, "name": name})).scalar_one_or_none() is None:
        if name in default_templates():
            raise ConflictError("builtin", "a default can't be deleted; switch it off by `is_active`")
        raise NotFoundError("there is no such template")


def _parse_stored(name: str, version: int, content: dict[str, Any]) -> InsightTemplate:
    return parse_template(name, content, version=version, is_builtin=name in default_templates())


def _dump(content: TemplateContent) -> str:
    return orjson.dumps(content.model_dump(include=set(TemplateContent.model_fields))).decode()
