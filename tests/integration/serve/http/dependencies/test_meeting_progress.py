"""Tests serve/http/dependencies/meeting_progress.py."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from operators.errors import NotFoundError
from serve.http.dependencies.meeting_progress import NEW_READ_ONLY_S, MeetingProgress, ProgressReader
from storage.records import DEFAULT_TEAM_ID


def store_meeting(engine: Engine, meeting: UUID, seq: int = 0) -> None:
    """Store a meeting with a number of events."""
    with engine.begin() as conn:
        conn.execute(text("insert into lanes (id, kind, state) values ('l', 'live', 'running') on conflict do nothing"))
        conn.execute(
            text(
                "insert into meetings (team_id, id, clock, lane_id, config, seq)"
                " values ('default', :id, 'live', 'l', '{}', :seq)"
            ),
            {"id": meeting, "seq": seq},
        )


@pytest.fixture
def meeting(engine: Engine, clean_database: None) -> UUID:
    """A meeting with three events."""
    meeting = uuid4()
    store_meeting(engine, meeting, 3)
    return meeting


@pytest.fixture
def statements(aengine: AsyncEngine) -> Iterator[list[str]]:
    """The statements that the reader sends."""
    sent: list[str] = []

    def note(*args: Any) -> None:
        sent.append(args[2])

    event.listen(aengine.sync_engine, "before_cursor_execute", note)
    yield sent
    event.remove(aengine.sync_engine, "before_cursor_execute", note)


@contextmanager
def meetings_locked(engine: Engine) -> Generator[None]:
    """Block the reads of meetings within the context. At its end three more events are stored."""
    with engine.begin() as conn:
        conn.execute(text("lock table meetings in access exclusive mode"))
        yield
        conn.execute(text("update meetings set seq = 6"))


async def test_concurrent_calls_share_a_read(meeting: UUID, aengine: AsyncEngine, statements: list[str]) -> None:
    reader = ProgressReader(aengine)
    found = await asyncio.gather(*(reader.read(DEFAULT_TEAM_ID, meeting) for _ in range(1_000)))
    assert found == [MeetingProgress(3, is_complete=False)] * 1_000
    assert len(statements) == 1
    assert await reader.read(DEFAULT_TEAM_ID, meeting, max_age_s=60) == found[0]
    assert len(statements) == 1
    await reader.read(DEFAULT_TEAM_ID, meeting, NEW_READ_ONLY_S)
    assert len(statements) == 2


async def test_a_call_during_a_read_gets_the_next_one(
    meeting: UUID, engine: Engine, aengine: AsyncEngine, statements: list[str]
) -> None:
    reader = ProgressReader(aengine)
    with meetings_locked(engine):
        first = asyncio.create_task(reader.read(DEFAULT_TEAM_ID, meeting))
        async with asyncio.timeout(30):
            while not statements:
                await asyncio.sleep(0.01)
        others = [asyncio.create_task(reader.read(DEFAULT_TEAM_ID, meeting)) for _ in range(10)]
        await asyncio.sleep(0)
        others.pop().cancel()
    await first
    assert await asyncio.gather(*others) == [MeetingProgress(6, is_complete=False)] * 9
    assert len(statements) == 2


async def test_an_unknown_meeting_fails_for_every_caller_and_is_not_cached(
    meeting: UUID, aengine: AsyncEngine, engine: Engine
) -> None:
    reader, unknown = ProgressReader(aengine), uuid4()
    found = await asyncio.gather(*(reader.read(DEFAULT_TEAM_ID, unknown) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in found] == [NotFoundError] * 3
    store_meeting(engine, unknown)
    assert (await reader.read(DEFAULT_TEAM_ID, unknown, max_age_s=60)).seq == 0
