"""The account at a Fireflies stand-in, as tests of the API use it."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import Engine, text

from cluster.fireflies_sim.simulator import DEFAULT_API_KEY
from storage.postgres.tables import connector_sessions

KEY_VARIABLE = "PARLEY_FIREFLIES_KEY"
SECRET_VARIABLE = "PARLEY_FIREFLIES_SECRET"
WEBHOOK_SECRET = "a-secret-of-webhooks"


@pytest.fixture
def fireflies_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the variables that hold the key and the secret of webhooks."""
    monkeypatch.setenv(KEY_VARIABLE, DEFAULT_API_KEY)
    monkeypatch.setenv(SECRET_VARIABLE, WEBHOOK_SECRET)


def store_account(engine: Engine, url: str, plan: str = "business", targets: tuple[str, ...] = ("pt",)) -> None:
    """Store the default team's account at the stand-in with this URL."""
    values = {
        "key": KEY_VARIABLE,
        "secret": SECRET_VARIABLE,
        "options": json.dumps({"plan": plan, "api_base_url": url}),
        "config": json.dumps({"source_language": "en", "target_languages": targets}),
    }
    with engine.begin() as conn:
        conn.execute(
            text(
                "insert into source_accounts (team_id, source, key_variable, webhook_secret_variable, options, config)"
                " values ('default', 'fireflies', :key, :secret, cast(:options as jsonb), cast(:config as jsonb))"
            ),
            values,
        )


def store_session(engine: Engine, meeting_id: str) -> UUID:
    """Store an open session of a meeting, and return its id. No connector runs it, but its heartbeat lasts for the test."""
    session_id = uuid4()
    values = {"id": session_id, "meeting": UUID(meeting_id), "key": KEY_VARIABLE, "transcript": f"of {meeting_id}"}
    with engine.begin() as conn:
        conn.execute(
            text(
                "insert into connector_sessions (id, team_id, source, external_id, meeting_id, key_variable,"
                " heartbeat_at) values (:id, 'default', 'fireflies', :transcript, :meeting, :key, now() + interval '1 hour')"
            ),
            values,
        )
    return session_id


def change_session(engine: Engine, session_id: UUID, **values: Any) -> None:
    """Change columns of a session, as its connector does."""
    with engine.begin() as conn:
        conn.execute(connector_sessions.update().where(connector_sessions.c.id == session_id).values(**values))


def sign(body: bytes, secret: str = WEBHOOK_SECRET) -> str:
    """Sign a webhook's body as Fireflies does."""
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


async def post_webhook(client: httpx.AsyncClient, content: Any, signature: str | None = None) -> httpx.Response:
    """Send a webhook with a signature, by default the right one."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    headers = {"Content-Type": "application/json", "X-Hub-Signature": signature or sign(body)}
    return await client.post("/api/fireflies/webhook", content=body, headers=headers)
