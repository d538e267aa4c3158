"""flows/translation/failover.py over a real Serve: who answers while the preferred engine starts, dies, is slow or is full."""

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

from flows.translation import failover as ways_module
from flows.translation import serve_client as translator_module
from flows.translation.failover import EngineFailover
from operators.errors import Deferred, Unavailable
from operators.translation import CaptionStatus, Translation, TranslationRequest
from storage.log import Log
from storage.meetings import Meetings
from tests.harness.lanes import ending, feed, open_recorded, rows, running, said, until
from tests.integration.flows.translation.test_serve_client import controllers

pytest_plugins = ["tests.harness.ray_cluster"]
# Its classes go to Ray's processes by value: none of them has to import this module, and pytest with it.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

BETTER, PLAIN = "ways-better", "ways-plain"


@ray_serve.deployment(ray_actor_options={"num_cpus": 0.1}, health_check_period_s=1, graceful_shutdown_wait_loop_s=0.1)
class Says:
    """Answers with its name. What the text asks for beside that: `die`, `slow`, `hold` until there is a file `go`.

    The plain one can't do `hard`, nor `busy`, nor German.

    Args:
        name: what it says.
        folder: each health check adds a line to its file `log`, and fails while there is a file `fail`.
    """

    def __init__(self, name: str, folder: Path | None = None) -> None:
        self._name, self._folder = name, folder

    async def translate(self, request: TranslationRequest) -> Translation:
        if self._name == BETTER and request.text == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._name == BETTER and request.text == "slow":
            await asyncio.sleep(30)
        while self._folder is not None and request.text == "hold" and not (self._folder / "go").exists():
            await asyncio.sleep(0.02)
        if self._name == PLAIN and (request.text == "hard" or request.language == "de"):
            return Translation(CaptionStatus.UNTRANSLATED, None, self._name, "no model")
        if self._name == PLAIN and request.text == "busy":
            raise Unavailable("busy", 3_600)
        return Translation(CaptionStatus.TRANSLATED, request.text, self._name)

    async def check_ready(self) -> None:
        if self._folder is not None:
            with (self._folder / "log").open("a") as file:
                file.write("checked\n")
            if (self._folder / "fail").exists():
                raise ValueError("as asked")


@pytest.fixture(scope="module")
def deployed(ray_cluster: str) -> Iterator[None]:
    """Both applications. A test that ends one waits until it is back."""
    names = (PLAIN, BETTER)
    ray_serve.run_many(
        [ray_serve.RunTarget(Says.bind(name), name=name, route_prefix=None) for name in names],
        wait_for_applications_running=True,
    )
    yield
    for name in names:
        ray_serve.delete(name)


@pytest.fixture
def applications(deployed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    # One that is slow is neither away nor silent, unless the test says so.
    monkeypatch.setattr(translator_module, "LOOKUP_TIMEOUT_S", 60.0)
    monkeypatch.setattr(ways_module, "PREFERRED_TIMEOUT_S", 60.0)


def asking(text: str) -> TranslationRequest:
    return TranslationRequest("default", "m", "s1", 1, "pt", "en", text)


async def by(ways: EngineFailover, engine: str) -> None:
    """Wait until an engine answers."""
    until = time.monotonic() + 120
    while True:
        try:
            if (await ways.translate(asking("hello"))).engine == engine:
                return
        except Unavailable:
            pass
        assert time.monotonic() < until
        await asyncio.sleep(0.1)


async def test_the_better_one_takes_over_when_it_answers_and_again_after_it_died(applications: None) -> None:
    ways = EngineFailover(lambda: (BETTER, PLAIN))
    # Whether the better one answers isn't known yet, and nobody waits for it.
    assert (await ways.translate(asking("hello"))).engine == PLAIN
    await by(ways, BETTER)
    # It dies of this question: the other one answers it, and what comes until it is back.
    assert (await ways.translate(asking("die"))).engine == PLAIN
    await by(ways, BETTER)


async def test_one_that_does_not_start_is_not_waited_for(applications: None) -> None:
    ways = EngineFailover(lambda: ("ways-nowhere", PLAIN))
    for _ in range(5):
        assert (await ways.translate(asking("hello"))).engine == PLAIN
        await asyncio.sleep(0.2)


async def test_what_only_the_better_one_can_is_owed_until_it_is_there(applications: None) -> None:
    ways = EngineFailover(lambda: ("ways-nowhere", PLAIN))
    with pytest.raises(Unavailable, match="is away"):
        await ways.translate(asking("hard"))
    alone = EngineFailover(lambda: (PLAIN,))
    assert (await alone.translate(asking("hard"))).status is CaptionStatus.UNTRANSLATED
    both = EngineFailover(lambda: (BETTER, PLAIN))
    await by(both, BETTER)
    assert (await both.translate(asking("hard"))).engine == BETTER


async def test_one_that_falls_silent_is_left_for_the_other(applications: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways_module, "PREFERRED_TIMEOUT_S", 0.5)
    ways = EngineFailover(lambda: (BETTER, PLAIN))
    await by(ways, BETTER)
    assert (await ways.translate(asking("slow"))).engine == PLAIN


async def test_one_that_is_full_is_helped_out_and_stays_the_first(applications: None, tmp_path: Path) -> None:
    full = "ways-full"
    small = Says.options(max_ongoing_requests=1, max_queued_requests=1)
    ray_serve.run(small.bind(full, tmp_path), name=full, route_prefix=None)
    try:
        ways = EngineFailover(lambda: (full, PLAIN))
        await by(ways, full)
        asked = [asyncio.create_task(ways.translate(asking("hold"))) for _ in range(4)]
        [refused, *_], _ = await asyncio.wait(asked, timeout=60, return_when=asyncio.FIRST_COMPLETED)
        assert refused.result().engine == PLAIN
        (tmp_path / "go").touch()
        assert {answer.engine for answer in await asyncio.gather(*asked)} == {full, PLAIN}
        assert (await ways.translate(asking("hello"))).engine == full
    finally:
        ray_serve.delete(full)


async def test_a_change_of_the_ways_is_followed_at_once(applications: None) -> None:
    names: list[Sequence[str] | None] = [None]
    ways = EngineFailover(lambda: names[-1])
    with pytest.raises(Unavailable, match="not known yet"):
        await ways.translate(asking("hello"))
    names.append((PLAIN,))
    assert (await ways.translate(asking("hello"))).engine == PLAIN
    names.append((BETTER,))
    assert (await ways.translate(asking("hello"))).engine == BETTER
    names.append(())
    assert (await ways.translate(asking("hello"))).reason == "translation is off"


async def test_a_health_check_that_fails_in_any_way_is_made_again_after_a_pause(
    applications: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, log, fail = "ways-broken", tmp_path / "log", tmp_path / "fail"
    log.touch()
    ray_serve.run(Says.bind(broken, tmp_path), name=broken, route_prefix=None)

    async def checked(ways: EngineFailover) -> None:
        until = time.monotonic() + 120
        while not log.read_text():
            assert (await ways.translate(asking("hello"))).engine == PLAIN
            assert time.monotonic() < until
            await asyncio.sleep(0.02)

    try:
        fail.touch()
        ways = EngineFailover(lambda: (broken, PLAIN))
        with monkeypatch.context() as patch:
            patch.setattr(ways_module, "PROBE_PAUSE_S", 3_600.0)
            await checked(ways)
            for _ in range(20):
                assert (await ways.translate(asking("hello"))).engine == PLAIN
            assert log.read_text().splitlines() == ["checked"]
        fail.unlink()
        await by(EngineFailover(lambda: (broken, PLAIN)), broken)
    finally:
        ray_serve.delete(broken)


async def test_two_event_loops_that_look_an_application_up_are_both_answered(
    applications: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing else must wake a loop that waits.
    monkeypatch.setattr(translator_module, "LOOKUP_TIMEOUT_S", 3_600.0)
    ways = EngineFailover(lambda: (PLAIN,))
    answers: list[str] = []

    def ask(waits: threading.Event) -> None:
        async def once() -> None:
            asked = asyncio.create_task(ways.translate(asking("hello")))
            # It runs until it waits for Serve's controller.
            await asyncio.sleep(0)
            waits.set()
            answers.append((await asked).engine)

        asyncio.run(once())

    [controller] = controllers()
    controller.send_signal(signal.SIGSTOP)
    threads: list[threading.Thread] = []
    try:
        for _ in range(2):
            waits = threading.Event()
            threads.append(threading.Thread(target=ask, args=(waits,), daemon=True))
            threads[-1].start()
            assert waits.wait(60)
    finally:
        controller.send_signal(signal.SIGCONT)
    for thread in threads:
        await asyncio.to_thread(thread.join, 120)
    assert answers == [PLAIN, PLAIN]


async def test_a_last_engine_that_wants_to_be_left_alone_does_not_keep_a_better_one_from_being_asked(
    applications: None,
) -> None:
    with pytest.raises(Unavailable) as alone:
        await EngineFailover(lambda: (PLAIN,)).translate(asking("busy"))
    assert alone.value.wait == 3_600
    with pytest.raises(Unavailable) as beside:
        await EngineFailover(lambda: ("ways-nowhere", PLAIN)).translate(asking("busy"))
    assert beside.value.wait == ways_module.MAX_RETRY_AFTER_S


async def test_what_only_an_engine_can_that_is_long_away_is_given_up(
    applications: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = EngineFailover(lambda: ("ways-nowhere", PLAIN), defer=True)
    with pytest.raises(Unavailable, match="is away"):
        await ways.translate(asking("hard"))
    monkeypatch.setattr(ways_module, "DEFER_AFTER_S", 0.0)
    with pytest.raises(Deferred):
        await ways.translate(asking("hard"))
    # The backfill, which pays it, goes on asking.
    with pytest.raises(Unavailable, match="is away"):
        await EngineFailover(lambda: ("ways-nowhere", PLAIN)).translate(asking("hard"))


@pytest.mark.usefixtures("clean_database", "unhurried")
async def test_a_meeting_that_waits_for_an_engine_that_is_away_holds_up_no_other_one(
    applications: None,
    aengine: AsyncEngine,
    engine: Engine,
    redis_async: Any,
    postgres_url: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ways_module, "DEFER_AFTER_S", 0.5)
    meetings = Meetings(aengine, Log(redis_async))
    held, other = [await open_recorded(meetings, aengine, targets=[target]) for target in ("de", "pt")]

    async def talk(meeting_id: UUID, sentences: int) -> None:
        talk = [
            said(k, f"c{k}", "Ann", f"Sentence number {k}.", 2.0 * k, 2.0 * k + 1, 2.0 * k) for k in range(sentences)
        ]
        await feed(meetings, meeting_id, [*talk, ending(2.0 * sentences)])

    ways = EngineFailover(lambda: ("ways-nowhere", PLAIN), defer=True)
    with running(postgres_url, redis_url, "batch-1", ways.translate, in_flight=4, capacity=8):
        # More than the lane has turns for, or room.
        await talk(held, 20)
        await talk(other, 2)
        captions = "select status from captions where meeting_id = :id"
        await until(lambda: rows(engine, captions, id=other) == [("translated",)] * 2, 120)
        await until(lambda: rows(engine, captions, id=held) == [("owed",)] * 20, 120)
