"""Tests of the insight application on a real Ray, as in production."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ray import serve as ray_serve
from ray.exceptions import RayTaskError
from ray.serve.handle import DeploymentHandle

from operators.engine_config import LlamaCppConfig
from operators.errors import UnavailableError
from operators.insight_requests import Insight, InsightRequest, InsightRole
from serve.deploy.builders import INSIGHT_SHUTDOWN_TIMEOUT_S
from serve.deploy.deployment import make_deployment
from serve.engines.protocol import NonRetryableError, Prompt
from serve.insight.insight_service import InsightService
from tests.harness.doubles.scripted_model import ScriptedModel, ScriptedReply

pytest_plugins = ["tests.harness.processes.ray_cluster"]

REQUEST = InsightRequest(
    "default", "m", InsightRole.INSIGHT, "", ("Ann: Good morning.",), "Sum it up.", "en", max_tokens=90
)
APP = "insight-test"


def _reply_rule(prompt: Prompt, k: int) -> ScriptedReply:
    task = prompt.messages[1].content.rpartition("Task: ")[2]
    failures: dict[str, Exception] = {"Be away.": UnavailableError("later"), "Refuse.": NonRetryableError("never")}
    return failures.get(task, f"{os.getpid()} said good morning.")


class FileLoggingModel(ScriptedModel):
    """A model that writes forever if scripted so, and logs its events to a folder."""

    def __init__(self, folder: str) -> None:
        super().__init__(_reply_rule)
        self._folder = Path(folder)

    async def generate(self, question: Prompt) -> Any:
        if not question.messages[1].content.endswith("Task: Never end."):
            async for piece in super().generate(question):
                yield piece
            return
        (self._folder / "begun").touch()
        try:
            while True:
                await asyncio.sleep(0.05)
                yield "on "
        finally:
            (self._folder / "ended").touch()

    async def close(self) -> None:
        (self._folder / f"closed {os.getpid()}").touch()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("insight")


@pytest.fixture(scope="module")
def handle(ray_cluster: str, folder: Path) -> Iterator[DeploymentHandle]:
    where = str(folder)

    def make() -> FileLoggingModel:
        return FileLoggingModel(where)

    engine = LlamaCppConfig(model="scripted", replicas=0, cpus=0.1)
    application = make_deployment(
        "InsightService", engine, downscale_delay_s=2.0, shutdown_timeout_s=INSIGHT_SHUTDOWN_TIMEOUT_S
    )(InsightService).bind(make)
    yield ray_serve.run(application, name=APP, route_prefix=None)
    ray_serve.delete(APP)


def count_replicas() -> int:
    """Return the number of running replicas."""
    deployment = ray_serve.status().applications[APP].deployments["InsightService"]
    return sum(deployment.replica_states.values())


async def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.1)


@pytest.mark.slow
async def test_application_scales_from_zero_and_back(handle: DeploymentHandle, folder: Path) -> None:
    assert count_replicas() == 0
    first: Insight = await handle.answer.remote(REQUEST)
    assert count_replicas() <= 1
    process = first.text.split()[0]
    assert (first.text, first.finish, first.engine) == (f"{process} said good morning.", "stop", "scripted 1")
    await wait_until(lambda: count_replicas() == 0, 120)
    assert (folder / f"closed {process}").exists()
    again: Insight = await handle.answer.remote(REQUEST)
    assert again.text.split()[0] != process


async def test_answer_streams_through_a_handle(handle: DeploymentHandle) -> None:
    stream = handle.options(stream=True).stream.remote(REQUEST)
    *pieces, last = [piece async for piece in stream]
    assert len(pieces) == 4
    assert isinstance(last, Insight)
    assert "".join(pieces) == last.text


@pytest.mark.parametrize(
    ("task", "kind", "words"), [("Be away.", UnavailableError, "later"), ("Refuse.", NonRetryableError, "never")]
)
async def test_error_types_survive_process_boundaries(
    task: str, kind: type[Exception], words: str, handle: DeploymentHandle
) -> None:
    request = replace(REQUEST, task=task)
    with pytest.raises(kind, match=words) as caught:
        await handle.answer.remote(request)
    assert isinstance(caught.value, RayTaskError)
    with pytest.raises(kind, match=words):
        async for _ in handle.options(stream=True).stream.remote(request):
            pass


@pytest.mark.parametrize("streamed", [True, False])
async def test_cancellation_stops_the_engine(streamed: bool, handle: DeploymentHandle, folder: Path) -> None:
    begun, ended, request = folder / "begun", folder / "ended", replace(REQUEST, task="Never end.")
    for noted in (begun, ended):
        noted.unlink(missing_ok=True)
    if streamed:
        stream = handle.options(stream=True).stream.remote(request)
        async for piece in stream:
            assert piece == "on "
            break
        assert not ended.exists()
        stream.cancel()
    else:
        answer = handle.answer.remote(request)
        taking = asyncio.create_task(_collect_stream(answer))
        # A replica may have to start first.
        await wait_until(begun.exists, 120)
        assert not taking.done()
        assert not ended.exists()
        answer.cancel()
    await wait_until(ended.exists, 60)


async def _collect_stream(answer: Any) -> None:
    try:
        await answer
    except Exception:  # noqa: BLE001 - it is cancelled; how that looks to the caller is Serve's
        return
