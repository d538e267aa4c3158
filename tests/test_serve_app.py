"""serve/app.py: both applications on a real Ray, as in production."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest
import redis
from ray import serve as ray_serve
from ray.exceptions import RayTaskError
from ray.serve.handle import DeploymentHandle
from sqlalchemy import Engine, text
from websockets.asyncio.client import connect

from operators.errors import Unavailable
from operators.models import Firefox
from operators.translation import CaptionStatus, Translation, TranslationRequest
from serve import app
from serve.app import API_APP, API_ROUTE, TRANSLATION_APP, ApiOptions, TranslationOptions, build_api, build_translation
from serve.engines.engine import Answer, Generation, Utterance
from serve.translation import TranslationService
from storage import keys

if TYPE_CHECKING:
    from tests.api_server import Stage

pytest_plugins = ["tests.api_server", "tests.ray_cluster"]

REQUEST = TranslationRequest("default", "m", "s1", 1, "pt-BR", None, "The meeting starts on Monday.")


@pytest.fixture(scope="module")
def address(ray_cluster: str, postgres_url: str, redis_url: str) -> str:
    """Both applications, and where the API is."""
    options = ApiOptions(postgres_url, redis_url, heartbeat=0.3)
    ray_serve.run(build_translation(TranslationOptions()), name=TRANSLATION_APP, route_prefix=None)
    ray_serve.run(build_api(options), name=API_APP, route_prefix=API_ROUTE)
    return ray_cluster


@pytest.fixture
async def served(address: str, engine: Engine, redis_sync: redis.Redis, clean_database: None) -> AsyncIterator[Stage]:
    from tests.api_server import Stage

    with engine.begin() as conn:
        conn.execute(text("insert into lanes (id, kind, state) values ('live-1', 'live', 'running')"))
    async with httpx.AsyncClient(base_url=address, timeout=20) as client:
        yield Stage(client, engine, redis_sync)


@pytest.fixture
def translation(address: str) -> DeploymentHandle:
    return ray_serve.get_app_handle(TRANSLATION_APP)


async def test_the_translation_application_answers_by_its_handle(translation: DeploymentHandle) -> None:
    answer = await translation.translate.remote(REQUEST)
    assert answer == Translation(CaptionStatus.TRANSLATED, "A reunião começa na segunda-feira.", answer.engine)
    numbers = range(20)
    answers = await asyncio.gather(
        *(translation.translate.remote(replace(REQUEST, text=f"We have {n} open points.")) for n in numbers)
    )
    assert all(each.status is CaptionStatus.TRANSLATED for each in answers)


async def test_the_api_serves_meetings_and_knows_that_all_is_there(served: Stage) -> None:
    assert (await served.http.get("/ready")).json() == {
        "ready": True,
        "parts": {"postgres": "ok", "redis": "ok", "lanes": "ok", "translation": "ok"},
    }
    meeting = await served.begin(title="Over Serve")
    chunk = {"chunk_id": "1", "speaker": "A", "text": "Hi.", "start": 0, "end": 1}
    answer = await served.http.post(f"/api/meetings/{meeting}/events", json={"events": [{"payload": chunk}]})
    assert answer.json()["accepted"] == 1
    wrong = await served.http.post(f"/api/meetings/{meeting}/events", json={"events": [{"payload": {}}]})
    assert (wrong.status_code, wrong.headers["content-type"]) == (422, "application/problem+json")
    assert "parley_meetings" in (await served.http.get("/metrics")).text
    assert (await served.http.get("/nowhere")).status_code == 404


async def test_live_events_pass_the_proxy_over_a_websocket(served: Stage) -> None:
    meeting = await served.begin()
    served.say(meeting, "one")
    kinds: list[str] = []
    async with asyncio.timeout(20), connect(f"ws://{served.address}/api/meetings/{meeting}/events") as socket:
        async for message in socket:
            event = json.loads(message)
            if event["kind"] != "ping":
                kinds.append(event["kind"])
            if len(kinds) == 1 and event["kind"] == "sentence":
                served.say(meeting, "two")
                served.turn(meeting, "ended")
    assert kinds == ["sentence", "sentence"]
    assert socket.close_code == 1000


async def test_live_events_pass_the_proxy_as_server_sent_events(served: Stage) -> None:
    meeting = await served.begin()
    served.say(meeting, "one", "two")
    path = f"/api/meetings/{meeting}/events"
    async with asyncio.timeout(20), served.http.stream("GET", path) as answer:
        ids: list[str] = []
        async for line in answer.aiter_lines():
            if line.startswith("id: "):
                ids.append(line)
            if line == "id: 2":
                served.say(meeting, "three")
            if line == "id: 3":
                break
    assert ids == ["id: 1", "id: 2", "id: 3"]
    # The replica notices that the client is gone.
    async with asyncio.timeout(20):
        while served.redis.pubsub_numsub(keys.live(meeting)) != [(keys.live(meeting), 0)]:
            await asyncio.sleep(0.1)
    served.turn(meeting, "ended")
    assert (await served.http.get(path, headers={"Last-Event-ID": "3"})).status_code == 204


def test_unavailable_is_recognised_across_processes(address: str) -> None:
    class Broken:
        async def translate(self) -> None:
            raise Unavailable("later")

    handle = ray_serve.run(ray_serve.deployment(Broken).bind(), name="broken", route_prefix=None)
    with pytest.raises(Unavailable, match="later") as caught:
        handle.translate.remote().result()
    assert isinstance(caught.value, RayTaskError)
    ray_serve.delete("broken")


class Wedging:
    """An engine that answers with its process, until it is told to stop: then it takes questions and says nothing."""

    name = "wedging"
    version = "1"
    sources = frozenset({"en"})

    def __init__(self) -> None:
        self.wedged = False

    def supports(self, source: str, target: str) -> bool:
        return True

    async def generate(self, question: Utterance) -> Answer:
        self.wedged = self.wedged or question.text == "Please stop."
        await self.check_health()
        yield Generation(str(os.getpid()), "wedging", "stop", 0, 0, 0.0, 0.0)

    async def check_health(self) -> None:
        if self.wedged:
            await asyncio.Event().wait()

    async def close(self) -> None:
        pass


async def test_a_replica_whose_engine_says_nothing_is_replaced(ray_cluster: str) -> None:
    deployment = app.engine_deployment("TranslationService", Firefox(cpus=0.1))
    application = deployment(TranslationService).bind(Wedging, 0)
    handle = ray_serve.run(application, name="wedging", route_prefix=None)

    async def answered_by(text: str) -> str | None:
        response = handle.translate.remote(replace(REQUEST, source_language="en", text=text))
        try:
            return (await asyncio.wait_for(response, 2)).text
        except TimeoutError:
            response.cancel()
            return None

    first = await answered_by("Hello to all of you.")
    assert first is not None
    assert await answered_by("Please stop.") is None
    # 30 s until it is evicted, and what a new one takes to start.
    async with asyncio.timeout(90):
        while (second := await answered_by("Hello to all of you.")) is None:
            await asyncio.sleep(0.5)
    assert second != first
    ray_serve.delete("wedging")


def test_nothing_listens_beyond_this_machine(address: str) -> None:
    listening = [
        (process.name(), connection.laddr.ip)
        for process in psutil.Process().children(recursive=True)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening
    assert [each for each in listening if each[1] not in ("127.0.0.1", "::1", "::ffff:127.0.0.1")] == []
