"""Requests that Fireflies answers at once: meetings, transcripts, keys, invitations, and the state of the account."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cluster.fireflies_sim.simulator import FirefliesSimulator, SimulatorOptions
from tests.harness.api.fireflies_account import KEY_VARIABLE, store_account

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness", "tests.harness.api.fireflies_account"]
pytestmark = pytest.mark.usefixtures("fireflies_secrets")

API = "/api/fireflies"


async def test_meetings_and_transcripts_are_listed(stage: ApiHarness) -> None:
    with FirefliesSimulator(SimulatorOptions(past_meeting_count=3)) as simulator:
        store_account(stage.engine, simulator.url)
        simulator.begin("demo")
        meetings = (await stage.http.post(f"{API}/meetings", json={"states": ["active"]})).json()
        assert [each["id"] for each in meetings["meetings"]] == ["demo"]
        assert meetings["budget"]["remaining"] == 59
        page = (await stage.http.post(f"{API}/transcripts", json={"limit": 2})).json()
        assert ([each["id"] for each in page["transcripts"]], page["next_skip"]) == (["past-1", "past-2"], 2)
        rest = (await stage.http.post(f"{API}/transcripts", json={"limit": 2, "skip": 2})).json()
        assert ([each["id"] for each in rest["transcripts"]], rest["next_skip"]) == (["past-3"], None)
        beyond = await stage.http.post(f"{API}/transcripts", json={"limit": 51})
        assert (beyond.status_code, beyond.json()["errors"][0]["field"]) == (422, "limit")
        whole = (await stage.http.get(f"{API}/transcript/past-1")).json()
        assert whole["title"] == "Past meeting 1"
        assert whole["sentences"][0].keys() == {"speaker", "text", "start", "end"}
        assert whole["metadata"]["summary"]
        own = {"key_variable": KEY_VARIABLE, "api_base_url": simulator.url}
        assert (await stage.http.post(f"{API}/transcript/past-1", json=own)).json()["budget"]["plan"] == "free"
        assert (await stage.http.get(f"{API}/transcript/none")).status_code == 404


async def test_a_key_is_checked(stage: ApiHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    with FirefliesSimulator() as simulator:
        own = {"key_variable": KEY_VARIABLE, "api_base_url": simulator.url}
        valid = (await stage.http.post(f"{API}/validate-key", json=own)).json()
        assert (valid["valid"], valid["user"]["email"]) == (True, "host@example.com")
        monkeypatch.setenv(KEY_VARIABLE, "wrong")
        invalid = (await stage.http.post(f"{API}/validate-key", json=own)).json()
        assert (invalid["valid"], invalid["user"]) == (False, None)
        assert "check it at" in invalid["detail"]
        refused = await stage.http.post(f"{API}/meetings", json=own)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "api_key")
        assert "wrong" not in refused.text


async def test_the_notetaker_is_invited(stage: ApiHarness) -> None:
    with FirefliesSimulator() as simulator:
        store_account(stage.engine, simulator.url)
        body = {"meeting_link": "https://meet.google.com/abc-defg-hij", "title": "Retro"}
        assert (await stage.http.post(f"{API}/invite-bot", json=body)).json()["success"]
        assert "Retro" in {meeting.title for meeting in simulator.meetings.values()}
        other = await stage.http.post(f"{API}/invite-bot", json={"meeting_link": "https://example.com/a"})
        assert (other.status_code, other.json()["errors"][0]["field"]) == (422, "meeting_link")


async def test_a_spent_budget_is_told_before_fireflies_is_asked(stage: ApiHarness) -> None:
    with FirefliesSimulator(SimulatorOptions(plan="free")) as simulator:
        store_account(stage.engine, simulator.url, plan="free")
        for _ in range(50):
            assert (await stage.http.post(f"{API}/meetings")).status_code == 200
        spent = await stage.http.post(f"{API}/meetings")
        assert len(simulator.graphql_requests) == 50
    assert spent.status_code == 429
    assert int(spent.headers["retry-after"]) > 0
    assert "50 requests in a day" in spent.json()["detail"]
    health = (await stage.http.get(f"{API}/health")).json()
    assert (health["has_key"], health["budget"]["remaining"]) == (True, 0)


async def test_the_account_is_kept_field_by_field(stage: ApiHarness) -> None:
    empty = (await stage.http.get(f"{API}/config")).json()
    assert (empty["has_key"], empty["plan"], empty["budget"]) == (False, "free", None)
    await stage.http.put(f"{API}/config", json={"key_variable": KEY_VARIABLE, "plan": "business"})
    config = {"source_language": "en", "target_languages": ["pt", "es"], "style": "formal"}
    assert (await stage.http.put(f"{API}/config/translation", json=config)).status_code == 200
    account = (await stage.http.put(f"{API}/config", json={"plan": "pro"})).json()
    assert (account["key_variable"], account["plan"], account["config"]["style"]) == (KEY_VARIABLE, "pro", "formal")
    assert (await stage.http.get(f"{API}/config/translation")).json()["target_languages"] == ["pt", "es"]
    page = (await stage.http.get(f"{API}/dashboard/config")).json()
    assert [plan["name"] for plan in page["plans"]] == ["free", "pro", "business", "enterprise"]
    assert page["target_languages"] == ["pt", "es"]
    assert (await stage.http.put(f"{API}/config", json={})).status_code == 422


async def test_the_demo_is_a_command(stage: ApiHarness) -> None:
    status = (await stage.http.get(f"{API}/demo/status")).json()
    assert status["running"] is False
    assert status["command"].startswith("parley fireflies-sim")
    refused = await stage.http.post(f"{API}/demo/start")
    assert (refused.status_code, status["command"] in refused.json()["detail"]) == (409, True)
