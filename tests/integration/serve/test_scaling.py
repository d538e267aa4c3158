"""Replicas follow the load: one, then three, then one again, and no caption fails on the way."""

from __future__ import annotations

import asyncio
import time

import pytest
from ray import serve as ray_serve

from flows.translation import TranslationClient
from operators.errors import Unavailable
from operators.models import Firefox
from operators.translation import CaptionStatus, TranslationRequest
from serve import app, replicas
from serve.app import build_translation
from serve.options import TranslationOptions

pytest_plugins = ["tests.harness.ray_cluster"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

APP = "translation-scaling"


def running() -> int:
    found = ray_serve.status().applications[APP].deployments["TranslationService"]
    return found.replica_states.get("RUNNING", 0)


async def become(count: int, seconds: float) -> None:
    until = time.monotonic() + seconds
    while running() != count:
        assert time.monotonic() < until, running()
        await asyncio.sleep(0.2)


def asking(n: int) -> TranslationRequest:
    said = f"The meeting number {n} starts on Monday, in the large room on the second floor."
    return TranslationRequest("default", "m", f"{n}.0", 1, "pt", "en", said)


async def test_replicas_come_with_the_load_and_go_with_it(ray_cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "UPSCALE_S", 0.5)
    monkeypatch.setattr(app, "IDLE_S", 2.0)
    engine = Firefox(replicas=1, most_replicas=3, ongoing=4, cpus=0.1)
    ray_serve.run(build_translation(TranslationOptions(engine)), name=APP, route_prefix=None)
    translate = TranslationClient(APP).translate
    statuses: list[CaptionStatus] = []
    enough = asyncio.Event()

    async def meeting(first: int) -> None:
        n = first
        while not enough.is_set():
            try:
                statuses.append((await translate(asking(n))).status)
            except Unavailable:
                # As a lane does: asked again.
                continue
            n += 100

    assert running() == 1
    meetings = [asyncio.create_task(meeting(n)) for n in range(24)]
    await become(3, 120)
    enough.set()
    await asyncio.gather(*meetings)
    await become(1, 120)
    assert statuses
    assert set(statuses) == {CaptionStatus.TRANSLATED}
    ray_serve.delete(APP)
