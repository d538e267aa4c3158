"""cluster/api_client.py: retries, waits and errors of the API client."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from cluster import api_client as client_module
from cluster.api_client import ApiClient, ApiError, SendResult, identify_server
from cluster.recordings.player import await_captions
from serve.app_options import ApiOptions
from tests.harness.api.server_thread import run_api, run_app

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_a_local_server_is_reached_without_the_proxy(
    stage: ApiHarness, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setattr(client_module, "IDENTIFY_TIMEOUT_S", 60.0)
    assert identify_server(f"http://{stage.address}") == "parley"
    async with ApiClient(f"http://{stage.address}") as client:
        opened = await client.open_meeting({"title": "Here"})
        assert (await client.meeting(opened["id"]))["title"] == "Here"


def test_a_closed_port_is_identified_as_nobody() -> None:
    assert identify_server("http://127.0.0.1:9") == "nobody"


async def test_the_client_waits_while_the_lane_is_behind(stage: ApiHarness, postgres_url: str, redis_url: str) -> None:
    log_id = stage.add_uncommitted_entry(seconds=31)
    with run_api(ApiOptions(postgres_url, redis_url)) as address:
        async with ApiClient(address) as client:
            meeting = (await client.open_meeting({}))["id"]
            said = {"chunk_id": "1", "speaker": "Ann", "text": "Hi.", "start": 0, "end": 1}

            async def refused() -> int:
                return (await client.meeting(meeting))["counters"].get("refused:lag", 0)

            # Each has its own id, so that the first event that waits is detected.
            sending: list[asyncio.Task[SendResult]] = []
            async with asyncio.timeout(150):
                while not await refused():
                    event = {"event_id": f"e{len(sending)}", "payload": said}
                    sending.append(asyncio.create_task(client.send(meeting, [event])))
                    await asyncio.sleep(0.1)
                assert not all(task.done() for task in sending)
                stage.set_committed(log_id)
                assert {(await task).accepted for task in sending} == {1}


@pytest.mark.parametrize("wait", ["86400", "inf", "nan", "-5", "Wed, 21 Oct 2026 07:28:00 GMT"])
async def test_a_retry_after_header_of_a_proxy_is_limited(wait: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_RETRY_AFTER_S", 0.1)
    app, requested_paths = FastAPI(), list[str]()

    @app.get("/api/lanes")
    async def lanes() -> Response:  # pyright: ignore[reportUnusedFunction]
        requested_paths.append("lanes")
        if len(requested_paths) == 1:
            return Response("try later", 503, {"Retry-After": wait})
        return JSONResponse({"lanes": []})

    with run_app(app) as address:
        async with ApiClient(address) as client, asyncio.timeout(60):
            assert await client.lanes() == []


async def test_a_write_whose_answer_was_lost_is_not_written_twice(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    lost = list[int]()
    app = FastAPI()

    @app.api_route("/{path:path}", methods=["GET", "POST"])
    async def forward(path: str, request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        headers = {name: value for name, value in request.headers.items() if name != "host"}
        answer = await stage.http.request(request.method, f"/{path}", content=await request.body(), headers=headers)
        if request.method == "POST" and not lost:
            lost.append(answer.status_code)
            return Response("the answer was lost", 502)
        return Response(answer.content, answer.status_code, media_type=answer.headers["content-type"])

    with run_app(app) as address:
        async with ApiClient(address) as client:
            note = await client.add_note(meeting, "Ann pays.", pinned=False)
            assert lost == [201]
            assert [each["id"] for each in await client.notes(meeting)] == [note["id"]]


async def test_a_permanent_problem_is_raised_at_once(stage: ApiHarness, postgres_url: str, redis_url: str) -> None:
    with run_api(ApiOptions(postgres_url, redis_url, max_live=1)) as address:
        async with ApiClient(address) as client:
            await client.open_meeting({})
            with pytest.raises(ApiError, match="no more than 1 live meetings"):
                await client.open_meeting({})


async def test_waiting_for_captions_raises_if_the_meeting_failed(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    with stage.engine.begin() as conn:
        conn.exec_driver_sql("update meetings set status = 'failed', end_reason = 'its state can not be read'")
    async with ApiClient(f"http://{stage.address}") as client, asyncio.timeout(60):
        with pytest.raises(ApiError, match=f"{meeting} failed: its state can not be read"):
            await await_captions(client, meeting, lambda _: None)
