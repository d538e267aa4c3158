"""Tests of vLLM in Serve's replicas, as in production: answers, cancellation, and replacement of a killed replica."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from dataclasses import replace

import psutil
import pytest
import redis.asyncio
from ray import serve as ray_serve
from ray.serve.handle import DeploymentHandle
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.translation import TranslationClient
from operators.engine_config import VllmConfig
from operators.translation_requests import CaptionStatus, Translation, TranslationRequest
from serve.deploy.builders import DEFAULT_TRANSLATION_APP, DOWNSCALE_DELAY_S, SHUTDOWN_TIMEOUT_S
from serve.deploy.deployment import make_deployment
from serve.deploy.engine_factory import EngineFactory
from serve.translation.translation_service import TranslationService
from storage.ingest.meeting_service import MeetingService
from storage.redis_log.event_log import LogWriter
from tests.harness.lane.threaded_lane import (
    append_events,
    chunk_event,
    end_event,
    ended_without_pending,
    open_lane_meeting,
    query_rows,
    running_lane,
    wait_until,
)
from tests.harness.processes.smollm2_vllm import VLLM_ARGUMENTS, converted_model, needs_vllm

pytest_plugins = ["tests.harness.processes.ray_cluster"]
pytestmark = [needs_vllm, pytest.mark.main_path, pytest.mark.timeout(600)]

REQUEST = TranslationRequest("default", "m", "s1", 1, "fr", "en", "The meeting starts on Monday.")
FINAL = (CaptionStatus.TRANSLATED, CaptionStatus.UNTRANSLATED)
"""The small model seldom translates; its other answers are rejected."""


class ObservedTranslationService(TranslationService):
    """The translation service, with access to its internal state."""

    cancelled_count = 0

    async def translate(self, request: TranslationRequest) -> Translation:
        """Translate as the service does, and count cancelled requests."""
        try:
            return await super().translate(request)
        except asyncio.CancelledError:
            self.cancelled_count += 1
            raise

    async def given_up(self) -> int:
        """Return the number of requests that were cancelled while running."""
        return self.cancelled_count

    async def process(self) -> int:
        """Return the replica's process id."""
        return os.getpid()

    async def under_way(self) -> int:
        """Return the number of requests that are running in vLLM."""
        return self._engine._engine._engine.get_num_unfinished_requests()  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def vllm(ray_cluster: str) -> Iterator[DeploymentHandle]:
    engine = VllmConfig(model=str(converted_model()), arguments=VLLM_ARGUMENTS, gpus=0)
    # As in `build_translation`, with the observed service instead.
    application = make_deployment("TranslationService", engine, DOWNSCALE_DELAY_S, SHUTDOWN_TIMEOUT_S)(
        ObservedTranslationService
    ).bind(EngineFactory(engine).create_translator, 10_000)
    yield ray_serve.run(application, name=DEFAULT_TRANSLATION_APP, route_prefix=None)
    ray_serve.delete(DEFAULT_TRANSLATION_APP)


async def test_vllm_answers_through_serve(vllm: DeploymentHandle) -> None:
    requests = [replace(REQUEST, text=f"We have {n} open points and a budget.") for n in range(8)]
    answers: list[Translation] = await asyncio.gather(*(vllm.translate.remote(request) for request in requests))
    assert all(answer.status in FINAL and answer.engine.startswith("vllm smollm2-") for answer in answers)
    assert all(answer.text or answer.reason for answer in answers)


async def test_caption_is_the_model_s_translation(vllm: DeploymentHandle) -> None:
    greetings = {"de": "Guten Morgen.", "es": "Gracias.", "fr": "Bonjour.", "it": "Buongiorno.", "nl": "Goedemorgen."}
    answers: list[Translation] = await asyncio.gather(
        *(
            vllm.translate.remote(replace(REQUEST, text=text, source_language=language, language="en"))
            for language, text in greetings.items()
        )
    )
    translated = [answer for answer in answers if answer.status is CaptionStatus.TRANSLATED]
    assert translated, "not a single one, even of these"
    assert all(answer.text and answer.text == answer.text.strip() for answer in translated)


async def test_call_past_its_deadline_is_cancelled_in_vllm(vllm: DeploymentHandle) -> None:
    ask = TranslationClient(DEFAULT_TRANSLATION_APP).translate
    long = replace(REQUEST, text="Tell me about the river and the sea. " * 10)
    begun = asyncio.create_task(ask(long))
    async with asyncio.timeout(60):
        while await vllm.under_way.remote() == 0:
            assert not begun.done()
    begun.cancel()
    await asyncio.gather(begun, return_exceptions=True)
    async with asyncio.timeout(60):
        # vLLM removes the request before the service notices its end.
        while await vllm.under_way.remote() > 0 or await vllm.given_up.remote() == 0:
            await asyncio.sleep(0.02)
    assert await vllm.given_up.remote() == 1


# How long it takes depends on how much so small a model has to say.
@pytest.mark.slow
async def test_killed_replica_is_replaced_and_no_caption_is_lost(
    vllm: DeploymentHandle,
    engine: Engine,
    aengine: AsyncEngine,
    redis_async: redis.asyncio.Redis,
    postgres_url: str,
    redis_url: str,
    clean_database: None,
) -> None:
    meetings = MeetingService(aengine, LogWriter(redis_async))
    meeting_id = await open_lane_meeting(meetings, aengine, targets=("fr", "de"))
    events = [
        chunk_event(
            k,
            str(k),
            "Ann" if k % 2 else "Bob",
            f"We have {k} open points in the plan.",
            4.0 * k,
            4.0 * k + 3,
            4 * k + 3,
        )
        for k in range(12)
    ]
    before = await vllm.process.remote()
    helpers = psutil.Process(before).children(recursive=True)
    assert helpers, "vLLM's core runs in a process of its own"
    translate = TranslationClient(DEFAULT_TRANSLATION_APP).translate
    with running_lane(postgres_url, redis_url, "batch-1", translate, deadline=120.0, in_flight=4):
        await append_events(meetings, meeting_id, events)
        await wait_until(lambda: len(query_rows(engine, "select 1 from captions where status <> 'pending'")) > 3, 120)
        os.kill(before, signal.SIGKILL)
        await append_events(meetings, meeting_id, [end_event(60.0)])
        await wait_until(ended_without_pending(engine, meeting_id), 240)
    captions = query_rows(engine, "select sentence_id, language, status, engine from captions")
    assert len(captions) == 24
    assert {status for _, _, status, _ in captions} <= {status.value for status in FINAL}
    assert all(name.startswith("vllm ") for _, _, _, name in captions)
    assert await vllm.process.remote() != before
    _, alive = psutil.wait_procs(helpers, timeout=60)
    assert alive == [], "what the killed replica had started lives on, with its memory"
