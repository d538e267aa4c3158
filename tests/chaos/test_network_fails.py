"""Network faults between the lane and its stores. The ingest API reaches the stores directly and continues."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from storage.store_urls import StoreUrls
from tests.chaos.assertions import assert_same_as_baseline
from tests.chaos.faults.network_partition import PartitionableLink
from tests.chaos.faults.store_proxy import FaultyStoreProxy
from tests.chaos.results.scenario_table import FULL, ScenarioRow
from tests.chaos.results.stored_result import StoredResult
from tests.chaos.systems.single_lane_system import SingleLaneSystem, replace_addresses
from tests.chaos.workload.recorded_meetings import all_meetings

FAULT_S = 30.0 if FULL else 6.0
"""Seconds for which the latency or the resets last."""
SILENCE_S = 10.0
"""Seconds for which the network drops everything."""
BEFORE_FAULT_S = 2.0
"""Seconds of work before the fault."""

pytestmark = pytest.mark.timeout(900 if FULL else 600)
Report = Callable[[ScenarioRow], None]


@contextmanager
def _system_behind_proxies(
    folder: Path, seconds: float, link: PartitionableLink | None = None
) -> Generator[tuple[SingleLaneSystem, list[FaultyStoreProxy]]]:
    """Run a system whose lane reaches Postgres and Valkey through proxies. With `link`, the proxies listen at its far end."""
    proxies: list[FaultyStoreProxy] = []
    with ExitStack() as stack:

        def wrap_urls(urls: StoreUrls) -> StoreUrls:
            for url in (urls.postgres, urls.redis):
                port = urlsplit(url).port
                assert port is not None
                proxies.append(stack.enter_context(FaultyStoreProxy(port, link.listen() if link else None)))
            return replace_addresses(urls, *(proxy.address for proxy in proxies))

        with SingleLaneSystem(folder, all_meetings() if FULL else all_meetings()[:2], seconds, wrap_urls) as system:
            system.wait_until(lambda: system.committed_count() > 0)
            time.sleep(BEFORE_FAULT_S)
            yield system, proxies


def test_half_a_second_of_latency(baseline: StoredResult, open_folder: Path, report: Report) -> None:
    with _system_behind_proxies(open_folder / "slow-network", BEFORE_FAULT_S + FAULT_S + 2) as (system, proxies):
        for proxy in proxies:
            proxy.delay_s = 0.5
        time.sleep(FAULT_S)
        for proxy in proxies:
            proxy.delay_s = 0.0
        system.fault_ended()
        result, recovery = system.finish()
    report(system.row("network: 500 ms latency", result, recovery))
    assert_same_as_baseline(system, result, recovery, baseline)


def test_connections_reset_every_second(baseline: StoredResult, open_folder: Path, report: Report) -> None:
    reset_count = 0
    with _system_behind_proxies(open_folder / "broken-network", BEFORE_FAULT_S + FAULT_S + 2) as (system, proxies):
        for _ in range(int(FAULT_S)):
            time.sleep(1)
            reset_count += sum(proxy.reset() for proxy in proxies)
        system.fault_ended(int(FAULT_S))
        result, recovery = system.finish()
    report(system.row("network: resets", result, recovery, {"connections reset": reset_count}))
    assert_same_as_baseline(system, result, recovery, baseline)
    assert reset_count >= FAULT_S


def test_a_network_that_drops_everything_silently(baseline: StoredResult, open_folder: Path, report: Report) -> None:
    with _system_behind_proxies(open_folder / "silent-network", BEFORE_FAULT_S + SILENCE_S + 2) as (system, proxies):
        for proxy in proxies:
            proxy.silence()
        time.sleep(SILENCE_S)
        for proxy in proxies:
            proxy.restore()
        system.fault_ended()
        result, recovery = system.finish()
    report(system.row("network: half-open", result, recovery))
    assert_same_as_baseline(system, result, recovery, baseline)


def test_a_host_that_vanishes_and_returns_without_its_connections(
    baseline: StoredResult, open_folder: Path, report: Report
) -> None:
    with ExitStack() as stack:
        try:
            link = stack.enter_context(PartitionableLink())
            link.listen().close()
        except OSError as error:
            pytest.skip(f"no partitionable link can be created here: {error}")
        with _system_behind_proxies(open_folder / "vanished-host", BEFORE_FAULT_S + SILENCE_S + 2, link) as (
            system,
            proxies,
        ):
            link.cut()
            for proxy in proxies:
                proxy.reset()  # The other end is not notified: the link is cut.
            time.sleep(SILENCE_S)
            link.restore()
            system.fault_ended()
            result, recovery = system.finish()
    report(system.row("network: a host vanished", result, recovery))
    assert_same_as_baseline(system, result, recovery, baseline)
