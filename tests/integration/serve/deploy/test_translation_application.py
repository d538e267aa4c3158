"""Tests of the translation and HTTP applications on a real Ray, as in production."""

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
import ray
import redis
from prometheus_client.parser import text_string_to_metric_families
from ray import serve as ray_serve
from ray.exceptions import RayTaskError
from ray.serve.handle import DeploymentHandle
from sqlalchemy import Engine, text
from websockets.asyncio.client import connect

from operators.engine_config import EnginesConfig, FirefoxConfig, OpenAiConfig
from operators.errors import UnavailableError
from operators.translation_requests import CaptionStatus, Translation, TranslationRequest
from serve.deploy import deployment
from serve.deploy.builders import (
    API_APP,
    API_ROUTE,
    DEFAULT_TRANSLATION_APP,
    DOWNSCALE_DELAY_S,
    SHUTDOWN_TIMEOUT_S,
    ApiOptions,
    TranslationOptions,
    build_api,
    build_translation,
)
from serve.deploy.deployment import make_deployment
from serve.engines import health_check
from serve.engines.protocol import Generation, TokenStream, Utterance
from serve.engines.remote.circuit_breaker import MAX_FAILURE_COUNT
from serve.translation.translation_service import TranslationService
from storage import redis_keys
from storage.postgres.engine_config_versions import save_settings_config
from tests.harness.doubles import openai_server
from tests.harness.processes.parley_up import listening_addresses
from tests.integration.flows.translation.test_serve_client import count_controllers

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness", "tests.harness.processes.ray_cluster"]

REQUEST = TranslationRequest("default", "m", "s1", 1, "pt-BR", None, "The meeting starts on Monday.")


@pytest.fixture(scope="module")
def address(ray_cluster: str, postgres_url: str, redis_url: str) -> str:
    """Run both applications; the address of the API."""
    options = ApiOptions(postgres_url, redis_url, heartbeat=0.3, lane_silence=600)
    ray_serve.run(build_translation(TranslationOptions()), name=DEFAULT_TRANSLATION_APP, route_prefix=None)
    ray_serve.run(build_api(options), name=API_APP, route_prefix=API_ROUTE)
    return ray_cluster


@pytest.fixture
async def served(
    address: str, engine: Engine, redis_sync: redis.Redis, clean_database: None
) -> AsyncIterator[ApiHarness]:
    from tests.harness.api.api_harness import ApiHarness

    with engine.begin() as conn:
        conn.execute(text("insert into lanes (id, kind, state) values ('live-1', 'live', 'running')"))
    async with httpx.AsyncClient(base_url=address, timeout=60) as client:
        yield ApiHarness(client, engine, redis_sync)


@pytest.fixture
def translation(address: str) -> DeploymentHandle:
    return ray_serve.get_app_handle(DEFAULT_TRANSLATION_APP)


async def test_translation_application_answers_through_its_handle(translation: DeploymentHandle) -> None:
    answer = await translation.translate.remote(REQUEST)
    assert answer == Translation(CaptionStatus.TRANSLATED, "A reunião começa na segunda-feira.", answer.engine)
    numbers = range(20)
    answers = await asyncio.gather(
        *(translation.translate.remote(replace(REQUEST, text=f"We have {n} open points.")) for n in numbers)
    )
    assert all(each.status is CaptionStatus.TRANSLATED for each in answers)


async def test_api_serves_meetings_and_is_ready(served: ApiHarness) -> None:
    async with asyncio.timeout(60):
        # A component that answers late counts as missing.
        while not (told := (await served.http.get("/ready")).json())["ready"]:
            await asyncio.sleep(0.2)
    assert told["parts"] == {"postgres": "ok", "redis": "ok", "lanes": "ok", "translation": "ok"}
    meeting = await served.create_meeting(title="Over Serve")
    chunk = {"chunk_id": "1", "speaker": "A", "text": "Hi.", "start": 0, "end": 1}
    answer = await served.http.post(f"/api/meetings/{meeting}/events", json={"events": [{"payload": chunk}]})
    assert answer.json()["accepted"] == 1
    wrong = await served.http.post(f"/api/meetings/{meeting}/events", json={"events": [{"payload": {}}]})
    assert (wrong.status_code, wrong.headers["content-type"]) == (422, "application/problem+json")
    assert "parley_meetings" in (await served.http.get("/metrics")).text
    assert (await served.http.get("/nowhere")).status_code == 404


async def test_live_events_over_a_websocket_pass_the_proxy(served: ApiHarness) -> None:
    meeting = await served.create_meeting()
    served.publish_sentences(meeting, "one")
    kinds: list[str] = []
    follow = connect(f"ws://{served.address}/api/meetings/{meeting}/events", open_timeout=60)
    async with asyncio.timeout(60), follow as socket:
        async for message in socket:
            event = json.loads(message)
            if event["kind"] != "ping":
                kinds.append(event["kind"])
            if len(kinds) == 1 and event["kind"] == "sentence":
                served.publish_sentences(meeting, "two")
                served.set_status(meeting, "ended")
    assert kinds == ["sentence", "sentence"]
    assert socket.close_code == 1000


async def test_server_sent_events_pass_the_proxy(served: ApiHarness) -> None:
    meeting = await served.create_meeting()
    served.publish_sentences(meeting, "one", "two")
    path = f"/api/meetings/{meeting}/events"
    async with asyncio.timeout(60), served.http.stream("GET", path) as answer:
        ids: list[str] = []
        async for line in answer.aiter_lines():
            if line.startswith("id: "):
                ids.append(line)
            if line == "id: 2":
                served.publish_sentences(meeting, "three")
            if line == "id: 3":
                break
    assert ids == ["id: 1", "id: 2", "id: 3"]
    # The replica notices that the client is gone.
    async with asyncio.timeout(60):
        while served.redis.pubsub_numsub(redis_keys.live_channel(meeting)) != [(redis_keys.live_channel(meeting), 0)]:
            await asyncio.sleep(0.1)
    served.set_status(meeting, "ended")
    assert (await served.http.get(path, headers={"Last-Event-ID": "3"})).status_code == 204


def test_unavailable_error_survives_process_boundaries(address: str) -> None:
    class UnavailableApp:
        async def translate(self) -> None:
            raise UnavailableError("later")

    handle = ray_serve.run(ray_serve.deployment(UnavailableApp).bind(), name="broken", route_prefix=None)
    with pytest.raises(UnavailableError, match="later") as caught:
        handle.translate.remote().result()
    assert isinstance(caught.value, RayTaskError)
    ray_serve.delete("broken")


class HangingEngine:
    """An engine that answers with its process id until it is stopped; then it accepts requests and never answers."""

    name = "wedging"
    version = "1"
    sources = frozenset({"en"})

    def __init__(self) -> None:
        self.hangs = False
        # This runs in the replica's process, so the test can shorten the health checks.
        health_check.RECENT_OUTPUT_S, health_check.PROBE_TIMEOUT_S = 0.2, 1.0

    def supports(self, source: str, target: str) -> bool:
        return True

    async def generate(self, question: Utterance) -> TokenStream:
        self.hangs = self.hangs or question.text == "Please stop."
        await self.check_health()
        yield Generation(str(os.getpid()), "wedging", "stop", 0, 0, 0.0, 0.0)

    async def check_health(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()

    async def close(self) -> None:
        pass


@pytest.mark.slow
async def test_replica_with_an_unresponsive_engine_is_replaced(
    ray_cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployment, "HEALTH_CHECK_PERIOD_S", 0.5)
    deployed = make_deployment("TranslationService", FirefoxConfig(cpus=0.1), DOWNSCALE_DELAY_S, SHUTDOWN_TIMEOUT_S)
    application = deployed(TranslationService).bind(HangingEngine, 0)
    handle = ray_serve.run(application, name="wedging", route_prefix=None)

    async def answered_by(text: str, patience: float = 2) -> str | None:
        response = handle.translate.remote(replace(REQUEST, source_language="en", text=text))
        try:
            return (await asyncio.wait_for(response, patience)).text
        except TimeoutError:
            response.cancel()
            return None

    first = await answered_by("Hello to all of you.", 60)
    assert first is not None
    assert await answered_by("Please stop.") is None
    # Serve replaces the replica.
    async with asyncio.timeout(180):
        while (second := await answered_by("Hello to all of you.")) is None:
            await asyncio.sleep(0.5)
    assert second != first
    ray_serve.delete("wedging")


@pytest.mark.slow
async def test_circuit_breaker_state_is_a_cluster_metric(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics_url = f"http://127.0.0.1:{ray.nodes()[0]['MetricsExportPort']}/metrics"

    async def told(name: str) -> list[float]:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            families = text_string_to_metric_families((await client.get(metrics_url)).text)
        samples = [sample for family in families for sample in family.samples]
        of = {"engine": "openai", "model": openai_server.MODEL}
        return [each.value for each in samples if each.name == name and of.items() <= each.labels.items()]

    async def until(name: str, value: float) -> None:
        # Ray's processes report their metrics every few seconds.
        async with asyncio.timeout(60):
            while await told(name) != [value]:
                await asyncio.sleep(0.5)

    question = replace(REQUEST, source_language="en")
    with openai_server.openai_server() as (url, _):
        engine = OpenAiConfig(url=url, model=openai_server.MODEL, cpus=0.1)
        monkeypatch.setattr(openai_server, "API_KEY", "none")
        built = build_translation(TranslationOptions(engine))
        handle = ray_serve.run(built, name="guarded", route_prefix=None)
        assert (await handle.translate.remote(question)).status is CaptionStatus.UNTRANSLATED
        await until("ray_parley_engine_breaker", 0)
    for _ in range(MAX_FAILURE_COUNT + 2):
        with pytest.raises(UnavailableError):
            await handle.translate.remote(question)
    await until("ray_parley_engine_breaker", 2)
    await until("ray_parley_engine_refused_total", 2)
    ray_serve.delete("guarded")


@pytest.mark.slow
async def test_engine_problem_is_reported_until_it_is_solved(
    served: ApiHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = replace(REQUEST, source_language="en")

    async def told() -> tuple[str, str]:
        [status] = (await served.http.get("/api/engine-config")).json()["engines"]
        ready = (await served.http.get("/ready")).json()
        assert (status["state"], ready["ready"]) == ("running", True)
        return status["problem"], ready["parts"]["translation"]

    with openai_server.openai_server() as (url, state):
        monkeypatch.setattr(openai_server, "API_KEY", "none")
        engine = OpenAiConfig(url=url, model=openai_server.MODEL, cpus=0.1)
        config = EnginesConfig(engines={"gateway": engine}, translation=("gateway",))
        with served.engine.begin() as connection:
            save_settings_config(connection, config)
        built = build_translation(TranslationOptions(engine))
        handle = ray_serve.run(built, name="translation-gateway", route_prefix=None)
        assert (await handle.translate.remote(question)).status is CaptionStatus.UNTRANSLATED
        await handle.check_ready.remote()
        assert await told() == ("", "ok")
        state.refusal_status = 402
        with pytest.raises(UnavailableError):
            await handle.translate.remote(question)
        with pytest.raises(UnavailableError, match="account"):
            await handle.check_ready.remote()
        async with asyncio.timeout(60):
            while not (words := await told())[0]:
                await asyncio.sleep(0.2)
        problem, part = words
        assert problem == "the model's server requires payment for the account: 402 as it stands"
        assert part == f"ok, but gateway: {problem}"
        # The recovery is noticed without any request.
        state.refusal_status = None
        async with asyncio.timeout(60):
            while (await told()) != ("", "ok"):
                await asyncio.sleep(0.2)
    ray_serve.delete("translation-gateway")


def test_all_ports_are_on_loopback(address: str) -> None:
    found = listening_addresses(psutil.Process().children(recursive=True))
    assert found
    assert [each for each in found if each[1] not in ("127.0.0.1", "::1")] == []


async def test_unresponsive_controller_leaves_statuses_unknown(served: ApiHarness) -> None:
    with served.engine.begin() as conn:
        save_settings_config(conn, EnginesConfig(engines={"firefox": FirefoxConfig()}, translation=("firefox",)))
    [controller] = count_controllers()
    controller.suspend()
    try:
        answer = await served.http.get("/api/engine-config")
    finally:
        controller.resume()
    assert answer.status_code == 200
    assert [each["state"] for each in answer.json()["engines"]] == ["unknown"]
