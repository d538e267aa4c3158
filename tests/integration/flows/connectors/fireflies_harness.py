"""Helpers for tests of the Fireflies connector: sessions in the test's own event loop, against the stand-in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, cast
from uuid import UUID

import redis
from sqlalchemy.ext.asyncio import AsyncEngine

from cluster.fireflies_sim.simulator import DEFAULT_API_KEY, FirefliesSimulator
from flows.connectors import ConnectorRunner
from operators import dedup
from operators.address_check import AddressRule
from operators.entries import Entry, parse_entry
from operators.meeting_config import Clock, MeetingConfig
from storage import redis_keys
from storage.encryption import SecretCipher
from storage.ingest.meeting_service import MeetingService
from storage.postgres import connector_sessions
from storage.postgres.connector_sessions import ConnectorSession
from storage.postgres.lane_registry import ensure_lane
from storage.redis_log.event_log import LogWriter

KEY = "q8kT2m0a1n0ZbX1yJ2r6mS2cQf0m3e3jYw0m1YJ8b1k="
CIPHER = SecretCipher(KEY)


class ConnectorHarness:
    """Opens sessions, runs the connector, and reads what is in the log."""

    def __init__(self, database: AsyncEngine, client: Any, connection: redis.Redis) -> None:
        self.database, self._client, self._redis = database, client, connection
        self.meetings = MeetingService(database, LogWriter(client))
        self.max_live = 100
        self.rule = AddressRule(loopback_allowed=True)
        self._task: asyncio.Task[None] | None = None

    async def open_session(
        self, simulator: FirefliesSimulator, transcript_id: str = "demo", api_key: str = DEFAULT_API_KEY, **options: Any
    ) -> ConnectorSession:
        """Open a session of a new meeting."""
        async with self.database.begin() as conn:
            await ensure_lane(conn, "live-1", "live")
        meeting, _ = await self.meetings.open(
            "default",
            external_id=f"fireflies:{transcript_id}",
            title="test",
            clock=Clock.LIVE,
            config=MeetingConfig(source_language="en", target_languages=("pt",)),
        )
        async with self.database.begin() as conn:
            session, _ = await connector_sessions.create_session(
                conn,
                team_id="default",
                source="fireflies",
                external_id=transcript_id,
                meeting_id=meeting.id,
                encrypted_key=CIPHER.encrypt(api_key),
                key_variable=None,
                options={"api_base_url": simulator.url, "plan": "business"} | options,
            )
        return session

    def start(self) -> None:
        """Start the connector."""
        self._stopping = asyncio.Event()
        runner = ConnectorRunner(self.database, self._client, self.meetings, CIPHER, self.max_live, self.rule)
        self._task = asyncio.create_task(runner.run(self._stopping))

    async def kill(self) -> None:
        """End the connector without any of its farewells, as far as one process can."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def read(self, session: ConnectorSession) -> ConnectorSession:
        """Read a session's row."""
        async with self.database.connect() as conn:
            return await connector_sessions.read_session(conn, "default", session.id)

    async def disconnect(self, session: ConnectorSession) -> None:
        """Request that a session ends."""
        async with self.database.begin() as conn:
            await connector_sessions.set_desired(conn, "default", session.id, "disconnected")

    async def wait_for(self, session: ConnectorSession, *statuses: str) -> ConnectorSession:
        """Wait until a session has one of the statuses."""
        while (row := await self.read(session)).status not in statuses:
            await asyncio.sleep(0.05)
        return row

    async def wait_for_count(self, session: ConnectorSession, counter: str, count: int) -> ConnectorSession:
        """Wait until a session's counter is at least this number."""
        while (row := await self.read(session)).counters.get(counter, 0) < count:
            await asyncio.sleep(0.05)
        return row

    def entries(self, meeting_id: UUID) -> list[Entry]:
        """Return the entries of a meeting in the log."""
        stored = cast("list[tuple[str, Mapping[str, str]]]", self._redis.xrange(redis_keys.lane_log("live-1")))
        entries = [parse_entry(fields) for _, fields in stored]
        return [entry for entry in entries if entry.meeting_id == str(meeting_id)]

    def transcript(self, meeting_id: UUID) -> tuple[list[tuple[float, str, str]], int]:
        """Return the start, speaker and text of the meeting's speech in its order, and the number of late chunks."""
        state, texts, late = dedup.DedupState(), dict[int, tuple[float, str, str]](), 0
        for entry in self.entries(meeting_id):
            state, update = dedup.step(state, entry)
            late += update.late_chunk is not None
            if (revision := update.revision) is not None:
                chunk = revision.chunk
                texts[revision.ordinal] = (chunk.start, chunk.speaker, " ".join(chunk.text.split()))
        return sorted(text for text in texts.values() if text[2]), late


def spoken(simulator: FirefliesSimulator, meeting_id: str = "demo") -> list[tuple[float, str, str]]:
    """Return the start, speaker and text of the speech in a meeting of the stand-in."""
    captions = simulator.meetings[meeting_id].captions()
    return sorted((c.start_time, c.speaker_name, " ".join(c.text.split())) for c in captions)


@asynccontextmanager
async def running_connector(harness: ConnectorHarness, is_started: bool = False) -> AsyncIterator[ConnectorHarness]:
    """Run the connector within a block."""
    if not is_started:
        harness.start()
    try:
        yield harness
    finally:
        await harness.kill()
