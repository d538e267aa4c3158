"""Tests serve/http/intelligence/usage_routes.py, and the quota of the routes that have a model answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.jobs import InsightWriter, QuestionAnswerer
from operators.insight_requests import Insight, InsightRequest, InsightRole
from operators.token_quota import QuotaExceededError
from serve.app_options import ApiOptions
from storage.postgres.token_usage import add_usage
from tests.harness.api.intelligence_engines import embed_no_question, serve_intelligence
from tests.harness.api.server_thread import run_api
from tests.harness.lane.fake_lane_writer import create_written_meeting, make_sentence

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]

API = "/api/intelligence"
QUOTA = 1_000


@pytest.fixture(scope="module")
def limited_address(postgres_url: str, redis_url: str) -> Any:
    with run_api(ApiOptions(postgres_url, redis_url, lag_limit=1e9, daily_tokens=QUOTA)) as address:
        yield address


@pytest.fixture
async def limited(stage: ApiHarness, limited_address: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API with a quota."""
    serve_intelligence(stage.engine)
    async with httpx.AsyncClient(base_url=limited_address, timeout=60) as client:
        yield client


@pytest.fixture
async def meeting(stage: ApiHarness) -> str:
    meeting, writer = await create_written_meeting(stage)
    writer.write_sentences(make_sentence("1.0", "I will send the budget.", 0.0, "Ann"))
    return meeting


def spend(stage: ApiHarness, tokens: int) -> None:
    with stage.engine.begin() as connection:
        add_usage(connection, "default", InsightRole.INSIGHT, tokens)


async def request_all(client: httpx.AsyncClient, meeting: str) -> dict[str, httpx.Response]:
    """Send a request of each kind that a model answers."""
    session = f"{API}/sessions/{meeting}"
    conversation = (await client.post(f"{session}/agent/conversations", json={})).json()["id"]
    messages = f"{API}/agent/conversations/{conversation}/messages"
    return {
        "insight": await client.post(f"{session}/insights/generate", json={"templates": ["key_decisions"]}),
        "note": await client.post(f"{session}/notes/analyze", json={"sentences": ["1.0"], "task": "Sum it up."}),
        "question": await client.post(messages, json={"question": "Who?"}, params={"wait_s": 0}),
        "stream": await client.post(f"{messages}/stream", json={"question": "Who?"}),
    }


async def test_requests_beyond_the_quota_are_refused_until_the_day_ends(
    stage: ApiHarness, limited: httpx.AsyncClient, meeting: str
) -> None:
    spend(stage, QUOTA)
    for response in (await request_all(limited, meeting)).values():
        assert (response.status_code, response.json()["type"]) == (429, "urn:parley:problem:token_quota")
        assert "the team has used 1,000 of its 1,000 tokens of the day; more in" in response.json()["detail"]
        assert 0 < int(response.headers["retry-after"]) <= 86_400
    # Nothing was stored that would be answered tomorrow. What needs no model goes on.
    assert (await limited.get(f"{API}/sessions/{meeting}/insights")).json()["insights"] == []
    assert (await limited.get(f"{API}/sessions/{meeting}/notes")).json()["notes"] == []
    [conversation] = (await limited.get(f"{API}/sessions/{meeting}/agent/conversations")).json()["conversations"]
    assert (await limited.get(f"{API}/agent/conversations/{conversation['id']}")).json()["messages"] == []
    assert (await limited.post(f"{API}/sessions/{meeting}/notes", json={"text": "Ann pays."})).status_code == 201


async def test_the_last_fifth_is_for_notes(stage: ApiHarness, limited: httpx.AsyncClient, meeting: str) -> None:
    spend(stage, QUOTA * 4 // 5)
    responses = await request_all(limited, meeting)
    assert {kind: response.status_code for kind, response in responses.items()} == {
        "insight": 429,
        "note": 202,
        "question": 429,
        "stream": 429,
    }
    assert "the rest is for running notes" in responses["insight"].json()["detail"]


async def test_usage_is_listed_by_day_and_role_and_measured(stage: ApiHarness, limited: httpx.AsyncClient) -> None:
    empty = (await limited.get(f"{API}/usage")).json()
    assert (empty["used_today"], empty["daily_tokens"], empty["usage"]) == (0, QUOTA, [])
    spend(stage, 30)
    with stage.engine.begin() as connection:
        connection.exec_driver_sql("update token_usage set day = day - 6")
    spend(stage, 20)
    usage = (await limited.get(f"{API}/usage")).json()
    assert (usage["used_today"], [row["prompt_tokens"] for row in usage["usage"]]) == (20, [20, 30])
    assert usage["usage"][0]["role"] == "insight"
    assert len((await limited.get(f"{API}/usage", params={"days": 6})).json()["usage"]) == 1
    assert (await limited.get(f"{API}/usage", params={"days": 0})).status_code == 422
    metrics = (await limited.get("/metrics")).text.splitlines()
    assert 'parley_tokens_today{team="default"} 20.0' in metrics
    assert 'parley_tokens_today_limit{team="default"} 1000.0' in metrics
    without_limit = (await stage.http.get(f"{API}/usage")).json()
    assert (without_limit["used_today"], without_limit["daily_tokens"]) == (20, None)


async def refuse(request: InsightRequest) -> Insight:
    raise QuotaExceededError("the team has used 800 of its 1,000 tokens of the day")


async def test_a_pending_insight_waits_for_the_next_day_and_says_why(
    stage: ApiHarness, limited: httpx.AsyncClient, meeting: str, aengine: AsyncEngine
) -> None:
    await limited.post(f"{API}/sessions/{meeting}/insights/generate", json={"templates": ["key_decisions"]})
    writer = InsightWriter(aengine, refuse)
    await writer.start_due()
    await writer.finish_running()
    [insight] = (await limited.get(f"{API}/sessions/{meeting}/insights")).json()["insights"]
    assert insight["status"] == "pending"
    assert insight["reason"] == "the team has used 800 of its 1,000 tokens of the day"


async def test_a_question_fails_at_once(
    stage: ApiHarness, limited: httpx.AsyncClient, meeting: str, aengine: AsyncEngine
) -> None:
    conversation = (await limited.post(f"{API}/sessions/{meeting}/agent/conversations", json={})).json()["id"]
    messages = f"{API}/agent/conversations/{conversation}/messages"
    question = (await limited.post(messages, json={"question": "Who?"}, params={"wait_s": 0})).json()
    answerer = QuestionAnswerer(aengine, refuse, embed_no_question)
    while await answerer.start_due():
        await answerer.finish_running()
    message = (await limited.get(f"{API}/agent/messages/{question['id']}")).json()
    assert message["status"] == "failed"
    assert message["reason"] == "the team has used 800 of its 1,000 tokens of the day"
