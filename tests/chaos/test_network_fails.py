"""Faults of the network between the flow and its stores. The door, beside its stores, goes on taking what is said."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from storage.embedded import StoreUrls
from tests.chaos.checks import assert_as_undisturbed
from tests.chaos.outcome import Outcome
from tests.chaos.proxy import Proxy
from tests.chaos.recordings import all_speech
from tests.chaos.report import FULL, Row
from tests.chaos.scene import Scene, through
from tests.chaos.wire import Wire

LONG = 30.0 if FULL else 6.0
"""Seconds that slowness and resets last."""
SILENCE = 10.0
BEFORE = 2.0
"""Seconds of undisturbed work before the fault."""

pytestmark = pytest.mark.timeout(900 if FULL else 600)
Report = Callable[[Row], None]


@contextmanager
def _scene(folder: Path, seconds: float, wire: Wire | None = None) -> Generator[tuple[Scene, list[Proxy]]]:
    """A scene whose flow reaches Postgres and Valkey through proxies, at the far end of a wire if there is one."""
    proxies: list[Proxy] = []
    with ExitStack() as stack:

        def between(urls: StoreUrls) -> StoreUrls:
            for url in (urls.postgres, urls.redis):
                port = urlsplit(url).port
                assert port is not None
                proxies.append(stack.enter_context(Proxy(port, wire.listen() if wire else None)))
            return through(urls, *(proxy.address for proxy in proxies))

        with Scene(folder, all_speech() if FULL else all_speech()[:2], seconds, between) as scene:
            scene.until(lambda: scene.committed() > 0)
            time.sleep(BEFORE)
            yield scene, proxies


def test_every_answer_half_a_second_late(undisturbed: Outcome, open_folder: Path, report: Report) -> None:
    with _scene(open_folder / "slow-network", BEFORE + LONG + 2) as (scene, proxies):
        for proxy in proxies:
            proxy.delay = 0.5
        time.sleep(LONG)
        for proxy in proxies:
            proxy.delay = 0.0
        scene.healed()
        outcome, recovery = scene.finish()
    report(scene.row("network: 500 ms latency", outcome, recovery))
    assert_as_undisturbed(scene, outcome, recovery, undisturbed)


def test_connections_break_off_every_second(undisturbed: Outcome, open_folder: Path, report: Report) -> None:
    broken = 0
    with _scene(open_folder / "broken-network", BEFORE + LONG + 2) as (scene, proxies):
        for _ in range(int(LONG)):
            time.sleep(1)
            broken += sum(proxy.reset() for proxy in proxies)
        scene.healed(int(LONG))
        outcome, recovery = scene.finish()
    report(scene.row("network: resets", outcome, recovery, {"connections broken": broken}))
    assert_as_undisturbed(scene, outcome, recovery, undisturbed)
    assert broken >= LONG


def test_a_network_that_swallows_everything(undisturbed: Outcome, open_folder: Path, report: Report) -> None:
    with _scene(open_folder / "silent-network", BEFORE + SILENCE + 2) as (scene, proxies):
        for proxy in proxies:
            proxy.silence()
        time.sleep(SILENCE)
        for proxy in proxies:
            proxy.speak()
        scene.healed()
        outcome, recovery = scene.finish()
    report(scene.row("network: half-open", outcome, recovery))
    assert_as_undisturbed(scene, outcome, recovery, undisturbed)


def test_a_host_that_vanishes_and_comes_back_without_its_connections(
    undisturbed: Outcome, open_folder: Path, report: Report
) -> None:
    with ExitStack() as stack:
        try:
            wire = stack.enter_context(Wire())
            wire.listen().close()
        except OSError as error:
            pytest.skip(f"no wire can be laid here: {error}")
        with _scene(open_folder / "vanished-host", BEFORE + SILENCE + 2, wire) as (scene, proxies):
            wire.cut()
            for proxy in proxies:
                proxy.reset()  # The other end is never told.
            time.sleep(SILENCE)
            wire.mend()
            scene.healed()
            outcome, recovery = scene.finish()
    report(scene.row("network: a host vanished", outcome, recovery))
    assert_as_undisturbed(scene, outcome, recovery, undisturbed)
