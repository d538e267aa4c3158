"""A running API for tests: the real application on a loopback port, over real servers."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest
import redis
import uvicorn
from sqlalchemy import Engine, text

from serve.http.application import create_app
from serve.options import ApiOptions
from storage.live import publish_events
from storage.records import DEFAULT_TEAM, Event


@dataclass(frozen=True, slots=True)
class Stage:
    """The API as a client sees it, and the databases as a lane writes them."""

    http: httpx.AsyncClient
    engine: Engine
    redis: redis.Redis

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{self.http.base_url.host}:{self.http.base_url.port}"

    async def begin(self, **fields: Any) -> str:
        """A new meeting's id."""
        answer = await self.http.post("/api/meetings", json=fields)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def write(self, meeting_id: str, *events: tuple[str, dict[str, Any]]) -> list[Event]:
        """Store live events of a meeting, as a lane does: not published yet."""
        written: list[Event] = []
        with self.engine.begin() as conn:
            row = {"id": UUID(meeting_id)}
            seq = conn.execute(text("select seq from meetings where id = :id for update"), row).scalar_one()
            for kind, payload in events:
                seq += 1
                written.append(Event(DEFAULT_TEAM, meeting_id, seq, kind, payload))  # type: ignore[arg-type]
                conn.execute(
                    text(
                        "insert into outbox (team_id, meeting_id, seq, kind, payload)"
                        " values ('default', :id, :seq, :kind, cast(:payload as jsonb))"
                    ),
                    row | {"seq": seq, "kind": kind, "payload": httpx.Response(200, json=payload).text},
                )
            conn.execute(text("update meetings set seq = :seq where id = :id"), row | {"seq": seq})
        return written

    def say(self, meeting_id: str, *texts: str) -> list[Event]:
        """Store and publish a sentence for each text."""
        events = self.write(meeting_id, *(("sentence", {"id": spoken, "text": spoken}) for spoken in texts))
        self.publish(events)
        return events

    def publish(self, events: Sequence[Event]) -> None:
        """Publish stored events."""
        publish_events(self.redis, events)

    def turn(self, meeting_id: str, status: str) -> None:
        """The meeting's lane came as far as this status."""
        with self.engine.begin() as conn:
            conn.execute(
                text("update meetings set status = :status where id = :id"),
                {"id": UUID(meeting_id), "status": status},
            )


@pytest.fixture(scope="session")
def api_address(postgres_url: str, redis_url: str) -> Iterator[str]:
    """Where the API runs: in a thread with a loop of its own, since tests block theirs."""
    app = create_app(ApiOptions(postgres_url, redis_url, heartbeat=0.3, max_body=1_000_000))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture
async def stage(
    api_address: str, engine: Engine, redis_sync: redis.Redis, clean_database: None
) -> AsyncIterator[Stage]:
    """The running API with one live and one batch lane, and nothing else in its databases."""
    with engine.begin() as conn:
        conn.execute(
            text(
                "insert into lanes (id, kind, state)"
                " values ('live-1', 'live', 'running'), ('batch-1', 'batch', 'stopped')"
            )
        )
    async with httpx.AsyncClient(base_url=api_address, timeout=20) as client:
        yield Stage(client, engine, redis_sync)
