"""flows/translation/serve_client.py on a real Serve, with the application or the controller available, unavailable or slow."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest
from ray import cloudpickle
from ray import serve as ray_serve
from ray.exceptions import RayTaskError

from flows import serve_application
from flows.translation import TranslationClient
from operators.errors import UnavailableError
from operators.translation_requests import CaptionStatus, Translate, Translation, TranslationRequest

pytest_plugins = ["tests.harness.processes.ray_cluster"]
# Classes of this module are pickled by value, so Ray's processes need not import it and pytest.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

APP = "echo"
REQUEST = TranslationRequest("default", "m", "s1", 1, "pt-BR", None, "The meeting starts on Monday.")


@ray_serve.deployment(ray_actor_options={"num_cpus": 0.1}, graceful_shutdown_wait_loop_s=0.1)
class PidTranslator:
    """A translator that answers with its process id. A text can request a fault: `die` or `fail`."""

    async def translate(self, request: TranslationRequest) -> Translation:
        await asyncio.sleep(0.05)
        if request.text == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if request.text == "fail":
            raise ValueError("as asked")
        return Translation(CaptionStatus.TRANSLATED, str(os.getpid()), "echo")


def deploy() -> None:
    ray_serve.run(PidTranslator.bind(), name=APP, route_prefix=None)


@pytest.fixture(scope="module")
def deployed(ray_cluster: str) -> Iterator[None]:
    """The deployed application. A test that stops the application or its replica restores it."""
    deploy()
    yield
    ray_serve.delete(APP)


@pytest.fixture
def application(deployed: None, monkeypatch: pytest.MonkeyPatch) -> Translate:
    # A slow controller must not count as unavailable.
    monkeypatch.setattr(serve_application, "LOOKUP_TIMEOUT_S", 60.0)
    return TranslationClient(APP).translate


def request_for(text: str) -> TranslationRequest:
    return TranslationRequest("default", "m", "s1", 1, "pt-BR", None, text)


def count_controllers() -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for process in psutil.Process().children(recursive=True):
        # Ray's other processes may end at any time.
        with suppress(psutil.NoSuchProcess):
            if "ServeController" in " ".join(process.cmdline()[:1]):
                found.append(process)
    return found


async def answering_pid(translate: Translate) -> str | None:
    """Retry until a replica answers, and return its answer."""
    deadline = time.monotonic() + 120
    while True:
        try:
            return (await translate(REQUEST)).text
        except UnavailableError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.2)


async def test_an_error_of_the_application_is_raised_unchanged(application: Translate) -> None:
    assert (await application(REQUEST)).status is CaptionStatus.TRANSLATED
    with pytest.raises(RayTaskError) as raised:
        await application(request_for("fail"))
    assert isinstance(raised.value, ValueError)


async def test_a_dead_replica_is_a_transient_error(application: Translate) -> None:
    before = await answering_pid(application)
    with pytest.raises(UnavailableError):
        await application(request_for("die"))
    assert await answering_pid(application) != before


async def test_an_application_that_is_deleted_and_comes_back_is_found_again(application: Translate) -> None:
    before = await answering_pid(application)
    ray_serve.delete(APP)
    with pytest.raises(UnavailableError):
        await application(REQUEST)
    deploy()
    assert await answering_pid(application) not in (None, before)


async def test_calls_succeed_without_the_controller_and_a_new_client_s_calls_time_out(
    application: Translate,
) -> None:
    replica = await answering_pid(application)
    [controller] = count_controllers()
    fresh = TranslationClient(APP).translate
    controller.send_signal(signal.SIGSTOP)
    try:
        assert (await application(REQUEST)).text == replica
        # Two calls wait for one look-up, time out by their own deadlines, and don't block the event loop.
        # The controller is stopped until then.
        results = await asyncio.gather(
            *(asyncio.wait_for(fresh(REQUEST), 0.5) for _ in range(2)), application(REQUEST), return_exceptions=True
        )
        assert [type(result) for result in results] == [TimeoutError, TimeoutError, Translation]
    finally:
        controller.send_signal(signal.SIGCONT)
    assert await answering_pid(fresh) == replica


@pytest.mark.slow
async def test_other_replicas_answer_if_one_dies_while_the_controller_is_unavailable(
    deployed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve_application, "LOOKUP_TIMEOUT_S", 1.0)
    ray_serve.run(PidTranslator.options(num_replicas=2).bind(), name=APP, route_prefix=None)
    translate = TranslationClient(APP).translate
    replicas: set[str | None] = set()
    while len(replicas) < 2:
        replicas |= set(await asyncio.gather(*(answering_pid(translate) for _ in range(8))))
    [controller] = count_controllers()
    controller.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(UnavailableError):
            await translate(request_for("die"))
        survivors = {await answering_pid(translate) for _ in range(4)}
        assert len(survivors) == 1
        assert survivors < replicas
        # A client without a handle can't call any replica.
        with pytest.raises(UnavailableError, match="controller does not answer"):
            await TranslationClient(APP).translate(REQUEST)
    finally:
        controller.send_signal(signal.SIGCONT)
