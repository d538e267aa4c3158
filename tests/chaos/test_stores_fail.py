"""Stores that stop, hang, lose their data or run out of disk space."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster.runtime.store_watchdog import watch_stores
from storage.embedded_servers.postgres_valkey import PostgresServer, ValkeyServer
from tests.chaos.assertions import assert_consistent, assert_same_as_baseline
from tests.chaos.results.scenario_table import FULL, ScenarioRow
from tests.chaos.results.stored_result import StoredResult
from tests.chaos.systems.single_lane_system import SingleLaneSystem
from tests.chaos.workload.meeting_client import MAX_BATCH_EVENTS
from tests.chaos.workload.recorded_meetings import RecordedMeeting, all_meetings, number_in, numbered_meeting
from tests.harness.processes.slow_stores import (
    ENTRY_COUNT,
    count_entries,
    slow_down_loading,
    wait_until_loading,
    write_large_log,
)

FAULT_S = 30.0 if FULL else 8.0
"""Seconds a fault lasts."""
BEFORE_FAULT_S = 2.0
"""Seconds of work before the fault."""

pytestmark = pytest.mark.timeout(900 if FULL else 600)
Report = Callable[[ScenarioRow], None]


def _recordings() -> tuple[RecordedMeeting, ...]:
    return all_meetings() if FULL else all_meetings()[:2]


def _wait_before_fault(system: SingleLaneSystem) -> int:
    """Wait until the fault is due. Returns the number of events accepted by then."""
    system.wait_until(lambda: system.committed_count() > 0)
    time.sleep(BEFORE_FAULT_S)
    return system.client.accepted_count


def test_postgres_stopped(baseline: StoredResult, open_folder: Path, report: Report) -> None:
    with SingleLaneSystem(open_folder / "postgres-stopped", _recordings(), BEFORE_FAULT_S + FAULT_S + 2) as system:
        before = _wait_before_fault(system)
        system.store_server(PostgresServer).stop(system.store_port(PostgresServer))
        time.sleep(FAULT_S)
        meanwhile = system.client.accepted_count - before
        system.stores.start()
        system.fault_ended()
        result, recovery = system.finish()
    report(system.row("Postgres stopped", result, recovery, {"accepted meanwhile": meanwhile}))
    assert_same_as_baseline(system, result, recovery, baseline)
    assert meanwhile > 0
    assert not system.client.refusals


def test_redis_paused(baseline: StoredResult, open_folder: Path, report: Report) -> None:
    with SingleLaneSystem(open_folder / "redis-paused", _recordings(), BEFORE_FAULT_S + FAULT_S + 2) as system:
        _wait_before_fault(system)
        pid = system.store_pid(ValkeyServer)
        os.kill(pid, signal.SIGSTOP)
        before = system.client.accepted_count
        try:
            time.sleep(FAULT_S)
            meanwhile = system.client.accepted_count - before
        finally:
            os.kill(pid, signal.SIGCONT)
        system.fault_ended()
        result, recovery = system.finish()
    report(system.row("Redis paused", result, recovery))
    assert_same_as_baseline(system, result, recovery, baseline)
    # Batches in flight when Redis stopped may have been counted a moment later.
    assert meanwhile <= 2 * len(system.recordings) * MAX_BATCH_EVENTS


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_redis_restarted_with_its_data(baseline: StoredResult, open_folder: Path, report: Report, how: str) -> None:
    with SingleLaneSystem(open_folder / f"redis-{how}", _recordings(), BEFORE_FAULT_S + 4) as system:
        _wait_before_fault(system)
        if how == "stopped":
            system.store_server(ValkeyServer).stop(system.store_port(ValkeyServer))
        else:
            os.kill(system.store_pid(ValkeyServer), signal.SIGKILL)
        time.sleep(1)
        system.stores.start()
        system.fault_ended()
        result, recovery = system.finish()
    report(system.row(f"Redis {how}, back with its data", result, recovery))
    assert_same_as_baseline(system, result, recovery, baseline)


def test_redis_killed_while_it_loads(baseline: StoredResult, open_folder: Path, report: Report) -> None:
    with SingleLaneSystem(open_folder / "redis-loading", _recordings(), BEFORE_FAULT_S + 20) as system:
        write_large_log(system.urls)
        _wait_before_fault(system)
        os.kill(system.store_pid(ValkeyServer), signal.SIGKILL)
        system.wait_until(lambda: not system.store_server(ValkeyServer).is_running())
        slow_down_loading(system.stores_folder)
        with ThreadPoolExecutor(1) as pool:
            starting = pool.submit(system.stores.start)
            os.kill(wait_until_loading(system.stores_folder), signal.SIGKILL)
            starting.result()
        system.fault_ended(2)
        result, recovery = system.finish()
        assert count_entries(system.urls) == ENTRY_COUNT
    report(system.row("Redis killed while it loads its data", result, recovery))
    assert_same_as_baseline(system, result, recovery, baseline)


@pytest.mark.parametrize("behind", [False, True], ids=["lane up to date", "lane behind"])
def test_redis_restarted_empty(open_folder: Path, report: Report, behind: bool) -> None:
    # Every entry can be found, so the count of lost events can be compared with the missing ones.
    recordings = [numbered_meeting(f"numbered-{k}", 3000 if FULL else 600) for k in range(3)]
    # The meetings continue long after the fault: a loss is detected at once only if the client sends more events.
    with SingleLaneSystem(open_folder / f"redis-empty-{behind}", recordings, BEFORE_FAULT_S + 12) as system:
        _wait_before_fault(system)
        if behind:
            system.lane.suspend()
            # Lose many events: accepted, but not yet processed. One batch of each meeting may already be read.
            accepted_before = system.client.accepted_count
            system.wait_until(
                lambda: system.client.accepted_count > accepted_before + len(recordings) * MAX_BATCH_EVENTS
            )
        system.store_server(ValkeyServer).stop(system.store_port(ValkeyServer))
        shutil.rmtree(system.stores_folder / "valkey" / "appendonlydir")
        if behind:
            system.lane.resume()
            time.sleep(1)
        system.stores.start()
        system.fault_ended()
        result, recovery = system.finish()

    def line_number(_: str, caption: dict[str, Any]) -> int:
        return number_in(caption["text"])

    stored_lines = {(row[0], number_in(row[4])) for row in result.sentences if not row[-1]}
    accepted = {
        (title, int(event_id.removeprefix("line-")))
        for title, events in system.client.ordinals.items()
        for event_id in events
        if event_id != "end"
    }
    # The ends are stored as well, because the meetings have ended.
    stored_count = len(accepted & stored_lines) + len(recordings)
    row = system.row(
        f"Redis back empty, its lane {'behind' if behind else 'up to date'}", result, recovery, order_of=line_number
    )
    report(replace(row, stored=stored_count))
    assert_consistent(system, result, recovery, line_number)
    assert stored_lines <= accepted
    assert result.lost_count > 0 or not behind
    assert row.accepted == stored_count + result.lost_count
    for title, events in system.client.ordinals.items():
        assert len(set(events.values())) == len(events), f"{title}: an ordinal was assigned twice"


@pytest.fixture
def small_disk(open_folder: Path) -> Iterator[Path]:
    """A folder for stores on a separate small disk that can be filled."""
    stores_folder = open_folder / "disk-full" / "stores"
    stores_folder.mkdir(parents=True)
    stores_folder.parent.chmod(0o755)
    mount = ["mount", "-t", "tmpfs", "-o", "size=400m,mode=711", "tmpfs", str(stores_folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False) if shutil.which("mount") else None
    if mounted is None or mounted.returncode:
        pytest.skip(f"a small disk can't be mounted here: {mounted.stderr.strip() if mounted else 'there is no mount'}")
    try:
        yield stores_folder
    finally:
        subprocess.run(["umount", "--lazy", str(stores_folder)], check=True)


def test_no_space_for_the_stores(baseline: StoredResult, small_disk: Path, report: Report) -> None:
    with (
        SingleLaneSystem(small_disk.parent, _recordings(), BEFORE_FAULT_S + FAULT_S + 2) as system,
        ExitStack() as stack,
    ):
        _wait_before_fault(system)
        # Restart a server that exits because of the full disk, as `parley up` does.
        stack.callback(watch_stores(system.stores))
        ballast = small_disk / "ballast"
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)):
                pass
        time.sleep(FAULT_S)
        refusals = system.client.refusals["UnavailableError"]
        ballast.unlink()
        system.fault_ended()
        result, recovery = system.finish()
    report(system.row("no space for the stores", result, recovery, {"refusals": refusals}))
    assert_same_as_baseline(system, result, recovery, baseline)
    assert refusals > 0
