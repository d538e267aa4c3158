"""Lanes that are killed, and suspended lanes that wake up after they were replaced."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from tests.chaos.assertions import assert_same_as_baseline
from tests.chaos.results.scenario_table import FULL, ScenarioRow
from tests.chaos.results.stored_result import StoredResult
from tests.chaos.systems.lane_main import FENCED_EXIT_STATUS
from tests.chaos.systems.single_lane_system import SingleLaneSystem
from tests.chaos.workload.recorded_meetings import RecordedMeeting, all_meetings, count_events
from tests.chaos.workload.subscribers import ApiSubscribers
from tests.harness.lane.threaded_lane import query_rows

KILL_COUNT = 200 if FULL else 20
STOP_COUNT = 20 if FULL else 2

Report = Callable[[ScenarioRow], None]

pytestmark = pytest.mark.timeout(1800 if FULL else 600)


@pytest.mark.main_path
def test_killing_a_lane_during_one_meeting_does_not_change_its_rows(open_folder: Path, report: Report) -> None:
    recordings = all_meetings()[:1]
    with SingleLaneSystem(open_folder / "one-baseline", recordings, 0) as system:
        baseline, _ = system.finish()
    _kill_lane_at_points(open_folder / "one-killed-lane", recordings, 5, baseline, report)


def test_killing_a_lane_at_random_points_does_not_change_the_rows(
    baseline: StoredResult, open_folder: Path, report: Report
) -> None:
    _kill_lane_at_points(open_folder / "killed-lane", all_meetings(), KILL_COUNT, baseline, report)


def _kill_lane_at_points(
    folder: Path, recordings: Sequence[RecordedMeeting], kills: int, baseline: StoredResult, report: Report
) -> None:
    rng = random.Random(7)
    points = sorted(rng.sample(range(1, count_events(recordings)), kills))
    with (
        SingleLaneSystem(folder, recordings, 0) as system,
        ApiSubscribers(system.urls, system.client.ids) as subscribers,
    ):
        for point in points:
            system.wait_until(lambda point=point: system.committed_count() >= point and system.is_lane_owned())
            time.sleep(rng.uniform(0, 0.1))
            system.lane.kill()
            system.fault_ended()
        result, recovery = system.finish()
        received = subscribers.received_seqs()
    report(system.row("lane killed", result, recovery))
    assert_same_as_baseline(system, result, recovery, baseline)
    assert system.lane.exit_statuses == [-signal.SIGKILL] * kills
    assert received == {title: list(range(1, meeting.last_seq + 1)) for title, meeting in result.meetings.items()}


@pytest.mark.parametrize("within", [False, True], ids=["between transactions", "within one"])
def test_a_lane_resumed_after_its_replacement_can_not_write(
    baseline: StoredResult, open_folder: Path, report: Report, within: bool
) -> None:
    recordings = all_meetings()[:2]
    stops = (4 if FULL else 1) if within else STOP_COUNT
    total_count = count_events(recordings) + len(recordings)  # Including the entry that starts each meeting.
    with SingleLaneSystem(
        open_folder / f"stopped-lane-{within}", recordings, (12.0 if within else 2.0) * stops
    ) as system:
        for stop in range(1, stops + 1):
            point = count_events(recordings) * stop // (stops + 2)
            system.wait_until(lambda point=point: system.committed_count() >= point)
            (_suspend_within_a_transaction if within else _suspend_between_transactions)(system)
            # Read before the successor starts: it may have committed everything by the time it is seen to own the lane.
            before = system.committed_count()
            suspended = system.lane.replace()
            try:
                system.wait_until(system.is_lane_owned)
                system.wait_until(
                    lambda before=before: system.committed_count() > before or system.committed_count() == total_count
                )
            finally:
                assert suspended.pid is not None
                os.kill(suspended.pid, signal.SIGCONT)
            suspended.join(60)
            # A lane suspended within a transaction lost it, and fails with that error before it can check the lane's owner.
            assert suspended.exitcode in ((FENCED_EXIT_STATUS, 1) if within else (FENCED_EXIT_STATUS,))
            system.fault_ended()
        result, recovery = system.finish()
    report(system.row("lane stopped in a transaction" if within else "lane stopped and replaced", result, recovery))
    assert_same_as_baseline(system, result, recovery, baseline)
    assert not system.lane.exit_statuses


_WAITING_COMMIT_QUERY = (
    "select 1 from pg_stat_activity a join pg_locks l on l.pid = a.pid where a.wait_event_type = 'Lock'"
    " and l.relation = 'lanes'::regclass and l.mode = 'RowShareLock'"
)
"""Finds a session that waits for a lock while it holds the lane's row, as in a commit."""


def _suspend_within_a_transaction(system: SingleLaneSystem) -> None:
    with system.engine.begin() as connection:
        connection.execute(text("select 1 from meetings for update"))
        system.wait_until(lambda: bool(query_rows(system.engine, _WAITING_COMMIT_QUERY)))
        system.lane.suspend()


def _suspend_between_transactions(system: SingleLaneSystem) -> None:
    system.lane.suspend()
    while True:
        time.sleep(0.1)  # By now the statements sent before the signal have begun.
        ports = [connection.laddr.port for connection in psutil.Process(system.lane.process.pid).net_connections("tcp")]
        open_transaction = "select 1 from pg_stat_activity where client_port = any(:ports) and xact_start is not null"
        if not query_rows(system.engine, open_transaction, ports=ports):
            return
        system.lane.resume()
        time.sleep(0.01)
        system.lane.suspend()
