"""Webhooks of Fireflies: signatures, repeated deliveries, hostile bodies, and what follows from each event."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cluster.fireflies_sim.simulator import FirefliesSimulator, SimulatorOptions
from serve.http.fireflies.notification_routes import KNOWN_EVENTS
from tests.harness.api.fireflies_account import KEY_VARIABLE, WEBHOOK_SECRET, post_webhook, sign, store_account
from tests.harness.lane.threaded_lane import query_rows
from tests.integration.flows.connectors.fireflies_harness import ConnectorHarness, running_connector

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness", "tests.harness.api.fireflies_account"]
pytestmark = pytest.mark.usefixtures("fireflies_secrets")

API = "/api/fireflies"
TRANSCRIBED = {"event": "meeting.transcribed", "timestamp": 1_795_000_000_000, "meeting_id": "past-1"}
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["", " ", "\x00", "\ud800", "x" * 201, 10**400, 2**63, -1])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = {"event": st.sampled_from(KNOWN_EVENTS) | JSON, "meeting_id": st.text(min_size=1, max_size=9) | JSON}
BODIES = st.binary(max_size=60) | st.one_of(
    JSON, st.fixed_dictionaries(FIELDS), st.fixed_dictionaries({}, optional=FIELDS | {"timestamp": JSON, "more": JSON})
).map(lambda content: json.dumps(content).encode())


@pytest.fixture
def harness(aengine: AsyncEngine, redis_async: Any, redis_sync: redis.Redis) -> ConnectorHarness:
    return ConnectorHarness(aengine, redis_async, redis_sync)


def outcomes(stage: ApiHarness) -> list[str | None]:
    return [row[0] for row in query_rows(stage.engine, "select outcome from source_notifications order by id")]


async def counted(stage: ApiHarness, name: str) -> int:
    return (await stage.http.get(f"{API}/config")).json()["webhooks"].get(name, 0)


def retry_waiting(stage: ApiHarness) -> None:
    """Let the webhooks that wait be due now. They still count as postponed."""
    with stage.engine.begin() as conn:
        conn.execute(text("update source_notifications set due_at = now() where outcome is null"))


async def wait_for_outcomes(stage: ApiHarness, *expected: str | None) -> None:
    while outcomes(stage) != list(expected):
        await asyncio.sleep(0.05)


async def test_a_wrong_signature_is_refused_and_counted(stage: ApiHarness) -> None:
    assert (await post_webhook(stage.http, TRANSCRIBED)).status_code == 409
    store_account(stage.engine, "http://127.0.0.1:9")
    body = json.dumps(TRANSCRIBED).encode()
    wrong = ["sha256=", sign(body, "other"), sign(body + b" "), sign(body).removeprefix("sha256="), "é"]
    for signature in wrong:
        headers = {"X-Hub-Signature": signature.encode("latin-1")}
        answer = await stage.http.post(f"{API}/webhook", content=body, headers=headers)  # type: ignore[arg-type]
        assert answer.status_code == 401
        assert WEBHOOK_SECRET not in answer.text
    assert (await stage.http.post(f"{API}/webhook", content=body)).status_code == 401
    assert outcomes(stage) == []
    assert (await stage.http.get(f"{API}/config")).json()["webhooks"] == {"refused:signature": 6}


async def test_a_repeated_delivery_changes_nothing_and_an_unknown_event_is_counted(stage: ApiHarness) -> None:
    store_account(stage.engine, "http://127.0.0.1:9")
    answers = [(await post_webhook(stage.http, TRANSCRIBED)).json()["outcome"] for _ in range(3)]
    assert answers == ["accepted", "repeated", "repeated"]
    unknown = await post_webhook(stage.http, {"event": "meeting.moved", "meeting_id": "a", "further": 1})
    assert (unknown.status_code, unknown.json()["outcome"]) == (200, "ignored")
    assert outcomes(stage) == [None]
    assert (await stage.http.get(f"{API}/config")).json()["webhooks"] == {
        "meeting.transcribed": 1,
        "repeated": 2,
        "unknown": 1,
    }


async def test_any_signed_body_is_accepted_or_refused_with_its_field_and_counted(stage: ApiHarness) -> None:
    store_account(stage.engine, "http://127.0.0.1:9")
    loop = asyncio.get_running_loop()
    statuses = Counter[int]()

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(BODIES)
    @example(json.dumps(TRANSCRIBED).encode())
    @example(b"")
    def send(body: bytes) -> None:
        answer = asyncio.run_coroutine_threadsafe(post_webhook(stage.http, body), loop).result()
        assert answer.status_code in (200, 400, 422), answer.text
        statuses[answer.status_code] += 1
        if answer.status_code == 422:
            assert answer.json()["errors"][0]["field"]

    await asyncio.to_thread(send)
    counts = (await stage.http.get(f"{API}/config")).json()["webhooks"]
    assert counts["refused:invalid"] == statuses[400] + statuses[422] > 0
    assert sum(counts.values()) == statuses.total() > counts["refused:invalid"]


async def test_the_stored_key_is_not_sent_to_a_new_address(stage: ApiHarness) -> None:
    store_account(stage.engine, "http://127.0.0.1:9")
    response = await stage.http.put(f"{API}/config", json={"api_base_url": "http://127.0.0.1:10"})
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "api_base_url"
    assert (await stage.http.get(f"{API}/config")).json()["api_base_url"] == "http://127.0.0.1:9"


async def test_a_joined_meeting_waits_for_the_limit_of_live_meetings(
    stage: ApiHarness, harness: ConnectorHarness
) -> None:
    store_account(stage.engine, "http://127.0.0.1:9")
    other = await stage.create_meeting(config={"source_language": "en"})
    harness.max_live = 1
    for name in ("late", "early"):
        await post_webhook(stage.http, {"event": "meeting.bot_joined", "meeting_id": name})
    with stage.engine.begin() as conn:
        conn.execute(
            text("update source_notifications set created_at = now() - interval '4 hours' where external_id = 'late'")
        )
    async with running_connector(harness):
        while outcomes(stage)[0] is None or await counted(stage, "postponed:limit") == 0:
            await asyncio.sleep(0.05)
        assert outcomes(stage) == [
            "refused: no more than 1 live meetings at once: end one, or raise the limit (max_live)",
            None,
        ]
        assert (await counted(stage, "postponed:limit"), await counted(stage, "refused:limit")) == (1, 1)
        assert query_rows(stage.engine, "select 1 from connector_sessions") == []
        retry_waiting(stage)
        while query_rows(stage.engine, "select 1 from source_notifications where due_at > now()") == []:
            await asyncio.sleep(0.05)
        assert await counted(stage, "postponed:limit") == 1
        stage.set_status(other, "ended")
        retry_waiting(stage)
        while outcomes(stage)[1] is None:
            await asyncio.sleep(0.05)
    assert outcomes(stage)[1] == "connected"


async def test_a_meeting_that_ended_while_its_webhook_waited_is_not_connected(
    stage: ApiHarness, harness: ConnectorHarness
) -> None:
    store_account(stage.engine, "http://127.0.0.1:9")
    await stage.create_meeting(config={"source_language": "en"})
    harness.max_live = 1
    await post_webhook(stage.http, {"event": "meeting.bot_joined", "meeting_id": "past-1"})
    async with running_connector(harness):
        while await counted(stage, "postponed:limit") == 0:
            await asyncio.sleep(0.05)
        await post_webhook(stage.http, TRANSCRIBED)
        await wait_for_outcomes(stage, None, "queued for import")
        retry_waiting(stage)
        await wait_for_outcomes(stage, "ignored: the meeting is over", "queued for import")


async def test_a_joined_meeting_is_connected_then_imported_at_its_end(
    stage: ApiHarness, harness: ConnectorHarness
) -> None:
    options = SimulatorOptions(
        speed=50, webhook_url=f"http://{stage.address}{API}/webhook", webhook_secret=WEBHOOK_SECRET
    )
    # The account must exist before the stand-in announces its meeting.
    store_account(stage.engine, "http://127.0.0.1:9")
    with FirefliesSimulator(options) as simulator:
        await stage.http.put(f"{API}/config", json={"key_variable": KEY_VARIABLE, "api_base_url": simulator.url})
        async with running_connector(harness):
            await wait_for_outcomes(stage, "connected", "queued for import", "queued for import")
            while (await stage.http.get(f"{API}/import/demo")).json()["state"] != "done":
                await asyncio.sleep(0.1)
        assert {delivery.status for delivery in simulator.webhook_deliveries} == {200}
        texts = [caption.text for caption in simulator.meetings["demo"].captions()]
    record = (await stage.http.get(f"{API}/import/demo")).json()
    [session] = (await stage.http.get(f"{API}/sessions")).json()["sessions"]
    assert (session["status"], session["meeting_id"]) == ("ended", record["meeting_id"])
    assert record["detail"].startswith("the meeting was received live")
    facts = (await stage.http.get(f"/api/meetings/{record['meeting_id']}/source-metadata")).json()
    assert facts["content"]["summary"]["overview"]
    assert len(texts) > 0
