"""Tests serve/http/engine_config_routes.py without running engines.

tests/system/cluster/commands/test_cli_config.py has the tests with running engines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from operators.engine_config import EnginesConfig, FirefoxConfig
from storage.postgres.engine_config_versions import save_settings_config

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]

ONE = EnginesConfig(engines={"firefox": FirefoxConfig()}, translation=("firefox",))


def save_start_config(stage: ApiHarness) -> None:
    with stage.engine.begin() as conn:
        save_settings_config(conn, ONE)


async def put_config(stage: ApiHarness, **body: Any) -> Any:
    return await stage.http.put("/api/engine-config", json=body)


async def test_without_a_configuration_the_serve_config_file_is_named(stage: ApiHarness) -> None:
    for answer in (await stage.http.get("/api/engine-config"), await put_config(stage, config={})):
        assert answer.status_code == 404
        assert "serve deploy" in answer.text
    assert (await stage.http.get("/api/engine-config/versions")).json() == {"versions": [], "unreadable": []}
    assert (await stage.http.post("/api/engine-config/rollback", json={})).status_code == 404


async def test_a_version_is_shown_with_the_status_of_its_engines(stage: ApiHarness) -> None:
    save_start_config(stage)
    shown = (await stage.http.get("/api/engine-config")).json()
    assert (shown["version"], shown["origin"], shown["config"]["translation"]) == (1, "settings", ["firefox"])
    nothing_before = await stage.http.post("/api/engine-config/rollback", json={})
    assert nothing_before.status_code == 404
    assert "version 1 of the engine configuration is the first" in nothing_before.json()["detail"]
    [status] = shown["engines"]
    assert (status["application"], status["description"]) == ("translation-firefox", "Firefox's models")
    # Without Ray the state is `unknown`. If other tests of this process have started Ray, there is no such application.
    assert status["state"] in ("unknown", "missing")


async def test_a_version_of_a_newer_release_is_reported_and_can_be_replaced(stage: ApiHarness) -> None:
    save_start_config(stage)
    with stage.engine.begin() as conn:
        conn.exec_driver_sql(
            "insert into engine_config_versions (version, config, origin, note)"
            """ values (2, '{"engines": {"x": {"kind": "newer"}}}', 'request', '')"""
        )
    shown = await stage.http.get("/api/engine-config")
    assert (shown.status_code, "this release can't read" in shown.json()["detail"]) == (503, True)
    assert "this release can't read" in (await stage.http.get("/ready")).text
    listed = (await stage.http.get("/api/engine-config/versions")).json()
    assert ([each["version"] for each in listed["versions"]], listed["unreadable"]) == ([1], [2])
    assert (await put_config(stage, config={}, expected_version=2)).json()["version"] == 3
    assert (await stage.http.get("/api/engine-config")).json()["version"] == 3


async def test_a_change_makes_a_new_version_unless_it_is_stale(stage: ApiHarness) -> None:
    save_start_config(stage)
    changed = await put_config(stage, config={}, note="quiet", expected_version=1)
    assert (changed.status_code, changed.json()["version"], changed.json()["note"]) == (200, 2, "quiet")
    stale = await put_config(stage, config=ONE.model_dump(mode="json"), expected_version=1)
    assert stale.status_code == 409
    assert "version 2 is in force" in stale.text
    back = await stage.http.post("/api/engine-config/rollback", json={})
    assert (back.json()["version"], back.json()["origin"], back.json()["config"]["translation"]) == (
        3,
        "rollback",
        ["firefox"],
    )
    versions = (await stage.http.get("/api/engine-config/versions", params={"limit": 2})).json()["versions"]
    assert [each["version"] for each in versions] == [3, 2]


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"translation": ["huge"]}, "huge"),
        ({"engines": {"a": {"kind": "openai", "url": "http://me:swordfish@h/", "model": "m"}}}, "url"),
        ({"engines": {"a": {"kind": "firefox", "replicas": -1}}}, "replicas"),
    ],
)
async def test_an_invalid_configuration_is_rejected_and_not_quoted(stage: ApiHarness, config: Any, field: str) -> None:
    save_start_config(stage)
    answer = await put_config(stage, config=config)
    assert answer.status_code == 422
    assert field in answer.text
    assert "swordfish" not in answer.text
    assert (await stage.http.get("/api/engine-config")).json()["version"] == 1
