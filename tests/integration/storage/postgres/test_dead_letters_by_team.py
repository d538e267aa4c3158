"""storage/postgres/dead_letter_queue.py on a real Postgres: the dead letters of each team, and their resubmission."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from operators.entries import Chunk
from operators.errors import NotFoundError
from storage.postgres.dead_letter_queue import DeadLetterRecord, list_dead_letters, mark_resubmitted, read_dead_letter
from storage.postgres.tables import dead_letters
from storage.records import DEFAULT_TEAM_ID

CHUNK = Chunk(chunk_id="7", speaker="Ann", text="Good morning.", start=1, end=2)
FIELDS = {"kind": "chunk", "n": "12", "payload": CHUNK.model_dump_json()}


def make_dead_letter(**changes: Any) -> DeadLetterRecord:
    values = {
        "id": 3,
        "team_id": DEFAULT_TEAM_ID,
        "meeting_id": uuid4(),
        "lane_id": "live-1",
        "log_id": "5-0",
        "reason": "sentences failed: ValueError",
        "fields": FIELDS,
        "created_at": datetime.now(UTC),
        "resubmitted_at": None,
    }
    return DeadLetterRecord(**values | changes)


async def store_dead_letter(db: AsyncConnection, team_id: str | None, meeting_id: UUID | None = None) -> int:
    values = {"team_id": team_id, "meeting_id": meeting_id, "lane_id": "live-1", "log_id": uuid4().hex}
    row = insert(dead_letters).values(**values, reason="why", fields=FIELDS).returning(dead_letters.c.id)
    return (await db.execute(row)).scalar_one()


async def test_a_team_lists_only_its_letters_newest_first(db: AsyncConnection) -> None:
    await db.execute(text("insert into teams (id, name) values ('other', 'Other')"))
    meeting = uuid4()
    mine = [
        await store_dead_letter(db, DEFAULT_TEAM_ID, meeting),
        await store_dead_letter(db, DEFAULT_TEAM_ID, uuid4()),
    ]
    theirs = await store_dead_letter(db, "other", meeting)
    nobodys = await store_dead_letter(db, None)

    async def ids(team: str, **wanted: Any) -> list[int]:
        return [found.id for found in await list_dead_letters(db, team, **wanted)]

    # Letters without a team belong to the default team, which owns the machine.
    assert await ids(DEFAULT_TEAM_ID) == [nobodys, mine[1], mine[0]]
    assert await ids("other") == [theirs]
    assert await ids(DEFAULT_TEAM_ID, meeting_id=meeting) == [mine[0]]
    assert await ids(DEFAULT_TEAM_ID, limit=2) == [nobodys, mine[1]]
    assert await ids(DEFAULT_TEAM_ID, before=mine[1]) == [mine[0]]
    assert (await read_dead_letter(db, DEFAULT_TEAM_ID, mine[0])).meeting_id == meeting
    for team, one in ((DEFAULT_TEAM_ID, theirs), ("other", mine[0]), ("other", nobodys)):
        with pytest.raises(NotFoundError, match=f"dead letter {one}"):
            await read_dead_letter(db, team, one)
        with pytest.raises(NotFoundError, match=f"dead letter {one}"):
            await mark_resubmitted(db, team, one)


async def test_the_time_of_the_first_resubmission_stays(db: AsyncConnection) -> None:
    one = await store_dead_letter(db, DEFAULT_TEAM_ID)
    first = await mark_resubmitted(db, DEFAULT_TEAM_ID, one)
    await db.execute(
        text("update dead_letters set resubmitted_at = resubmitted_at - interval '1 hour' where id = :id"), {"id": one}
    )
    again = await mark_resubmitted(db, DEFAULT_TEAM_ID, one)
    assert first.resubmitted_at is not None
    assert again.resubmitted_at is not None
    assert again.resubmitted_at < first.resubmitted_at
