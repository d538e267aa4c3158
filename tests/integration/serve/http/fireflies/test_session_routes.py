"""Live sessions by the API: connect to the stand-in, pause, change languages, disconnect."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import httpx
import pytest
import redis
from sqlalchemy.ext.asyncio import AsyncEngine

from cluster.fireflies_sim.simulator import DEFAULT_API_KEY, FirefliesSimulator, SimulatorOptions
from serve.app_options import ApiOptions
from storage.connections import async_redis
from tests.harness.api.fireflies_account import KEY_VARIABLE, store_account
from tests.harness.api.server_thread import run_api
from tests.harness.doubles.tcp_proxy import TcpProxy
from tests.harness.lane.threaded_lane import query_rows
from tests.integration.flows.connectors.fireflies_harness import KEY, ConnectorHarness, running_connector

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness", "tests.harness.api.fireflies_account"]
pytestmark = pytest.mark.usefixtures("fireflies_secrets")

API = "/api/fireflies"


@pytest.fixture
def harness(aengine: AsyncEngine, redis_async: Any, redis_sync: redis.Redis) -> ConnectorHarness:
    return ConnectorHarness(aengine, redis_async, redis_sync)


async def wait_for_status(client: httpx.AsyncClient, session_id: str, *statuses: str) -> dict[str, Any]:
    while (view := (await client.get(f"{API}/sessions/{session_id}")).json())["status"] not in statuses:
        await asyncio.sleep(0.05)
    return view


async def test_a_session_from_connect_to_disconnect(stage: ApiHarness, harness: ConnectorHarness) -> None:
    with FirefliesSimulator(SimulatorOptions(speed=50)) as simulator:
        store_account(stage.engine, simulator.url)
        body = {"transcript_id": "demo", "target_languages": ["es"], "title": "Stand-up"}
        answer = await stage.http.post(f"{API}/connect", json=body)
        assert answer.status_code == 201, answer.text
        session = answer.json()
        assert (session["status"], session["target_languages"], session["meeting_title"]) == (
            "connecting",
            ["es"],
            "Stand-up",
        )
        assert session["budget"] | {"resets_in_s": 0} == {
            "plan": "business",
            "limit": 60,
            "remaining": 60,
            "resets_in_s": 0,
        }
        again = await stage.http.post(f"{API}/connect", json=body)
        assert (again.status_code, again.json()["id"]) == (200, session["id"])
        async with running_connector(harness):
            await wait_for_status(stage.http, session["id"], "connected")
            active = (await stage.http.get(f"{API}/sessions/active")).json()["sessions"]
            assert [each["id"] for each in active] == [session["id"]]
            await asyncio.to_thread(simulator.wait_for_end, "demo")
            ending = await stage.http.post(f"{API}/disconnect", json={"transcript_id": "demo"})
            assert (ending.status_code, ending.json()["is_disconnecting"]) == (202, True)
            ended = await wait_for_status(stage.http, session["id"], "ended", "failed")
    assert ended["last_error"] is None
    assert ended["gaps"] == []
    assert ended["counters"]["appended"] > 0
    assert ended["ended_at"] is not None
    assert (await stage.http.get(f"{API}/sessions/active")).json() == {"sessions": []}
    assert (await stage.http.post(f"{API}/disconnect", json={"transcript_id": "demo"})).status_code == 404


async def test_the_fields_of_older_clients_have_an_effect_or_are_named(stage: ApiHarness) -> None:
    store_account(stage.engine, "http://127.0.0.1:9")
    body = {"transcript_id": "demo", "domain": "medicine", "context_window_size": 5, "glossary_id": None}
    unused = {"translation_model": "m", "pause_threshold_ms": 800, "max_buffer_words": 50}
    session = (await stage.http.post(f"{API}/connect", json=body | unused)).json()
    assert session["ignored"] == ["max_buffer_words", "pause_threshold_ms", "translation_model"]
    assert session["meeting_db_id"] == session["meeting_id"]
    assert (session["persistence_failures"], session["persistence_healthy"]) == (0, True)
    config = (await stage.http.get(f"/api/meetings/{session['meeting_id']}")).json()["config"]
    assert (config["context_sentences"], config["target_languages"]) == (5, ["pt"])
    assert "medicine" in config["style"]
    again = (await stage.http.post(f"{API}/connect", json=body)).json()
    assert (again["id"], again["ignored"]) == (session["id"], ["context_window_size", "domain"])


async def test_a_store_that_fails_is_shown_until_it_responds(
    stage: ApiHarness, aengine: AsyncEngine, redis_url: str, redis_sync: redis.Redis
) -> None:
    parts = urlsplit(redis_url)
    assert parts.port is not None
    async with asyncio.timeout(200), TcpProxy(parts.port) as proxy:
        client = async_redis(urlunsplit(parts._replace(netloc=f":{parts.password}@127.0.0.1:{proxy.port}")))
        harness = ConnectorHarness(aengine, client, redis_sync)
        with FirefliesSimulator() as simulator:
            store_account(stage.engine, simulator.url)
            path = f"{API}/sessions/{(await stage.http.post(f'{API}/connect', json={'transcript_id': 'demo'})).json()['id']}"
            async with running_connector(harness):
                while (await stage.http.get(path)).json()["counters"].get("appended", 0) == 0:
                    await asyncio.sleep(0.05)
                await proxy.cut("refuse")
                simulator.inject("demo", "This is said while Redis is away.", "Ana")
                while (view := (await stage.http.get(path)).json())["persistence_healthy"]:
                    await asyncio.sleep(0.05)
                assert view["persistence_failures"] > 0
                await proxy.restore()
                while not (view := (await stage.http.get(path)).json())["persistence_healthy"]:
                    await asyncio.sleep(0.05)
                assert view["persistence_failures"] > 0
        await client.aclose()


async def test_a_meeting_that_was_disconnected_is_connected_as_a_further_meeting(
    stage: ApiHarness, harness: ConnectorHarness
) -> None:
    with FirefliesSimulator(SimulatorOptions(speed=20)) as simulator:
        store_account(stage.engine, simulator.url)
        first = (await stage.http.post(f"{API}/connect", json={"transcript_id": "demo"})).json()
        async with running_connector(harness):
            await stage.http.post(f"{API}/disconnect", json={"session_id": first["id"]})
            await wait_for_status(stage.http, first["id"], "ended", "failed")
        # A lane would do this.
        stage.set_status(first["meeting_id"], "ended")
        second = await stage.http.post(f"{API}/connect", json={"transcript_id": "demo"})
    assert second.status_code == 201
    assert second.json()["meeting_id"] != first["meeting_id"]
    names = {row[0] for row in query_rows(stage.engine, "select external_id from meetings")}
    assert names == {"fireflies:demo", "fireflies:demo:2"}


async def test_pause_and_resume_change_the_recording_only_if_asked(stage: ApiHarness) -> None:
    with FirefliesSimulator() as simulator:
        store_account(stage.engine, simulator.url)
        simulator.begin("demo")
        session = (await stage.http.post(f"{API}/connect", json={"transcript_id": "demo"})).json()
        path = f"{API}/sessions/{session['id']}"
        paused = (await stage.http.post(f"{path}/pause")).json()
        assert paused["is_paused"]
        assert simulator.graphql_requests == []
        resumed = await stage.http.post(f"{path}/resume", json={"recording": True})
        assert resumed.status_code == 200, resumed.text
        assert not resumed.json()["is_paused"]
        [request] = simulator.graphql_requests
        assert request.variables == {"input": {"meeting_id": "demo", "action": "resume_recording"}}


async def test_target_languages_and_display_mode_change(stage: ApiHarness) -> None:
    with FirefliesSimulator() as simulator:
        store_account(stage.engine, simulator.url)
        session = (await stage.http.post(f"{API}/connect", json={"transcript_id": "demo"})).json()
        path = f"{API}/sessions/{session['id']}"
        changed = await stage.http.put(f"{path}/target-languages", json={"target_languages": ["pt-br", "de"]})
        assert changed.json() == {"success": True, "target_languages": ["pt-BR", "de"], "previous": ["pt"]}
        assert (await stage.http.get(path)).json()["target_languages"] == ["pt-BR", "de"]
        shown = await stage.http.put(f"{path}/display-mode", json={"display_mode": "translation"})
        assert shown.json()["display_mode"] == "translation"
        wrong = await stage.http.put(f"{path}/display-mode", json={"display_mode": "karaoke"})
        assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "display_mode")
    assert (await stage.http.get(f"{API}/sessions/{uuid4()}")).status_code == 404


@pytest.mark.parametrize(
    ("url", "loopback_allowed", "cause"),
    [
        ("http://127.0.0.1:9", False, "its address 127.0.0.1 is not public"),
        ("https://169.254.169.254", True, "its address 169.254.169.254 is not public"),
        ("http://10.0.0.1", True, "its address 10.0.0.1 is not public"),
        ("http://8.8.8.8", True, "must begin with https://"),
    ],
)
async def test_the_address_of_the_api_is_checked(
    stage: ApiHarness, postgres_url: str, redis_url: str, url: str, loopback_allowed: bool, cause: str
) -> None:
    key = {"key_variable": KEY_VARIABLE, "api_base_url": url}
    with run_api(ApiOptions(postgres_url, redis_url, loopback_allowed=loopback_allowed)) as address:
        async with httpx.AsyncClient(base_url=address, timeout=60) as client:
            answers = [
                await client.post(f"{API}/connect", json={"transcript_id": "demo"} | key),
                await client.put(f"{API}/config", json=key),
                await client.post(f"{API}/validate-key", json=key),
            ]
    for answer in answers:
        assert answer.status_code == 422
        [error] = answer.json()["errors"]
        assert error["field"] == "api_base_url"
        assert error["detail"].startswith(cause)


async def test_a_key_is_encrypted_and_never_shown(stage: ApiHarness, postgres_url: str, redis_url: str) -> None:
    key = {"api_key": DEFAULT_API_KEY, "plan": "free", "api_base_url": "http://127.0.0.1:9"}
    refused = await stage.http.post(f"{API}/connect", json={"transcript_id": "demo"} | key)
    assert (refused.status_code, refused.json()["reason"]) == (409, "no_encryption_key")
    assert (await stage.http.post(f"{API}/connect", json={"transcript_id": "demo"})).json()["reason"] == "no_key"
    with run_api(ApiOptions(postgres_url, redis_url, encryption_key=KEY, loopback_allowed=True)) as address:
        async with httpx.AsyncClient(base_url=address, timeout=60) as client:
            session = await client.post(f"{API}/connect", json={"transcript_id": "demo"} | key)
            account = await client.put(f"{API}/config", json=key | {"webhook_secret": "hush-hush"})
            shown = await client.get(f"{API}/config")
            assert (session.status_code, account.status_code) == (201, 200)
            assert session.json()["budget"]["plan"] == "free"
            assert (account.json()["has_key"], account.json()["has_webhook_secret"]) == (True, True)
            for answer in (session, account, shown):
                assert DEFAULT_API_KEY not in answer.text
                assert "hush-hush" not in answer.text
    stored = query_rows(
        stage.engine,
        "select encrypted_key from connector_sessions union all"
        " select encrypted_key || encrypted_webhook_secret from source_accounts",
    )
    assert len(stored) == 2
    assert not any(DEFAULT_API_KEY in row[0] or "hush-hush" in row[0] for row in stored)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"transcript_id": ""}, "transcript_id"),
        ({"api_key": "a", "key_variable": KEY_VARIABLE}, "body"),
        ({"key_variable": "PATH"}, "key_variable"),
        ({"api_key": "two words"}, "api_key"),
        ({"api_base_url": "file:///etc/passwd"}, "api_base_url"),
        ({"plan": "gold"}, "plan"),
        ({"target_languages": ["pt", "pt-"]}, "target_languages.1"),
        ({"context_window_size": 21}, "context_window_size"),
        ({"pause_threshold_ms": -1}, "pause_threshold_ms"),
        ({"max_buffer_words": 0}, "max_buffer_words"),
        ({"domain": "a" * 101}, "domain"),
        ({"glossary_id": ""}, "glossary_id"),
        ({"translation_model": "a" * 201}, "translation_model"),
        ({"buffer_words": 5}, "buffer_words"),
    ],
)
async def test_a_wrong_field_is_named(stage: ApiHarness, fields: dict[str, Any], field: str) -> None:
    answer = await stage.http.post(f"{API}/connect", json={"transcript_id": "demo"} | fields)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field
