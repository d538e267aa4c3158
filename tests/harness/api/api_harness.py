"""A running API for tests: the real application on a loopback port, with real stores."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest
import redis
from sqlalchemy import Engine, text

from serve.app_options import ApiOptions
from serve.http.dependencies import live_fanout
from storage import redis_keys
from storage.records import DEFAULT_TEAM_ID, OutboxEvent
from storage.redis_log.live_pubsub import publish_events
from tests.harness.api.server_thread import run_api


@dataclass(frozen=True, slots=True)
class ApiHarness:
    """An HTTP client of the API, and the databases that a lane writes.

    Attributes:
        http: client of the API.
        engine: engine of the Postgres database.
        redis: client of Redis.
    """

    http: httpx.AsyncClient
    engine: Engine
    redis: redis.Redis

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{self.http.base_url.host}:{self.http.base_url.port}"

    async def create_meeting(self, **fields: Any) -> str:
        """Create a meeting with the request's fields, and return its id."""
        answer = await self.http.post("/api/meetings", json=fields)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def store_events(self, meeting_id: str, *events: tuple[str, dict[str, Any]]) -> list[OutboxEvent]:
        """Store live events of a meeting in the outbox as a lane does, without publishing them.

        Args:
            meeting_id: the meeting.
            events: kind and payload of each event.
        """
        written: list[OutboxEvent] = []
        with self.engine.begin() as conn:
            row = {"id": UUID(meeting_id)}
            seq = conn.execute(text("select seq from meetings where id = :id for update"), row).scalar_one()
            for kind, payload in events:
                seq += 1
                written.append(OutboxEvent(DEFAULT_TEAM_ID, meeting_id, seq, kind, payload))  # type: ignore[arg-type]
                conn.execute(
                    text(
                        "insert into outbox (team_id, meeting_id, seq, kind, payload)"
                        " values ('default', :id, :seq, :kind, cast(:payload as jsonb))"
                    ),
                    row | {"seq": seq, "kind": kind, "payload": httpx.Response(200, json=payload).text},
                )
            conn.execute(text("update meetings set seq = :seq where id = :id"), row | {"seq": seq})
        return written

    def publish_sentences(self, meeting_id: str, *texts: str) -> list[OutboxEvent]:
        """Store and publish a sentence for each text."""
        events = self.store_events(
            meeting_id, *(("sentence", {"id": sentence_text, "text": sentence_text}) for sentence_text in texts)
        )
        self.publish(events)
        return events

    def publish(self, events: Sequence[OutboxEvent]) -> None:
        """Publish stored events."""
        publish_events(self.redis, events)

    def add_uncommitted_entry(self, lane: str = "live-1", seconds: float = 60.0) -> str:
        """Append an uncommitted entry of the given age (s) to a lane's log, and return its id.

        It must be the log's first entry.
        """
        now, _ = self.redis.time()
        return str(self.redis.xadd(redis_keys.lane_log(lane), {"n": "1"}, id=f"{round((now - seconds) * 1000)}-0"))

    def set_committed(self, log_id: str, lane: str = "live-1") -> None:
        """Set the id of the last committed entry of a lane's log."""
        with self.engine.begin() as conn:
            conn.execute(text("update lanes set log_id = :log_id where id = :lane"), {"log_id": log_id, "lane": lane})

    def set_status(self, meeting_id: str, status: str) -> None:
        """Set a meeting's status."""
        with self.engine.begin() as conn:
            conn.execute(
                text("update meetings set status = :status where id = :id"),
                {"id": UUID(meeting_id), "status": status},
            )


@pytest.fixture(scope="session")
def api_address(postgres_url: str, redis_url: str) -> Iterator[str]:
    """The base URL of the tests' API. It has no backpressure, so one test's backlog can't affect the next test."""
    options = ApiOptions(
        postgres_url, redis_url, heartbeat=0.3, max_body=1_000_000, lag_limit=1e9, loopback_allowed=True
    )
    with pytest.MonkeyPatch.context() as patch, run_api(options) as address:
        # Interim text is published once: a stream's first heartbeat must mean that its subscription is complete.
        patch.setattr(live_fanout, "_SUBSCRIBE_TIMEOUT_S", 60.0)
        yield address


@pytest.fixture
async def stage(
    api_address: str, engine: Engine, redis_sync: redis.Redis, clean_database: None
) -> AsyncIterator[ApiHarness]:
    """The running API, with one live and one batch lane as the only rows in its databases."""
    with engine.begin() as conn:
        conn.execute(
            text(
                "insert into lanes (id, kind, state)"
                " values ('live-1', 'live', 'running'), ('batch-1', 'batch', 'stopped')"
            )
        )
    async with httpx.AsyncClient(base_url=api_address, timeout=60) as client:
        yield ApiHarness(client, engine, redis_sync)
