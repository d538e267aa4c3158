"""Queries of glossaries and their entries."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid6 import uuid7

from operators.errors import ConflictError, NotFoundError
from operators.meeting_config import MAX_GLOSSARY_TERMS, Term
from operators.team_glossary import GlossaryTerm
from storage.glossaries.glossary_records import GlossaryEntryRecord, GlossaryRecord
from storage.records import OPEN_STATUSES

MAX_ENTRIES = 5_000
"""Most entries of a glossary. A meeting takes at most `operators.meeting_config.MAX_GLOSSARY_TERMS` of them."""
MAX_TERMS_OF_TEAM = 20_000
"""Most terms of all glossaries of a team that are looked up at once."""
MAX_GLOSSARIES_OF_TEAM = 200
"""Most glossaries of a team."""

_COLUMNS = (
    "g.id, g.name, g.description, g.created_at, g.updated_at,"
    " (select count(*) from glossary_entries e where e.glossary_id = g.id) as entries"
)
_LIST = text(f"select {_COLUMNS} from glossaries g where g.team_id = :team_id order by g.name")  # noqa: S608 - a constant
_READ = text(f"select {_COLUMNS} from glossaries g where g.team_id = :team_id and g.id = :id")  # noqa: S608 - a constant
_LOCK = text("select id from glossaries where team_id = :team_id and id = :id for update")
_COUNT = text("select count(*) from glossaries where team_id = :team_id")
_INSERT = text(
    "insert into glossaries (id, team_id, name, description) values (:id, :team_id, :name, :description)"
    " on conflict do nothing returning id"
)
_UPDATE = text(
    "update glossaries g set name = :name, description = :description, updated_at = now()"
    " where g.id = :id and not exists"
    " (select from glossaries o where o.team_id = g.team_id and o.name = :name and o.id <> g.id) returning g.id"
)
_TOUCH = text("update glossaries set updated_at = now() where id = :id")
_DELETE = text("delete from glossaries where id = :id")
_SELECT_ENTRIES = text(
    "select id, content from glossary_entries where glossary_id = :glossary_id and (key, id) > (:after_key, :after_id)"
    " order by key, id limit :limit"
)
_SELECT_KEY = text("select key from glossary_entries where glossary_id = :glossary_id and id = :id")
_SELECT_ENTRY = text("select id, content from glossary_entries where glossary_id = :glossary_id and id = :id")
_COUNT_ENTRIES = text("select count(*) from glossary_entries where glossary_id = :glossary_id")
_INSERT_ENTRY = text(
    "insert into glossary_entries (id, glossary_id, key, content, priority)"
    " values (:id, :glossary_id, :key, cast(:content as jsonb), :priority) on conflict do nothing returning id"
)
_UPSERT_ENTRIES = text(
    "insert into glossary_entries as e (id, glossary_id, key, content, priority)"
    " select id, :glossary_id, key, content, priority from jsonb_to_recordset(cast(:rows as jsonb))"
    " as r(id uuid, key text, content jsonb, priority int)"
    " on conflict (glossary_id, key) do update"
    " set content = excluded.content, priority = excluded.priority, updated_at = now() returning (xmax = 0) as is_new"
)
_UPDATE_ENTRY = text(
    "update glossary_entries e set key = :key, content = cast(:content as jsonb), priority = :priority, updated_at = now()"
    " where e.id = :id and not exists"
    " (select from glossary_entries o where o.glossary_id = e.glossary_id and o.key = :key and o.id <> e.id) returning e.id"
)
_DELETE_ENTRY = text("delete from glossary_entries where glossary_id = :glossary_id and id = :id returning id")
_DELETE_ENTRIES = text("delete from glossary_entries where glossary_id = :glossary_id")
_SELECT_TERMS = text(
    # A meeting takes no more than so many of each.
    "select glossary_id, content from (select e.glossary_id, e.content, e.priority, e.key, row_number() over"
    " (partition by e.glossary_id order by e.priority desc, e.key) as place from glossary_entries e"
    " join glossaries g on g.id = e.glossary_id where g.team_id = :team_id and g.id = any(:ids)) e"
    " where place <= :limit order by glossary_id, place"
)
_SELECT_VERSIONS = text(
    "select id, (extract(epoch from updated_at) * 1000000)::bigint as version from glossaries"
    " where team_id = :team_id and id = any(:ids)"
)
_SELECT_OUTDATED = text(
    "select m.team_id, m.id from meetings m where m.status = any(:statuses)"
    " and m.config -> 'glossary_ids' <> '[]' and exists"
    " (select from jsonb_array_elements_text(m.config -> 'glossary_ids') as attached(id)"
    " left join glossaries g on g.id = cast(attached.id as uuid) and g.team_id = m.team_id"
    " where (extract(epoch from g.updated_at) * 1000000)::bigint"
    " is distinct from cast(m.config -> 'glossary_versions' ->> attached.id as bigint)) order by m.id"
)
_SELECT_TERMS_OF_TEAM = text(
    "select e.content from glossaries g join glossary_entries e on e.glossary_id = g.id where g.team_id = :team_id"
    " order by e.priority desc, e.key, e.id limit :limit"
)
_SELECT_ATTACHED = text(
    "select id from meetings where team_id = :team_id and status = any(:statuses)"
    " and config -> 'glossary_ids' ? cast(:id as text) order by id"
)
_COUNT_BY_LANGUAGE = text(
    "select language, count(*) as entries from glossary_entries e"
    " cross join jsonb_object_keys(e.content -> 'translations') as language"
    " where e.glossary_id = :glossary_id group by language order by language"
)


async def list_glossaries(conn: AsyncConnection, team_id: str) -> list[GlossaryRecord]:
    """List a team's glossaries by name."""
    rows = await conn.execute(_LIST, {"team_id": team_id})
    return [GlossaryRecord(**row) for row in rows.mappings()]


async def read_glossary(conn: AsyncConnection, team_id: str, glossary_id: UUID) -> GlossaryRecord:
    """Read a team's glossary.

    Raises:
        NotFoundError: the team has no such glossary.
    """
    row = (await conn.execute(_READ, {"team_id": team_id, "id": glossary_id})).mappings().one_or_none()
    if row is None:
        raise NotFoundError("there is no such glossary")
    return GlossaryRecord(**row)


async def create_glossary(conn: AsyncConnection, team_id: str, name: str, description: str) -> GlossaryRecord:
    """Create a glossary.

    Raises:
        ConflictError: the team has one with this name, or too many.
    """
    if (await conn.execute(_COUNT, {"team_id": team_id})).scalar_one() >= MAX_GLOSSARIES_OF_TEAM:
        raise ConflictError("limit", f"a team may have {MAX_GLOSSARIES_OF_TEAM} glossaries; delete one first")
    values = {"id": uuid7(), "team_id": team_id, "name": name, "description": description}
    created = (await conn.execute(_INSERT, values)).scalar_one_or_none()
    if created is None:
        raise ConflictError("exists", "a glossary has this name; choose another one")
    return await read_glossary(conn, team_id, created)


async def change_glossary(
    conn: AsyncConnection, team_id: str, glossary_id: UUID, name: str | None, description: str | None
) -> GlossaryRecord:
    """Change the name or the description of a team's glossary. None changes nothing.

    Raises:
        NotFoundError: the team has no such glossary.
        ConflictError: another glossary has the name.
    """
    await _lock(conn, team_id, glossary_id)
    known = await read_glossary(conn, team_id, glossary_id)
    values = {
        "id": glossary_id,
        "name": known.name if name is None else name,
        "description": known.description if description is None else description,
    }
    if (await conn.execute(_UPDATE, values)).scalar_one_or_none() is None:
        raise ConflictError("exists", "a glossary has this name; choose another one")
    return await read_glossary(conn, team_id, glossary_id)


async def delete_glossary(conn: AsyncConnection, team_id: str, glossary_id: UUID) -> None:
    """Delete a team's glossary with its entries.

    Raises:
        NotFoundError: the team has no such glossary.
    """
    await _lock(conn, team_id, glossary_id)
    await conn.execute(_DELETE, {"id": glossary_id})


async def list_entries(
    conn: AsyncConnection, team_id: str, glossary_id: UUID, limit: int, after: UUID | None
) -> list[GlossaryEntryRecord]:
    """List the entries of a team's glossary by term, at most `limit` after an entry.

    Raises:
        NotFoundError: the team has no such glossary, or it had no such entry.
    """
    await read_glossary(conn, team_id, glossary_id)
    after_key = ""
    if after is not None:
        known = (await conn.execute(_SELECT_KEY, {"glossary_id": glossary_id, "id": after})).scalar_one_or_none()
        if known is None:
            raise NotFoundError("there is no such entry to continue after")
        after_key = known
    parameters = {
        "glossary_id": glossary_id,
        "after_key": after_key,
        "after_id": after or UUID(int=0),
        "limit": limit,
    }
    return [_to_entry(row) for row in await conn.execute(_SELECT_ENTRIES, parameters)]


async def create_entry(
    conn: AsyncConnection, team_id: str, glossary_id: UUID, term: GlossaryTerm
) -> GlossaryEntryRecord:
    """Add an entry to a team's glossary.

    Raises:
        NotFoundError: the team has no such glossary.
        ConflictError: the glossary has the term, or too many entries.
    """
    await _lock(conn, team_id, glossary_id)
    await _require_room(conn, glossary_id, 1)
    values = {"id": uuid7(), "glossary_id": glossary_id, **_term_values(term)}
    if (await conn.execute(_INSERT_ENTRY, values)).scalar_one_or_none() is None:
        raise ConflictError("exists", "the glossary has this term; change that entry")
    await conn.execute(_TOUCH, {"id": glossary_id})
    return GlossaryEntryRecord(id=values["id"], **term.model_dump())


async def read_entry(conn: AsyncConnection, team_id: str, glossary_id: UUID, entry_id: UUID) -> GlossaryEntryRecord:
    """Read an entry of a team's glossary.

    Raises:
        NotFoundError: the team has no such glossary, or it has no such entry.
    """
    await read_glossary(conn, team_id, glossary_id)
    row = (await conn.execute(_SELECT_ENTRY, {"glossary_id": glossary_id, "id": entry_id})).one_or_none()
    if row is None:
        raise NotFoundError("the glossary has no such entry")
    return _to_entry(row)


async def change_entry(
    conn: AsyncConnection, team_id: str, glossary_id: UUID, entry_id: UUID, term: GlossaryTerm
) -> GlossaryEntryRecord:
    """Replace an entry of a team's glossary.

    Raises:
        NotFoundError: the team has no such glossary, or it has no such entry.
        ConflictError: another entry has the term.
    """
    await _lock(conn, team_id, glossary_id)
    await read_entry(conn, team_id, glossary_id, entry_id)
    if (await conn.execute(_UPDATE_ENTRY, {"id": entry_id, **_term_values(term)})).scalar_one_or_none() is None:
        raise ConflictError("exists", "the glossary has this term; change that entry")
    await conn.execute(_TOUCH, {"id": glossary_id})
    return GlossaryEntryRecord(id=entry_id, **term.model_dump())


async def delete_entry(conn: AsyncConnection, team_id: str, glossary_id: UUID, entry_id: UUID) -> None:
    """Delete an entry of a team's glossary.

    Raises:
        NotFoundError: the team has no such glossary, or it has no such entry.
    """
    await _lock(conn, team_id, glossary_id)
    deleted = await conn.execute(_DELETE_ENTRY, {"glossary_id": glossary_id, "id": entry_id})
    if deleted.scalar_one_or_none() is None:
        raise NotFoundError("the glossary has no such entry")
    await conn.execute(_TOUCH, {"id": glossary_id})


async def import_entries(
    conn: AsyncConnection, team_id: str, glossary_id: UUID, terms: Sequence[GlossaryTerm], *, replaces: bool
) -> tuple[int, int]:
    """Add terms to a team's glossary. A term that it has is replaced.

    Args:
        terms: the terms, each once.
        replaces: whether all present entries are deleted first.

    Returns:
        The number of new entries, and of replaced ones.

    Raises:
        NotFoundError: the team has no such glossary.
        ConflictError: the glossary would have too many entries.
    """
    await _lock(conn, team_id, glossary_id)
    if replaces:
        await conn.execute(_DELETE_ENTRIES, {"glossary_id": glossary_id})
    rows = [
        {"id": str(uuid7()), "key": _key(term), "content": term.model_dump(mode="json"), "priority": term.priority}
        for term in terms
    ]
    parameters = {"glossary_id": glossary_id, "rows": orjson.dumps(rows).decode()}
    new = list((await conn.execute(_UPSERT_ENTRIES, parameters)).scalars())
    await _require_room(conn, glossary_id, 0)
    await conn.execute(_TOUCH, {"id": glossary_id})
    return sum(new), len(new) - sum(new)


async def count_by_language(conn: AsyncConnection, glossary_id: UUID) -> dict[str, int]:
    """Count a glossary's translations by language."""
    rows = await conn.execute(_COUNT_BY_LANGUAGE, {"glossary_id": glossary_id})
    return {row.language: row.entries for row in rows}


async def read_terms_of_team(conn: AsyncConnection, team_id: str) -> list[GlossaryTerm]:
    """Read the terms of all glossaries of a team, those with the highest priority first, at most `MAX_TERMS_OF_TEAM`."""
    rows = await conn.execute(_SELECT_TERMS_OF_TEAM, {"team_id": team_id, "limit": MAX_TERMS_OF_TEAM})
    # To parse thousands takes a while.
    return await asyncio.to_thread(_parse_terms, rows.scalars().all())


async def read_terms(conn: AsyncConnection, team_id: str, glossary_id: UUID) -> list[GlossaryTerm]:
    """Read the terms of a team's glossary, those with the highest priority first.

    Raises:
        NotFoundError: the team has no such glossary.
    """
    await read_glossary(conn, team_id, glossary_id)
    parameters = {"team_id": team_id, "ids": [glossary_id], "limit": MAX_ENTRIES}
    rows = (await conn.execute(_SELECT_TERMS, parameters)).all()
    return await asyncio.to_thread(_parse_terms, [row.content for row in rows])


async def find_attached_meetings(conn: AsyncConnection, team_id: str, glossary_id: UUID) -> list[UUID]:
    """Return the open meetings of a team to which a glossary is attached."""
    parameters = {"team_id": team_id, "id": str(glossary_id), "statuses": list(OPEN_STATUSES)}
    return list((await conn.execute(_SELECT_ATTACHED, parameters)).scalars())


async def find_outdated_meetings(conn: AsyncConnection) -> list[tuple[str, UUID]]:
    """Return the open meetings of all teams whose config has another version of an attached glossary than there is now.

    Returns:
        The team's and the meeting's id of each.
    """
    return [(row.team_id, row.id) for row in await conn.execute(_SELECT_OUTDATED, {"statuses": list(OPEN_STATUSES)})]


def read_attached_terms(
    connection: Connection, team_id: str, glossary_ids: Sequence[UUID]
) -> tuple[dict[UUID, int], dict[UUID, list[GlossaryTerm]]]:
    """Read the terms of some of a team's glossaries, as far as a meeting may take them.

    Returns:
        The version of each glossary, and its terms, in the given order. A glossary that the team doesn't have is left out.
    """
    if not glossary_ids:
        return {}, {}
    parameters = {"team_id": team_id, "ids": list(glossary_ids)}
    # The versions come first: at worst, the terms are newer, and are read once more.
    known = {row.id: row.version for row in connection.execute(_SELECT_VERSIONS, parameters)}
    versions = {each: known[each] for each in glossary_ids if each in known}
    terms: dict[UUID, list[GlossaryTerm]] = {each: [] for each in versions}
    for row in connection.execute(_SELECT_TERMS, {**parameters, "limit": MAX_GLOSSARY_TERMS}):
        if row.glossary_id in terms:
            terms[row.glossary_id].append(GlossaryTerm(**row.content))
    return versions, terms


def _parse_terms(contents: Sequence[dict[str, Any]]) -> list[GlossaryTerm]:
    return [GlossaryTerm(**content) for content in contents]


async def _lock(conn: AsyncConnection, team_id: str, glossary_id: UUID) -> None:
    if (await conn.execute(_LOCK, {"team_id": team_id, "id": glossary_id})).scalar_one_or_none() is None:
        raise NotFoundError("there is no such glossary")


async def _require_room(conn: AsyncConnection, glossary_id: UUID, added: int) -> None:
    count = (await conn.execute(_COUNT_ENTRIES, {"glossary_id": glossary_id})).scalar_one()
    if count + added > MAX_ENTRIES:
        raise ConflictError("limit", f"a glossary may have {MAX_ENTRIES} entries; delete some first")


def _key(term: Term) -> str:
    words, case_sensitive = term.dedupe_key()
    return f"{words}\x1f{case_sensitive}" if case_sensitive else words


def _term_values(term: GlossaryTerm) -> dict[str, Any]:
    return {"key": _key(term), "content": term.model_dump_json(), "priority": term.priority}


def _to_entry(row: Any) -> GlossaryEntryRecord:
    return GlossaryEntryRecord(id=row.id, **row.content)
