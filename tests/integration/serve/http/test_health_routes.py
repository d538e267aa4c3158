"""Tests serve/http/health_routes.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from sqlalchemy import text

from operators.engine_config import EnginesConfig
from serve.app_options import ApiOptions
from serve.http import health_routes
from serve.http.application import create_app
from storage.postgres.engine_config_versions import save_settings_config

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable the timeouts of checks, because the machine may be slow."""
    monkeypatch.setattr(health_routes, "_CHECK_TIMEOUT_S", 60.0)


def execute(stage: ApiHarness, statement: str) -> None:
    with stage.engine.begin() as conn:
        conn.execute(text(statement))


async def test_health_reports_that_the_process_is_up(stage: ApiHarness) -> None:
    assert (await stage.http.get("/health")).json() == {"status": "up"}


async def test_ready_if_all_parts_are(stage: ApiHarness) -> None:
    # Translation is off.
    with stage.engine.begin() as conn:
        save_settings_config(conn, EnginesConfig())
    answer = await stage.http.get("/ready")
    assert (answer.status_code, answer.json()) == (
        200,
        {"ready": True, "parts": {"postgres": "ok", "redis": "ok", "lanes": "ok", "translation": "ok"}},
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("update lanes set state = 'stopped'", "not running: live-1"),
        ("update lanes set updated_at = now() - interval '1 minute'", "not running: live-1"),
        ("delete from lanes", "there is no live lane"),
    ],
)
async def test_a_missing_lane_is_named(stage: ApiHarness, change: str, reason: str) -> None:
    execute(stage, change)
    answer = await stage.http.get("/ready")
    assert (answer.status_code, answer.json()["parts"]["lanes"]) == (503, reason)


async def test_unreachable_stores_are_named_and_the_api_starts_without_them() -> None:
    # Port 9 accepts no connections.
    options = ApiOptions("postgresql://nobody:secret@127.0.0.1:9/none", "redis://127.0.0.1:9/0")
    app = create_app(options)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        assert (await client.get("/health")).status_code == 200
        answer = await client.get("/ready")
        parts: dict[str, Any] = answer.json()["parts"]
        assert answer.status_code == 503
        assert set(parts) == {"postgres", "redis", "lanes", "translation"}
        assert all("can't be reached" in part for part in parts.values())
        assert "secret" not in answer.text
        for path in ("/metrics", "/api/meetings"):
            answer = await client.get(path)
            assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
