"""Tests serve/http/ingest_routes.py and serve/http/middleware/body_limit.py."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest

from serve.app_options import ApiOptions
from storage.redis_log.lane_stream import LaneStream
from tests.harness.api.server_thread import run_api

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]


def make_chunk(number: int = 1, **fields: Any) -> dict[str, Any]:
    spoken = {"chunk_id": str(number), "speaker": "Ana", "text": "Hello.", "start": number, "end": number + 1}
    return spoken | fields


async def test_events_are_accepted_once(stage: ApiHarness) -> None:
    path = f"/api/meetings/{await stage.create_meeting()}/events"
    events = [{"event_id": "a", "payload": make_chunk(1)}, {"event_id": "b", "payload": make_chunk(2)}]
    first = (await stage.http.post(path, json={"events": events})).json()
    assert [(r["event_id"], r["outcome"], r["ordinal"]) for r in first["results"]] == [
        ("a", "accepted", 2),
        ("b", "accepted", 3),
    ]
    again = await stage.http.post(path, json={"events": events})
    assert again.status_code == 200
    assert (again.json()["accepted"], again.json()["repeated"]) == (0, 2)


async def test_an_event_without_an_id_gets_one(stage: ApiHarness) -> None:
    path = f"/api/meetings/{await stage.create_meeting()}/events"
    answer = (
        await stage.http.post(path, json={"events": [{"payload": make_chunk()}, {"payload": make_chunk()}]})
    ).json()
    assert answer["accepted"] == 2
    assert len({result["event_id"] for result in answer["results"]}) == 2


async def test_invalid_events_do_not_reject_the_valid_ones(stage: ApiHarness) -> None:
    path = f"/api/meetings/{await stage.create_meeting()}/events"
    events = [
        {"event_id": "a", "payload": make_chunk(1)},
        {"payload": make_chunk(2, text=None, speaker="")},
        {"kind": "started", "payload": {}},
        {"kind": "moved", "payload": {"lane": "live-2"}},
        {"event_id": "b", "payload": make_chunk(3)},
        {"payload": make_chunk(4, text="secret words " * 2_000)},
        "secret words",
        {"payload": make_chunk(5, language="secret words")},
        {"payload": make_chunk(6, resubmitted=True)},
    ]
    answer = await stage.http.post(path, json={"events": events})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert [(r["index"], r["outcome"]) for r in body["results"]] == [(0, "accepted"), (4, "accepted")]
    fields = {error["field"]: error["detail"] for error in body["errors"]}
    assert set(fields) == {
        "events.1.payload.text",
        "events.1.payload.speaker",
        "events.2.kind",
        "events.3.kind",
        "events.5.payload.text",
        "events.6",
        "events.7.payload.language",
        "events.8.payload.resubmitted",
    }
    assert "20000" in fields["events.5.payload.text"]
    assert "secret" not in answer.text


async def test_a_batch_of_invalid_events_appends_nothing(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    answer = await stage.http.post(f"/api/meetings/{meeting}/events", json={"events": [{"payload": {}}]})
    assert answer.status_code == 422
    assert answer.json()["results"] == []
    assert (await stage.http.get(f"/api/meetings/{meeting}")).json()["last_accepted"] == 1


@pytest.mark.parametrize("body", [{}, {"events": {}}, {"events": [], "more": 1}, [], "x", None])
async def test_a_body_of_another_shape_is_rejected(stage: ApiHarness, body: Any) -> None:
    answer = await stage.http.post(f"/api/meetings/{await stage.create_meeting()}/events", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"]


async def test_a_body_that_is_no_json_is_rejected_and_not_quoted(stage: ApiHarness) -> None:
    path = f"/api/meetings/{await stage.create_meeting()}/events"
    answer = await stage.http.post(path, content='{"secret', headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert "secret" not in answer.text


async def test_more_than_a_thousand_events_are_rejected(stage: ApiHarness) -> None:
    answer = await stage.http.post(
        f"/api/meetings/{await stage.create_meeting()}/events", json={"events": [{}] * 1_001}
    )
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "events"


async def test_a_closed_meeting_refuses_events(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    path = f"/api/meetings/{meeting}/events"
    await stage.http.post(f"/api/meetings/{meeting}/pause")
    answer = await stage.http.post(path, json={"events": [{"payload": make_chunk()}]})
    assert (answer.status_code, answer.json()["reason"]) == (409, "paused")
    await stage.http.post(f"/api/meetings/{meeting}/resume")
    last = {"events": [{"payload": make_chunk()}, {"kind": "ended"}, {"payload": make_chunk(2)}]}
    mixed = await stage.http.post(path, json=last)
    assert mixed.status_code == 200
    assert [result["outcome"] for result in mixed.json()["results"]] == ["accepted", "accepted", "refused"]
    closed = await stage.http.post(path, json={"events": [{"payload": make_chunk(3)}]})
    assert (closed.status_code, closed.json()["reason"], closed.json()["refused"]) == (409, "ended", 1)


async def test_a_failed_meeting_refuses_events(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    LaneStream(stage.redis, "live-1").refuse_all(meeting)
    stage.set_status(meeting, "failed")
    answer = await stage.http.post(f"/api/meetings/{meeting}/events", json={"events": [{"payload": make_chunk()}]})
    assert (answer.status_code, answer.json()["reason"]) == (409, "failed")
    assert "end_reason" in answer.json()["detail"]


@pytest.fixture
async def strict(stage: ApiHarness, postgres_url: str, redis_url: str) -> AsyncIterator[ApiHarness]:
    """The stage with an API that rejects events for a lane more than 30 s behind, which is the default."""
    with run_api(ApiOptions(postgres_url, redis_url)) as address:
        async with httpx.AsyncClient(base_url=address, timeout=60) as client:
            yield replace(stage, http=client)


async def send_until_refused(strict: ApiHarness, meeting: str, *events: dict[str, Any]) -> httpx.Response:
    """Send events until they are rejected, soon after their lane fell behind."""
    async with asyncio.timeout(60):
        while True:
            answer = await strict.http.post(f"/api/meetings/{meeting}/events", json={"events": list(events)})
            if answer.status_code == 429:
                return answer
            await asyncio.sleep(0.05)


async def test_events_for_a_lagging_lane_are_rejected(strict: ApiHarness) -> None:
    clock = asyncio.get_running_loop().time
    began = clock()
    strict.add_uncommitted_entry(seconds=33)
    meeting, recorded = (
        await strict.create_meeting(),
        await strict.create_meeting(clock="recorded", began_at=1_700_000_000_000),
    )
    path = f"/api/meetings/{meeting}/events"
    same = {"event_id": "a", "payload": make_chunk()}
    await send_until_refused(strict, meeting, same)
    before = (await strict.http.get(f"/api/meetings/{meeting}")).json()
    answer = await strict.http.post(
        path, json={"events": [{"payload": make_chunk(2)}, {"payload": {}}, {"kind": "ended"}]}
    )
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (429, "urn:parley:problem:lag")
    assert answer.headers["retry-after"] == str(problem["retry_after"])
    # The lane is behind since some moment in the second of `began`, and at most until now.
    assert 3 <= problem["retry_after"] <= 3 + math.ceil(clock() - began) + 1
    async with asyncio.timeout(60):
        # Refusals are stored after a moment: one event before, and three of this batch.
        while (after := (await strict.http.get(f"/api/meetings/{meeting}")).json())["counters"].get("refused:lag") != 4:
            await asyncio.sleep(0.05)
    assert after["last_accepted"] == before["last_accepted"], "all or nothing"
    assert "refused:invalid" not in after["counters"]
    # A meeting of another lane is not affected, and this one may end.
    to_other_lane = {"events": [{"at": 1_700_000_000_000, "payload": make_chunk()}]}
    assert (await strict.http.post(f"/api/meetings/{recorded}/events", json=to_other_lane)).json()["accepted"] == 1
    assert (await strict.http.post(path, json={"events": []})).status_code == 200
    assert (await strict.http.post(path, json={"events": [{"kind": "ended"}]})).json()["accepted"] == 1
    over = await strict.http.post(path, json={"events": [same | {"event_id": "b"}]})
    assert (over.status_code, over.json()["reason"]) == (409, "ended")
    assert (await strict.http.post(f"/api/meetings/{uuid4()}/events", json={"events": [same]})).status_code == 404


async def test_events_are_accepted_once_the_lane_has_caught_up(strict: ApiHarness) -> None:
    log_id = strict.add_uncommitted_entry()
    meeting = await strict.create_meeting()
    answer = await send_until_refused(strict, meeting, {"event_id": "a", "payload": make_chunk()})
    assert answer.json()["retry_after"] == 30
    strict.set_committed(log_id)
    async with asyncio.timeout(60):
        while True:
            events = {"events": [{"event_id": "b", "payload": make_chunk()}]}
            answer = await strict.http.post(f"/api/meetings/{meeting}/events", json=events)
            if answer.status_code == 200:
                break
            await asyncio.sleep(0.05)
    assert answer.json()["accepted"] == 1


async def test_the_lease_of_a_recorded_meeting_is_renewed_under_backpressure(strict: ApiHarness) -> None:
    strict.add_uncommitted_entry("batch-1")
    meeting = await strict.create_meeting(clock="recorded", began_at=1_700_000_000_000)
    said = {"at": 1_700_000_000_000, "payload": make_chunk()}
    await send_until_refused(strict, meeting, said)
    lease = strict.redis.hget(f"meeting:{meeting}", "lease_until")
    await asyncio.sleep(0.01)
    await send_until_refused(strict, meeting, said)
    assert int(str(strict.redis.hget(f"meeting:{meeting}", "lease_until"))) > int(str(lease))


async def test_an_empty_batch_renews_the_lease_of_a_recorded_meeting(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting(clock="recorded", began_at=1_700_000_000_000)
    lease = stage.redis.hget(f"meeting:{meeting}", "lease_until")
    answer = await stage.http.post(f"/api/meetings/{meeting}/events", json={"events": []})
    assert answer.json() == {"results": [], "accepted": 0, "repeated": 0, "refused": 0}
    assert int(str(stage.redis.hget(f"meeting:{meeting}", "lease_until"))) > int(str(lease))


async def test_an_event_of_a_recorded_meeting_requires_its_time(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting(clock="recorded", began_at=1_700_000_000_000)
    answer = await stage.http.post(f"/api/meetings/{meeting}/events", json={"events": [{"payload": make_chunk()}]})
    assert (answer.status_code, answer.json()["reason"]) == (409, "no_time")
    timed = {"events": [{"payload": make_chunk(), "at": 1_700_000_001_000}]}
    assert (await stage.http.post(f"/api/meetings/{meeting}/events", json=timed)).json()["accepted"] == 1


async def test_a_body_that_is_too_large_is_rejected(stage: ApiHarness) -> None:
    path = f"/api/meetings/{await stage.create_meeting()}/events"
    announced = await stage.http.post(path, content=b"x" * 1_000_001)

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 100_000

    streamed = await stage.http.post(path, content=parts(), headers={"content-type": "application/json"})
    for answer in (announced, streamed):
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["type"] == "urn:parley:problem:too-large"
