"""Queries: sentences and captions in reading order, live events from any `seq`, each for the meeting's team only."""

from __future__ import annotations

from uuid import UUID

import pytest
from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from operators.errors import NotFoundError
from operators.meeting_config import Clock, MeetingConfig
from operators.translation_requests import CaptionStatus
from storage.postgres import tables
from storage.postgres.lane_registry import ensure_lane
from storage.postgres.meeting_queries import create_meeting
from storage.postgres.transcript_queries import (
    count_pending,
    read_captions,
    read_events_after,
    read_last_seq,
    read_sentences,
)
from storage.records import DEFAULT_TEAM_ID

STRANGER = "stranger"


@pytest.fixture
async def meeting(db: AsyncConnection) -> UUID:
    """A meeting with sentences that are written out of order, one of them retracted."""
    await ensure_lane(db, "a", "live")
    await db.execute(insert(tables.teams).values(id=STRANGER, name="Another"))
    record, _ = await create_meeting(
        db,
        team_id=DEFAULT_TEAM_ID,
        external_id=None,
        title="",
        clock=Clock.LIVE,
        config=MeetingConfig(),
        lane_id="a",
    )
    for sentence_id, start in (("10.0", 1.0), ("9.2", 1.0), ("9.10", 1.0), ("30.0", 0.5), ("2.0", 7.0), ("3.0", 3.0)):
        await db.execute(
            insert(tables.sentences).values(
                team_id=DEFAULT_TEAM_ID,
                meeting_id=record.id,
                id=sentence_id,
                revision=1,
                speaker="Ana",
                text=f"Sentence {sentence_id}",
                start=start,
                end=start + 1,
                boundary="mark",
                first_emitted=start + 2,
                first_text="",
                retracted=sentence_id == "3.0",
            )
        )
        for language in ("pt", "de"):
            await db.execute(
                insert(tables.captions).values(
                    team_id=DEFAULT_TEAM_ID,
                    meeting_id=record.id,
                    sentence_id=sentence_id,
                    language=language,
                    revision=1,
                    status="pending" if language == "pt" else "same",
                    warnings=[] if language == "pt" else [f"name: {sentence_id}"],
                )
            )
    return record.id


async def test_sentences_that_are_not_retracted_come_in_reading_order(db: AsyncConnection, meeting: UUID) -> None:
    standing = [s.id for s in await read_sentences(db, DEFAULT_TEAM_ID, meeting)]
    assert standing == ["30.0", "9.2", "9.10", "10.0", "2.0"]


async def test_captions_follow_the_order_of_the_sentences_that_are_not_retracted(
    db: AsyncConnection, meeting: UUID
) -> None:
    portuguese = await read_captions(db, DEFAULT_TEAM_ID, meeting, language="pt")
    assert [c.sentence_id for c in portuguese] == ["30.0", "9.2", "9.10", "10.0", "2.0"]
    assert {c.status for c in portuguese} == {CaptionStatus.PENDING}
    every = await read_captions(db, DEFAULT_TEAM_ID, meeting)
    assert [c.language for c in every] == ["de", "pt"] * 5
    assert [c.warnings for c in every[:4]] == [("name: 30.0",), (), ("name: 9.2",), ()]
    assert await count_pending(db, DEFAULT_TEAM_ID, meeting) == 5


async def test_events_are_read_from_any_seq(db: AsyncConnection, meeting: UUID) -> None:
    assert await read_last_seq(db, DEFAULT_TEAM_ID, meeting) == 0
    for seq in (2, 1, 3):
        await db.execute(
            insert(tables.outbox).values(
                team_id=DEFAULT_TEAM_ID, meeting_id=meeting, seq=seq, kind="sentence", payload={"id": seq}
            )
        )
    await db.execute(update(tables.meetings).values(seq=3).where(tables.meetings.c.id == meeting))
    assert await read_last_seq(db, DEFAULT_TEAM_ID, meeting) == 3
    events = await read_events_after(db, DEFAULT_TEAM_ID, meeting, 0, 2)
    assert [(e.meeting_id, e.seq, e.payload) for e in events] == [
        (str(meeting), 1, {"id": 1}),
        (str(meeting), 2, {"id": 2}),
    ]
    assert [e.seq for e in await read_events_after(db, DEFAULT_TEAM_ID, meeting, 2, 10)] == [3]


async def test_another_team_sees_nothing(db: AsyncConnection, meeting: UUID) -> None:
    await db.execute(
        insert(tables.outbox).values(
            team_id=DEFAULT_TEAM_ID, meeting_id=meeting, seq=1, kind="status", payload={"status": "live"}
        )
    )
    assert await read_sentences(db, STRANGER, meeting) == []
    assert await read_captions(db, STRANGER, meeting) == []
    assert await read_events_after(db, STRANGER, meeting, 0, 10) == []
    assert await count_pending(db, STRANGER, meeting) == 0
    with pytest.raises(NotFoundError):
        await read_last_seq(db, STRANGER, meeting)
