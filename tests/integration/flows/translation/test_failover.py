"""flows/translation/failover.py on a real Serve: the preferred engine starts, dies, is slow, or is full."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from ray import cloudpickle
from ray import serve as ray_serve
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from flows import serve_application
from flows.translation import EngineFailover
from flows.translation import failover as failover_module
from operators.errors import DeferredError, UnavailableError
from operators.translation_requests import CaptionStatus, Translation, TranslationRequest
from storage.ingest.meeting_service import MeetingService
from storage.redis_log.event_log import LogWriter
from tests.harness.lane.threaded_lane import (
    append_events,
    chunk_event,
    end_event,
    open_lane_meeting,
    query_rows,
    running_lane,
    wait_until,
)
from tests.integration.flows.translation.test_serve_client import count_controllers

pytest_plugins = ["tests.harness.processes.ray_cluster"]
# Classes of this module are pickled by value, so Ray's processes need not import it and pytest.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

PREFERRED, LAST = "failover-preferred", "failover-last"
MISSING = "failover-missing"
"""An application that is not deployed."""


@ray_serve.deployment(ray_actor_options={"num_cpus": 0.1}, health_check_period_s=1, graceful_shutdown_wait_loop_s=0.1)
class NamedEngine:
    """An engine that answers with its name. A text can request a fault: `die`, `slow`, or `hold` until the file `go` exists.

    The last engine can't translate `hard`, `busy`, or into German.

    Args:
        name: the engine's name.
        folder: each health check adds a line to the file `log` there, and fails while the file `fail` exists.
    """

    def __init__(self, name: str, folder: Path | None = None) -> None:
        self._name, self._folder = name, folder

    async def translate(self, request: TranslationRequest) -> Translation:
        if self._name == PREFERRED and request.text == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._name == PREFERRED and request.text == "slow":
            await asyncio.sleep(30)
        while self._folder is not None and request.text == "hold" and not (self._folder / "go").exists():
            await asyncio.sleep(0.02)
        if self._name == LAST and (request.text == "hard" or request.language == "de"):
            return Translation(CaptionStatus.UNTRANSLATED, None, self._name, "no model")
        if self._name == LAST and request.text == "busy":
            raise UnavailableError("busy", 3_600)
        return Translation(CaptionStatus.TRANSLATED, request.text, self._name)

    async def check_ready(self) -> None:
        if self._folder is not None:
            with (self._folder / "log").open("a") as file:
                file.write("checked\n")
            if (self._folder / "fail").exists():
                raise ValueError("as asked")


@pytest.fixture(scope="module")
def deployed(ray_cluster: str) -> Iterator[None]:
    """The applications of the preferred and the last engine. A test that stops either restores it."""
    names = (LAST, PREFERRED)
    ray_serve.run_many(
        [ray_serve.RunTarget(NamedEngine.bind(name), name=name, route_prefix=None) for name in names],
        wait_for_applications_running=True,
    )
    yield
    for name in names:
        ray_serve.delete(name)


@pytest.fixture
def applications(deployed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    # A slow engine counts neither as unavailable nor as unresponsive, unless the test sets shorter timeouts.
    monkeypatch.setattr(serve_application, "LOOKUP_TIMEOUT_S", 60.0)
    monkeypatch.setattr(failover_module, "PREFERRED_TIMEOUT_S", 60.0)


def request_for(text: str) -> TranslationRequest:
    return TranslationRequest("default", "m", "s1", 1, "pt", "en", text)


async def wait_until_translated_by(failover: EngineFailover, engine: str) -> None:
    """Wait until a request is answered by this engine."""
    deadline = time.monotonic() + 120
    while True:
        try:
            if (await failover.translate(request_for("hello"))).engine == engine:
                return
        except UnavailableError:
            pass
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


async def test_the_preferred_engine_takes_over_once_healthy_and_again_after_it_died(applications: None) -> None:
    failover = EngineFailover(lambda: (PREFERRED, LAST))
    # The preferred engine is not probed yet, and the call doesn't wait for it.
    assert (await failover.translate(request_for("hello"))).engine == LAST
    await wait_until_translated_by(failover, PREFERRED)
    # This request kills the preferred engine: the last engine answers until it is back.
    assert (await failover.translate(request_for("die"))).engine == LAST
    await wait_until_translated_by(failover, PREFERRED)


async def test_calls_do_not_wait_for_an_engine_that_does_not_start(applications: None) -> None:
    failover = EngineFailover(lambda: (MISSING, LAST))
    for _ in range(5):
        assert (await failover.translate(request_for("hello"))).engine == LAST
        await asyncio.sleep(0.2)


async def test_text_that_needs_the_preferred_engine_is_unavailable_until_it_is_healthy(
    applications: None,
) -> None:
    failover = EngineFailover(lambda: (MISSING, LAST))
    with pytest.raises(UnavailableError, match="is unavailable"):
        await failover.translate(request_for("hard"))
    alone = EngineFailover(lambda: (LAST,))
    assert (await alone.translate(request_for("hard"))).status is CaptionStatus.UNTRANSLATED
    both = EngineFailover(lambda: (PREFERRED, LAST))
    await wait_until_translated_by(both, PREFERRED)
    assert (await both.translate(request_for("hard"))).engine == PREFERRED


async def test_an_unresponsive_engine_fails_over(applications: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failover_module, "PREFERRED_TIMEOUT_S", 0.5)
    failover = EngineFailover(lambda: (PREFERRED, LAST))
    await wait_until_translated_by(failover, PREFERRED)
    assert (await failover.translate(request_for("slow"))).engine == LAST


async def test_a_full_engine_fails_over_per_call_and_stays_preferred(applications: None, tmp_path: Path) -> None:
    full = "failover-full"
    small = NamedEngine.options(max_ongoing_requests=1, max_queued_requests=1)
    ray_serve.run(small.bind(full, tmp_path), name=full, route_prefix=None)
    try:
        failover = EngineFailover(lambda: (full, LAST))
        await wait_until_translated_by(failover, full)
        calls = [asyncio.create_task(failover.translate(request_for("hold"))) for _ in range(4)]
        [rejected, *_], _ = await asyncio.wait(calls, timeout=60, return_when=asyncio.FIRST_COMPLETED)
        assert rejected.result().engine == LAST
        (tmp_path / "go").touch()
        assert {answer.engine for answer in await asyncio.gather(*calls)} == {full, LAST}
        assert (await failover.translate(request_for("hello"))).engine == full
    finally:
        ray_serve.delete(full)


async def test_a_change_of_the_engines_applies_at_once(applications: None) -> None:
    names: list[Sequence[str] | None] = [None]
    failover = EngineFailover(lambda: names[-1])
    with pytest.raises(UnavailableError, match="not known yet"):
        await failover.translate(request_for("hello"))
    names.append((LAST,))
    assert (await failover.translate(request_for("hello"))).engine == LAST
    names.append((PREFERRED,))
    assert (await failover.translate(request_for("hello"))).engine == PREFERRED
    names.append(())
    assert (await failover.translate(request_for("hello"))).reason == "translation is off"


async def test_a_failed_probe_is_repeated_after_a_pause(
    applications: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, log, fail = "failover-broken", tmp_path / "log", tmp_path / "fail"
    log.touch()
    ray_serve.run(NamedEngine.bind(broken, tmp_path), name=broken, route_prefix=None)

    async def until_probed(failover: EngineFailover) -> None:
        deadline = time.monotonic() + 120
        while not log.read_text():
            assert (await failover.translate(request_for("hello"))).engine == LAST
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)

    try:
        fail.touch()
        failover = EngineFailover(lambda: (broken, LAST))
        with monkeypatch.context() as patch:
            patch.setattr(failover_module, "PROBE_PAUSE_S", 3_600.0)
            await until_probed(failover)
            for _ in range(20):
                assert (await failover.translate(request_for("hello"))).engine == LAST
            assert log.read_text().splitlines() == ["checked"]
        fail.unlink()
        await wait_until_translated_by(EngineFailover(lambda: (broken, LAST)), broken)
    finally:
        ray_serve.delete(broken)


async def test_two_event_loops_can_look_an_application_up_at_the_same_time(
    applications: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing else may wake a waiting loop.
    monkeypatch.setattr(serve_application, "LOOKUP_TIMEOUT_S", 3_600.0)
    failover = EngineFailover(lambda: (LAST,))
    answers: list[str] = []

    def translate_in_a_loop(waits: threading.Event) -> None:
        async def once() -> None:
            call = asyncio.create_task(failover.translate(request_for("hello")))
            # Let the call run until it waits for Serve's controller.
            await asyncio.sleep(0)
            waits.set()
            answers.append((await call).engine)

        asyncio.run(once())

    [controller] = count_controllers()
    controller.send_signal(signal.SIGSTOP)
    threads: list[threading.Thread] = []
    try:
        for _ in range(2):
            waits = threading.Event()
            threads.append(threading.Thread(target=translate_in_a_loop, args=(waits,), daemon=True))
            threads[-1].start()
            assert waits.wait(60)
    finally:
        controller.send_signal(signal.SIGCONT)
    for thread in threads:
        await asyncio.to_thread(thread.join, 120)
    assert answers == [LAST, LAST]


async def test_a_long_retry_after_of_the_last_engine_is_capped_while_another_is_preferred(
    applications: None,
) -> None:
    with pytest.raises(UnavailableError) as single:
        await EngineFailover(lambda: (LAST,)).translate(request_for("busy"))
    assert single.value.retry_after_s == 3_600
    with pytest.raises(UnavailableError) as capped:
        await EngineFailover(lambda: (MISSING, LAST)).translate(request_for("busy"))
    assert capped.value.retry_after_s == failover_module.MAX_RETRY_AFTER_S


async def test_text_that_needs_a_long_unavailable_engine_is_deferred(
    applications: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    failover = EngineFailover(lambda: (MISSING, LAST), defer=True)
    with pytest.raises(UnavailableError, match="is unavailable"):
        await failover.translate(request_for("hard"))
    monkeypatch.setattr(failover_module, "DEFER_AFTER_S", 0.0)
    with pytest.raises(DeferredError):
        await failover.translate(request_for("hard"))
    # The backfill, which completes such captions, keeps retrying.
    with pytest.raises(UnavailableError, match="is unavailable"):
        await EngineFailover(lambda: (MISSING, LAST)).translate(request_for("hard"))


@pytest.mark.usefixtures("clean_database", "unhurried")
async def test_a_meeting_whose_engine_is_unavailable_blocks_no_other_meeting(
    applications: None,
    aengine: AsyncEngine,
    engine: Engine,
    redis_async: Any,
    postgres_url: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(failover_module, "DEFER_AFTER_S", 0.5)
    meetings = MeetingService(aengine, LogWriter(redis_async))
    waiting, other = [await open_lane_meeting(meetings, aengine, targets=[target]) for target in ("de", "pt")]

    async def talk(meeting_id: UUID, sentences: int) -> None:
        talk = [
            chunk_event(k, f"c{k}", "Ann", f"Sentence number {k}.", 2.0 * k, 2.0 * k + 1, 2.0 * k)
            for k in range(sentences)
        ]
        await append_events(meetings, meeting_id, [*talk, end_event(2.0 * sentences)])

    failover = EngineFailover(lambda: (MISSING, LAST), defer=True)
    with running_lane(postgres_url, redis_url, "batch-1", failover.translate, in_flight=4, capacity=8):
        # More than the lane's limits for calls in flight and capacity.
        await talk(waiting, 20)
        await talk(other, 2)
        captions = "select status from captions where meeting_id = :id"
        await wait_until(lambda: query_rows(engine, captions, id=other) == [("translated",)] * 2, 120)
        await wait_until(lambda: query_rows(engine, captions, id=waiting) == [("pending",)] * 20, 120)
