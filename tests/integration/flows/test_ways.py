"""flows/ways.py over a real Serve: who answers while the preferred engine starts, dies, is slow or is full."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator, Sequence

import pytest
from ray import serve as ray_serve

from flows import translator as translator_module
from flows import ways as ways_module
from flows.ways import Ways
from operators.errors import Unavailable
from operators.translation import CaptionStatus, Translation, TranslationRequest

pytest_plugins = ["tests.harness.ray_cluster"]

BETTER, PLAIN = "ways-better", "ways-plain"


@ray_serve.deployment(ray_actor_options={"num_cpus": 0.1}, health_check_period_s=1, graceful_shutdown_wait_loop_s=0.1)
class Says:
    """Answers with its name. What the text asks for beside that: `die`, `slow`; the plain one can't do `hard`."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def translate(self, request: TranslationRequest) -> Translation:
        if self._name == BETTER and request.text == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._name == BETTER and request.text == "slow":
            await asyncio.sleep(30)
        if self._name == PLAIN and request.text == "hard":
            return Translation(CaptionStatus.UNTRANSLATED, None, self._name, "no model")
        return Translation(CaptionStatus.TRANSLATED, request.text, self._name)

    async def check_health(self) -> None:
        pass


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
    monkeypatch.setattr(translator_module, "LOOK_UP", 60.0)
    monkeypatch.setattr(ways_module, "PATIENCE", 60.0)


def asking(text: str) -> TranslationRequest:
    return TranslationRequest("default", "m", "s1", 1, "pt", "en", text)


async def by(ways: Ways, engine: str) -> None:
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
    ways = Ways(lambda: (BETTER, PLAIN))
    # Whether the better one answers isn't known yet, and nobody waits for it.
    assert (await ways.translate(asking("hello"))).engine == PLAIN
    await by(ways, BETTER)
    # It dies of this question: the other one answers it, and what comes until it is back.
    assert (await ways.translate(asking("die"))).engine == PLAIN
    await by(ways, BETTER)


async def test_one_that_does_not_start_is_not_waited_for(applications: None) -> None:
    ways = Ways(lambda: ("ways-nowhere", PLAIN))
    for _ in range(5):
        assert (await ways.translate(asking("hello"))).engine == PLAIN
        await asyncio.sleep(0.2)


async def test_what_only_the_better_one_can_is_owed_until_it_is_there(applications: None) -> None:
    ways = Ways(lambda: ("ways-nowhere", PLAIN))
    with pytest.raises(Unavailable, match="is away"):
        await ways.translate(asking("hard"))
    alone = Ways(lambda: (PLAIN,))
    assert (await alone.translate(asking("hard"))).status is CaptionStatus.UNTRANSLATED
    both = Ways(lambda: (BETTER, PLAIN))
    await by(both, BETTER)
    assert (await both.translate(asking("hard"))).engine == BETTER


async def test_one_that_falls_silent_is_left_for_the_other(applications: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways_module, "PATIENCE", 0.5)
    ways = Ways(lambda: (BETTER, PLAIN))
    await by(ways, BETTER)
    assert (await ways.translate(asking("slow"))).engine == PLAIN


async def test_a_change_of_the_ways_is_followed_at_once(applications: None) -> None:
    names: list[Sequence[str] | None] = [None]
    ways = Ways(lambda: names[-1])
    with pytest.raises(Unavailable, match="not known yet"):
        await ways.translate(asking("hello"))
    names.append((PLAIN,))
    assert (await ways.translate(asking("hello"))).engine == PLAIN
    names.append((BETTER,))
    assert (await ways.translate(asking("hello"))).engine == BETTER
    names.append(())
    assert (await ways.translate(asking("hello"))).reason == "translation is off"
