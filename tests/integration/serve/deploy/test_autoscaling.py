"""Tests of autoscaling: one replica, then three, then one again, without a failed caption."""

from __future__ import annotations

import asyncio
import time

import pytest
from ray import serve as ray_serve

from flows.translation import TranslationClient
from operators.engine_config import FirefoxConfig
from operators.errors import UnavailableError
from operators.translation_requests import CaptionStatus, TranslationRequest
from serve.app_options import TranslationOptions
from serve.deploy import builders, deployment
from serve.deploy.builders import build_translation

pytest_plugins = ["tests.harness.processes.ray_cluster"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

APP = "translation-scaling"


def running_replicas() -> int:
    found = ray_serve.status().applications[APP].deployments["TranslationService"]
    return found.replica_states.get("RUNNING", 0)


async def wait_for_replicas(count: int, seconds: float) -> None:
    until = time.monotonic() + seconds
    while running_replicas() != count:
        assert time.monotonic() < until, running_replicas()
        await asyncio.sleep(0.2)


def make_request(n: int) -> TranslationRequest:
    source_text = f"The meeting number {n} starts on Monday, in the large room on the second floor."
    return TranslationRequest("default", "m", f"{n}.0", 1, "pt", "en", source_text)


async def test_replicas_follow_the_load(ray_cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployment, "UPSCALE_DELAY_S", 0.5)
    monkeypatch.setattr(builders, "DOWNSCALE_DELAY_S", 2.0)
    engine = FirefoxConfig(replicas=1, most_replicas=3, ongoing=4, cpus=0.1)
    ray_serve.run(build_translation(TranslationOptions(engine)), name=APP, route_prefix=None)
    translate = TranslationClient(APP).translate
    statuses: list[CaptionStatus] = []
    enough = asyncio.Event()

    async def meeting(first: int) -> None:
        n = first
        while not enough.is_set():
            try:
                statuses.append((await translate(make_request(n))).status)
            except UnavailableError:
                # Retry as a lane does.
                continue
            n += 100

    assert running_replicas() == 1
    meetings = [asyncio.create_task(meeting(n)) for n in range(24)]
    await wait_for_replicas(3, 120)
    enough.set()
    await asyncio.gather(*meetings)
    await wait_for_replicas(1, 120)
    assert statuses
    assert set(statuses) == {CaptionStatus.TRANSLATED}
    ray_serve.delete(APP)
