"""Tests of a swap of the remote engine in running replicas."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import psutil
import pytest
from ray import serve as ray_serve

from operators.engine_config import OpenAiConfig
from operators.translation_requests import TranslationRequest
from serve.app_options import TranslationOptions
from serve.deploy.builders import build_translation
from tests.harness.doubles.openai_server import MODEL, openai_server

pytest_plugins = ["tests.harness.processes.ray_cluster"]

REQUEST = TranslationRequest("default", "m", "s1", 1, "pt", "en", "The meeting starts on Monday at ten.")


def replica_pids(app: str) -> list[int]:
    """Return the process ids of an application's replicas."""
    found: list[int] = []
    for each in psutil.Process().children(recursive=True):
        # Ray's other processes start and end at any time.
        with suppress(psutil.NoSuchProcess):
            if any(f"ServeReplica:{app}:" in part for part in each.cmdline()):
                found.append(each.pid)
    return sorted(found)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
async def test_remote_engine_is_swapped_in_the_same_process(monkeypatch: pytest.MonkeyPatch) -> None:
    app = "remote-engine"
    with openai_server() as (first, asked_first), openai_server() as (second, asked_second):
        for url, asked in ((first, asked_first), (second, asked_second), (first, asked_first)):
            engine = OpenAiConfig(url=url, model=MODEL, cpus=0.1)
            monkeypatch.setattr("tests.harness.doubles.openai_server.API_KEY", "none")
            before = replica_pids(app), len(asked.bodies)
            built = build_translation(TranslationOptions(engine))
            handle = ray_serve.run(built, name=app, route_prefix=None)
            async with asyncio.timeout(120):
                while len(asked.bodies) == before[1]:
                    await handle.translate.remote(replace(REQUEST, text=f"{REQUEST.text} {len(asked.bodies)}"))
            assert replica_pids(app) == (before[0] or replica_pids(app))
            assert len(replica_pids(app)) == 1
    ray_serve.delete(app)
