"""Tests serve/http/webhook_routes.py, and `parley webhooks` against a running API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner, Result

from cluster.cli import app
from serve.app_options import ApiOptions
from storage.postgres.webhook_endpoints import MAX_ENDPOINTS
from tests.harness.api.server_thread import run_api
from tests.harness.doubles.webhook_receiver import Reply, running_receiver
from tests.harness.lane.webhook_sender import CIPHER, KEY, commit_sentences, open_stored_meeting, running_sender

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]

PUBLIC_URL = "https://1.1.1.1/hook"


def store_disabled_webhook(stage: ApiHarness) -> str:
    """Store a webhook that is disabled, with a failed delivery of id 1."""
    webhook_id = str(uuid4())
    with stage.engine.begin() as conn:
        conn.execute(
            text(
                "insert into webhook_endpoints (id, team_id, url, event_types, enabled, disabled_reason, secret)"
                " values (:id, 'default', 'https://1.1.1.1/', '{meeting.ended}', false, 'disabled by request', 's')"
            ),
            {"id": webhook_id},
        )
        conn.execute(
            text(
                "insert into webhook_deliveries (team_id, endpoint_id, queue_id, event_id, event_type, status)"
                " values ('default', :id, :id, 'msg_1', 'webhook.test', 'failed')"
            ),
            {"id": webhook_id},
        )
    return webhook_id


@pytest.fixture(scope="module")
def key_address(postgres_url: str, redis_url: str) -> Any:
    """The base URL of an API that can encrypt secrets, and allows public addresses only."""
    with run_api(ApiOptions(postgres_url, redis_url, KEY)) as address:
        yield address


@pytest.fixture(scope="module")
def private_address(postgres_url: str, redis_url: str) -> Any:
    """The base URL of an API that allows private addresses."""
    with run_api(ApiOptions(postgres_url, redis_url, KEY, private_addresses=True)) as address:
        yield address


@pytest.fixture
async def http(stage: ApiHarness, key_address: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=key_address, timeout=60) as client:
        yield client


@pytest.fixture
async def private_http(stage: ApiHarness, private_address: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=private_address, timeout=60) as client:
        yield client


async def add_webhook(http: httpx.AsyncClient, url: str = PUBLIC_URL, **fields: Any) -> dict[str, Any]:
    answer = await http.post("/api/webhooks", json={"url": url, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_webhook_is_added_changed_and_removed(stage: ApiHarness, http: httpx.AsyncClient) -> None:
    added = await add_webhook(http, event_types=["meeting.ended", "caption.updated", "meeting.ended"])
    secret = added.pop("secret")
    assert secret.startswith("whsec_")
    assert added["event_types"] == ["caption.updated", "meeting.ended"]
    with stage.engine.connect() as conn:
        [stored] = conn.execute(text("select secret from webhook_endpoints")).scalars()
    assert secret not in stored
    assert CIPHER.decrypt(stored) == secret
    path = f"/api/webhooks/{added['id']}"
    assert (await http.get(path)).json() == added
    assert (await http.get("/api/webhooks")).json() == {"webhooks": [added]}
    changed = await http.patch(path, json={"enabled": False, "event_types": ["meeting.started"]})
    assert changed.json() == added | {
        "enabled": False,
        "disabled_reason": "disabled by request",
        "event_types": ["meeting.started"],
    }
    enabled = await http.patch(path, json={"enabled": True, "url": "https://1.0.0.1/"})
    assert enabled.json() == added | {"event_types": ["meeting.started"], "url": "https://1.0.0.1/"}
    assert (await http.delete(path)).status_code == 204
    assert (await http.get(path)).status_code == 404
    everything = await add_webhook(http)
    assert len(everything["event_types"]) == 6


async def test_a_rotation_shows_the_new_secret_once(stage: ApiHarness, http: httpx.AsyncClient) -> None:
    added = await add_webhook(http)
    rotated = (await http.post(f"/api/webhooks/{added['id']}/rotate-secret")).json()
    assert rotated["secret"].startswith("whsec_")
    assert rotated["secret"] != added["secret"]
    assert rotated["previous_secret_expires_at"] is not None
    shown = await http.get(f"/api/webhooks/{added['id']}")
    assert "whsec_" not in shown.text + (await http.get("/api/webhooks")).text
    with stage.engine.connect() as conn:
        row = conn.execute(text("select secret, previous_secret from webhook_endpoints")).one()
    assert [CIPHER.decrypt(each) for each in row] == [rotated["secret"], added["secret"]]


@pytest.mark.parametrize(
    ("url", "fix"),
    [
        ("http://1.1.1.1/", "must begin with https://"),
        ("https://user:secret@1.1.1.1/", "must not contain a user or a password"),
        ("https://127.0.0.1/", "its address 127.0.0.1 is not public"),
        ("https://0x7f.1/", "its address 127.0.0.1 is not public"),
        ("https://169.254.169.254/latest", "its address 169.254.169.254 is not public"),
        ("https://[::1]/", "its address ::1 is not public"),
        ("https://[::ffff:10.0.0.1]/", "is not public"),
        ("https://[64:ff9b::10.0.0.1]/", "is not public"),
        ("https://localhost/", "is not public"),
        ("https://no-such-host.invalid/", "its host can't be resolved"),
        ("nonsense", "must be a URL such as"),
        (" ", "must not be blank"),
    ],
)
async def test_a_url_that_cant_be_used_is_refused_with_the_fix(
    stage: ApiHarness, http: httpx.AsyncClient, url: str, fix: str
) -> None:
    webhook = await add_webhook(http)
    for answer in (
        await http.post("/api/webhooks", json={"url": url}),
        await http.patch(f"/api/webhooks/{webhook['id']}", json={"url": url}),
    ):
        assert answer.status_code == 422
        [error] = answer.json()["errors"]
        assert error["field"].removeprefix("body.") == "url"
        assert fix in error["detail"]
        assert "secret" not in answer.text


async def test_private_addresses_need_the_setting(stage: ApiHarness, private_http: httpx.AsyncClient) -> None:
    assert (await add_webhook(private_http, "http://localhost:9/"))["url"] == "http://localhost:9/"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"event_types": ["interim"]}, "event_types.0"),
        ({"event_types": ["webhook.test"]}, "event_types.0"),
        ({"event_types": []}, "event_types"),
        ({"secret": "whsec_x"}, "secret"),
    ],
)
async def test_an_invalid_field_is_named(
    stage: ApiHarness, http: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    answer = await http.post("/api/webhooks", json={"url": PUBLIC_URL} | body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].removeprefix("body.") == field


async def test_a_change_of_nothing_is_refused(stage: ApiHarness, http: httpx.AsyncClient) -> None:
    webhook = await add_webhook(http)
    answer = await http.patch(f"/api/webhooks/{webhook['id']}", json={})
    assert answer.status_code == 422
    assert "url, event_types or enabled" in answer.text


async def test_without_a_key_no_webhook_can_be_added(stage: ApiHarness) -> None:
    answer = await stage.http.post("/api/webhooks", json={"url": PUBLIC_URL})
    assert answer.status_code == 409
    assert "PARLEY_ENCRYPTION_KEY is not set" in answer.json()["detail"]


async def test_the_number_of_webhooks_is_limited(stage: ApiHarness, http: httpx.AsyncClient) -> None:
    with stage.engine.begin() as conn:
        conn.execute(
            text(
                "insert into webhook_endpoints (id, team_id, url, event_types, secret)"
                " select gen_random_uuid(), 'default', 'https://1.1.1.1/', '{meeting.ended}', 's'"
                " from generate_series(1, :count)"
            ),
            {"count": MAX_ENDPOINTS},
        )
    answer = await http.post("/api/webhooks", json={"url": PUBLIC_URL})
    assert answer.status_code == 409
    assert f"there are {MAX_ENDPOINTS} webhook endpoints" in answer.json()["detail"]


async def test_deliveries_are_listed_by_page_and_status(stage: ApiHarness, http: httpx.AsyncClient) -> None:
    webhook = await add_webhook(http)
    meeting = open_stored_meeting(stage.engine)
    commit_sentences(stage.engine, meeting, 3)
    with stage.engine.begin() as conn:
        conn.execute(text("update webhook_deliveries set status = 'failed', ended_at = now() where seq = 2"))
    path = f"/api/webhooks/{webhook['id']}/deliveries"
    page = (await http.get(path, params={"limit": 2})).json()
    assert [each["seq"] for each in page["deliveries"]] == [3, 2]
    rest = (await http.get(path, params={"limit": 2, "before": page["before"]})).json()
    assert ([each["seq"] for each in rest["deliveries"]], rest["before"]) == ([1], None)
    [failed] = (await http.get(path, params={"status": "failed"})).json()["deliveries"]
    assert (failed["seq"], failed["meeting_id"], failed["event_type"]) == (2, meeting, "sentence.updated")
    assert "Good morning" not in (await http.get(path)).text
    assert (await http.get(path, params={"status": "sent"})).status_code == 422


async def test_replays_are_refused_where_they_change_nothing(stage: ApiHarness, http: httpx.AsyncClient) -> None:
    webhook = await add_webhook(http)
    commit_sentences(stage.engine, open_stored_meeting(stage.engine), 1)
    path = f"/api/webhooks/{webhook['id']}"
    [pending] = (await http.get(f"{path}/deliveries")).json()["deliveries"]
    refused = await http.post(f"{path}/deliveries/{pending['id']}/replay")
    assert (refused.status_code, refused.json()["reason"]) == (409, "pending")
    assert (await http.post(f"{path}/deliveries/{pending['id'] + 1}/replay")).status_code == 404
    # Disabling it fails what is pending.
    await http.patch(path, json={"enabled": False})
    [failed] = (await http.get(f"{path}/deliveries")).json()["deliveries"]
    assert (failed["status"], failed["reason"]) == ("failed", "its endpoint was disabled")
    for action in (f"deliveries/{pending['id']}/replay", "test"):
        answer = await http.post(f"{path}/{action}")
        assert (answer.status_code, answer.json()["reason"]) == (409, "disabled")
    await http.patch(path, json={"enabled": True})
    later = await http.post(f"{path}/replay", json={"since": "2100-01-01T00:00:00Z"})
    assert later.json() == {"replayed": 0}
    assert (await http.post(f"{path}/replay", json={"since": "2000-01-01T00:00:00"})).status_code == 422
    assert (await http.post(f"{path}/replay", json={"since": "2000-01-01T00:00:00Z"})).json() == {"replayed": 1}


async def test_pending_deliveries_are_on_the_metrics(stage: ApiHarness, http: httpx.AsyncClient) -> None:
    await add_webhook(http)
    commit_sentences(stage.engine, open_stored_meeting(stage.engine), 2)
    with stage.engine.begin() as conn:
        conn.execute(text("update webhook_deliveries set queued_at = now() - interval '1 hour' where seq = 1"))
    lines = (await http.get("/metrics")).text.splitlines()
    found = dict(line.split(" ") for line in lines if line.startswith("parley_webhook"))
    assert float(found["parley_webhook_deliveries_pending"]) == 2
    assert 3600 <= float(found["parley_webhook_oldest_pending_seconds"]) < 7200


async def test_the_command_adds_tests_replays_and_removes(
    stage: ApiHarness, private_http: httpx.AsyncClient, aengine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.jobs.webhook_delivery.POLL_S", 0.02)

    async def run(*arguments: object) -> Result:
        words = ["webhooks", *map(str, arguments), "--server", str(private_http.base_url)]
        return await asyncio.to_thread(CliRunner().invoke, app, words)

    assert (await run("list")).stdout == "There are no webhooks.\n"
    refused = await run("add", "nonsense")
    assert "url: must be a URL such as https://example.com/hook" in str(refused.exception)
    async with running_receiver() as receiver, running_sender(aengine):
        added = json.loads((await run("add", receiver.url(), "--event", "sentence.updated", "--json")).stdout)
        webhook_id, receiver.secrets["hook"] = added["id"], [added["secret"]]
        assert added["event_types"] == ["sentence.updated"]
        accepted = await run("test", webhook_id)
        assert (accepted.exit_code, accepted.stderr) == (0, "The receiver accepted the test (HTTP 200).\n")
        receiver.scripts["hook"].append(Reply(410))
        gone = await run("test", webhook_id)
        assert gone.exit_code == 1
        assert "the receiver answered 410 Gone" in gone.stderr
        listed = await run("list")
        assert "disabled: the receiver answered 410 Gone" in listed.stdout
        assert (await run("enable", webhook_id)).exit_code == 0
        failed = json.loads((await run("deliveries", webhook_id, "--status", "failed", "--json")).stdout)
        replayed = await run("replay", webhook_id, failed[0]["id"], 4711)
        assert replayed.exit_code == 1
        assert "4711: Not Found: the webhook has no delivery 4711" in replayed.stderr
        assert "Replayed: 1. Refused: 1." in replayed.stderr
        await receiver.wait_for(lambda: len(receiver.received) == 3)
        assert receiver.received[2].event_id == failed[0]["event_id"]
        assert "webhook.test" in (await run("deliveries", webhook_id)).stdout
    rotated = await run("rotate", webhook_id)
    assert "secret: whsec_" in rotated.stdout
    assert (await run("disable", webhook_id)).exit_code == 0
    assert "give the ids of deliveries, or --since" in str((await run("replay", webhook_id)).exception)
    assert "enable it first" in str((await run("replay", webhook_id, "--since", "2026-01-01")).exception)
    assert (await run("remove", webhook_id)).exit_code == 0
    assert (await run("list")).stdout == "There are no webhooks.\n"
