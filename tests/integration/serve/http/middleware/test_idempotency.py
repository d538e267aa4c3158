"""Tests serve/http/middleware/idempotency.py."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import redis

from serve.app_options import ApiOptions
from serve.http.middleware import idempotency
from storage import redis_keys
from tests.harness.api.server_thread import run_api
from tests.harness.lane.fake_lane_writer import create_written_meeting

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]

KEY = {"idempotency-key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}


async def add_note(stage: ApiHarness, meeting: str, text: str = "Ann pays.", **headers: str) -> httpx.Response:
    path = f"/api/intelligence/sessions/{meeting}/notes"
    return await stage.http.post(path, json={"text": text}, headers=KEY | headers)


async def count_notes(stage: ApiHarness, meeting: str) -> int:
    return len((await stage.http.get(f"/api/intelligence/sessions/{meeting}/notes")).json()["notes"])


@pytest.fixture
async def meeting(stage: ApiHarness) -> str:
    return (await create_written_meeting(stage))[0]


async def test_a_repeated_request_gets_the_first_answer_and_changes_nothing(stage: ApiHarness, meeting: str) -> None:
    first, again = await add_note(stage, meeting), await add_note(stage, meeting)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["content-type"] == first.headers["content-type"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert await count_notes(stage, meeting) == 1
    other = await add_note(stage, meeting, **{"idempotency-key": "other"})
    assert other.json()["id"] != first.json()["id"]
    assert await count_notes(stage, meeting) == 2


async def test_requests_at_the_same_time_are_one(stage: ApiHarness, meeting: str) -> None:
    answers = await asyncio.gather(*(add_note(stage, meeting) for _ in range(10)))
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert await count_notes(stage, meeting) == 1


async def test_an_answer_without_a_body_is_repeated(stage: ApiHarness, meeting: str) -> None:
    note = (await add_note(stage, meeting)).json()["id"]
    answers = [await stage.http.delete(f"/api/intelligence/notes/{note}", headers=KEY) for _ in range(2)]
    assert [(answer.status_code, answer.content) for answer in answers] == [(204, b"")] * 2


async def test_a_key_is_for_one_request(stage: ApiHarness, meeting: str) -> None:
    await add_note(stage, meeting)
    different = await add_note(stage, meeting, "Bob pays.")
    assert (different.status_code, different.json()["errors"]) == (
        422,
        [{"field": "Idempotency-Key", "detail": "was used for another request; choose a new one"}],
    )
    # Another path, method or query is another request.
    assert (await stage.http.post("/api/meetings", json={}, headers=KEY)).status_code == 201
    assert await count_notes(stage, meeting) == 1


@pytest.mark.parametrize("key", ["", "two words", "a" * 256, "tab\there"])
async def test_an_invalid_key_is_named(stage: ApiHarness, meeting: str, key: str) -> None:
    answer = await add_note(stage, meeting, **{"idempotency-key": key})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "Idempotency-Key")


async def test_a_refusal_is_repeated_and_an_overload_is_not(
    stage: ApiHarness, postgres_url: str, redis_url: str
) -> None:
    refused = [await stage.http.post("/api/meetings", json={"clock": "recorded"}, headers=KEY) for _ in range(2)]
    assert [answer.status_code for answer in refused] == [422, 422]
    assert refused[1].headers["idempotency-replayed"] == "true"
    with run_api(ApiOptions(postgres_url, redis_url, max_live=1)) as address:
        async with httpx.AsyncClient(base_url=address, timeout=60) as client:
            first = (await client.post("/api/meetings", json={})).json()["id"]
            body: dict[str, Any] = {"title": "Second"}
            assert (
                await client.post("/api/meetings", json=body, headers=KEY | {"idempotency-key": "x"})
            ).status_code == 429
            stage.set_status(first, "ended")
            again = await client.post("/api/meetings", json=body, headers=KEY | {"idempotency-key": "x"})
            assert again.status_code == 201


async def test_a_large_answer_is_not_kept(stage: ApiHarness, meeting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The API runs in a thread of this process.
    monkeypatch.setattr(idempotency, "MAX_STORED_BYTES", 10)
    first, again = await add_note(stage, meeting), await add_note(stage, meeting)
    assert first.json()["id"] != again.json()["id"]


async def test_a_claim_of_a_process_that_died_expires(stage: ApiHarness, meeting: str, redis_sync: redis.Redis) -> None:
    path = f"/api/intelligence/sessions/{meeting}/notes"
    name = redis_keys.idempotent_response(f"default:POST:{path}?:{KEY['idempotency-key']}")
    redis_sync.set(name, "claimed", px=300)
    answer = await add_note(stage, meeting)
    assert answer.status_code == 201
    assert 0 < redis_sync.ttl(name) <= 24 * 3600
    assert "Ann pays." not in json.dumps(redis_sync.keys())


async def test_without_redis_a_request_with_a_key_waits(postgres_url: str, clean_database: None) -> None:
    with run_api(ApiOptions(postgres_url, "redis://127.0.0.1:1/0")) as address:
        async with httpx.AsyncClient(base_url=address, timeout=60) as client:
            answer = await client.post("/api/glossaries", json={"name": "Names"}, headers=KEY)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
            # Without a key it needs Postgres only.
            assert (await client.post("/api/glossaries", json={"name": "Names"})).status_code == 201
