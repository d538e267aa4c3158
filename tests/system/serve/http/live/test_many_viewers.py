"""Load test: a thousand viewers of a meeting on one replica of the API, behind Serve's proxy."""

from __future__ import annotations

import asyncio
import json
import resource
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import redis
import websockets
from ray import serve as ray_serve
from sqlalchemy import Engine, text
from websockets.asyncio.client import ClientConnection, connect

from serve.deploy.builders import API_APP, API_ROUTE, ApiOptions, build_api

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness", "tests.harness.processes.ray_cluster"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

VIEWER_COUNT = ApiOptions("", "").streams
MAX_OPENING = 50
"""Viewers that connect at the same time."""
MIN_OPEN_FILES = 4 * VIEWER_COUNT


@pytest.fixture
def files() -> Iterator[None]:
    """Room for the sockets, in this process and in those that Ray starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < MIN_OPEN_FILES:
        pytest.skip(f"{VIEWER_COUNT} viewers need `ulimit -n {MIN_OPEN_FILES}`, and this machine allows {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, MIN_OPEN_FILES), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
async def stage(
    files: None,
    request: pytest.FixtureRequest,
    postgres_url: str,
    redis_url: str,
    engine: Engine,
    redis_sync: redis.Redis,
    clean_database: None,
) -> AsyncIterator[ApiHarness]:
    from tests.harness.api.api_harness import ApiHarness

    address = request.getfixturevalue("ray_cluster")
    options = ApiOptions(postgres_url, redis_url, lane_silence=600)
    ray_serve.run(build_api(options), name=API_APP, route_prefix=API_ROUTE)
    with engine.begin() as conn:
        conn.execute(text("insert into lanes (id, kind, state) values ('live-1', 'live', 'running')"))
    async with httpx.AsyncClient(base_url=address, timeout=60) as client:
        yield ApiHarness(client, engine, redis_sync)
    ray_serve.delete(API_APP)


async def next_event(viewer: ClientConnection) -> dict[str, Any]:
    while (event := json.loads(await viewer.recv()))["kind"] == "ping":
        pass
    return event


async def test_a_thousand_viewers_and_requests_are_served_together(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    path = f"/api/meetings/{meeting}/events"
    live = f"ws://{stage.address}{path}"
    async with AsyncExitStack() as stack, asyncio.timeout(300):
        began = time.perf_counter()
        viewers: list[ClientConnection] = []

        async def view() -> None:
            viewer = await stack.enter_async_context(connect(live, open_timeout=120, close_timeout=0.1))
            assert json.loads(await viewer.recv())["kind"] == "ping"
            viewers.append(viewer)

        for _ in range(0, VIEWER_COUNT, MAX_OPENING):
            await asyncio.gather(*(view() for _ in range(MAX_OPENING)))
        opened = time.perf_counter()

        async with connect(live, open_timeout=60) as one_more:
            with pytest.raises(websockets.ConnectionClosedError) as closed:
                await one_more.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1013
        refused = await stage.http.get(path)
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) > 0
        assert (await stage.http.get("/health")).is_success
        chunk = {"chunk_id": "c", "speaker": "Ann", "text": "Good morning.", "start": 0, "end": 1}
        event = {"event_id": "e", "kind": "chunk", "payload": chunk}
        assert (await stage.http.post(path, json={"events": [event]})).is_success

        spoken = time.perf_counter()
        stage.publish_sentences(meeting, "Good morning.")
        found = await asyncio.gather(*map(next_event, viewers))
        assert [each["seq"] for each in found] == [1] * VIEWER_COUNT
        print(f"opened in {opened - began:.1f} s; all had an event {time.perf_counter() - spoken:.2f} s after it")
