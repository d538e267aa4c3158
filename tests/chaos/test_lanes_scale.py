"""Lanes that are added and drained while meetings run, and meetings that move between lanes while lanes are killed."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.results.scenario_table import FULL, ScenarioRow
from tests.chaos.results.stored_result import StoredResult
from tests.chaos.systems.multi_lane_system import MultiLaneSystem, order_by_title, sleep_randomly
from tests.chaos.systems.single_lane_system import LANE_ID
from tests.chaos.workload.recorded_meetings import RecordedMeeting, all_meetings, count_events
from tests.harness.lane.threaded_lane import query_rows

Report = Callable[[ScenarioRow], None]

RECORDINGS: tuple[RecordedMeeting, ...] = tuple(
    replace(recording, title=f"{recording.title} #{k}")
    for k in range(2 if FULL else 1)
    for recording in all_meetings()[: 5 if FULL else 3]
)
DRAIN_COUNT = 30 if FULL else 3
"""The number of further rounds in which a lane is drained and another added."""
MEETINGS_S = 300.0 if FULL else 25.0
MOVE_COUNT = 500 if FULL else 50
KILL_COUNT = 100 if FULL else 8

pytestmark = pytest.mark.timeout(1800 if FULL else 600)


def test_scaling_from_one_lane_to_three_to_two_keeps_open_meetings(
    baseline: StoredResult, open_folder: Path, report: Report
) -> None:
    rng = random.Random(13)
    with MultiLaneSystem(open_folder / "lanes-scale", RECORDINGS, MEETINGS_S) as system:
        titles = list(system.client.ids)
        system.wait_until(lambda: system.committed_count() > count_events(RECORDINGS) // 20)
        lanes = [LANE_ID, system.add_lane(), system.add_lane()]
        # One meeting stays on the first lane until that lane is drained. The others move to the new lanes.
        for title in titles[1:]:
            system.move_meeting(title, rng.choice(lanes[1:]))
        system.wait_until(lambda: system.open_titles(LANE_ID) == {titles[0]})
        # Rebalancing starts only now: on a slow machine it would move meetings away from a lane that lags.
        system.start_rebalancing()
        _drain_and_kill(system, LANE_ID, rng, lanes)
        assert titles[0] in system.open_titles(*lanes)
        for _ in range(DRAIN_COUNT):
            lanes.append(system.add_lane())
            sleep_randomly(rng, 1.0)
            lane_id = rng.choice([candidate for candidate in lanes if system.open_titles(candidate)] or lanes)
            _drain_and_kill(system, lane_id, rng, lanes)
        result, recovery = system.finish()
        report(system.fleet_row("1→3→2 lanes, killed", result, recovery, drained=1 + DRAIN_COUNT))
        _assert_same_as_baseline(system, result, recovery, baseline)


def _drain_and_kill(system: MultiLaneSystem, lane_id: str, rng: random.Random, lanes: list[str]) -> None:
    """Drain a lane that has meetings, and kill it and a receiving lane meanwhile."""
    system.drain_lane(lane_id)
    lanes.remove(lane_id)
    for victim in rng.sample([lane_id, rng.choice(lanes)], 2):
        sleep_randomly(rng, 1.5)
        system.kill_lane(victim)
    system.wait_until(lambda: not system.open_titles(lane_id))


def test_a_meeting_moved_repeatedly_under_load_has_the_same_rows(
    baseline: StoredResult, open_folder: Path, report: Report
) -> None:
    rng = random.Random(17)
    with MultiLaneSystem(open_folder / "moved", RECORDINGS, MEETINGS_S) as system:
        moved, *others = system.client.ids
        lanes = [LANE_ID, system.add_lane()]
        for k, title in enumerate(others):
            system.move_meeting(title, lanes[k % 2])
        lane = LANE_ID
        kill_points = sorted(rng.sample(range(1, MOVE_COUNT), KILL_COUNT))
        for k in range(MOVE_COUNT):
            # Moves are spread evenly over the speech with random delays, so some happen before the last move has completed.
            system.wait_until(
                lambda k=k: len(system.client.ordinals[moved]) >= k * len(RECORDINGS[0].chunks) // (MOVE_COUNT + 1)
            )
            sleep_randomly(rng, 0.5 * MEETINGS_S / MOVE_COUNT)
            lane = next(candidate for candidate in lanes if candidate != lane)
            assert system.move_meeting(moved, lane)
            if k in kill_points:
                sleep_randomly(rng, 0.3)
                system.kill_lane(rng.choice(lanes))
        result, recovery = system.finish()
        report(system.fleet_row(f"moved back and forth {MOVE_COUNT} times, killed", result, recovery))
        _assert_same_as_baseline(system, result, recovery, baseline)
        [(moves,)] = query_rows(system.engine, "select moves from meetings where title = :title", title=moved)
        assert moves == MOVE_COUNT


def _assert_same_as_baseline(
    system: MultiLaneSystem, result: StoredResult, recovery: float | None, baseline: StoredResult
) -> None:
    """Assert that every accepted event is stored once and in order, exactly as on one lane without faults."""
    assert result.stored_count == system.client.accepted_count == count_events(RECORDINGS)
    assert (
        result.lost_count
        == result.pending
        == result.count_gaps()
        == result.count_duplicates()
        == result.sum_counter("dead")
        == 0
    )
    assert result.count_out_of_order(order_by_title) == 0
    assert recovery is not None
    for recording in RECORDINGS:
        baseline_title = recording.title.partition(" #")[0]
        actual, expected = result.rows_of([recording.title]), baseline.rows_of([baseline_title])
        assert [[row[1:] for row in kind] for kind in actual] == [[row[1:] for row in kind] for kind in expected]
        assert result.meetings[recording.title].last_committed == baseline.meetings[baseline_title].last_committed
        assert result.meetings[recording.title].counters.get("late") == baseline.meetings[baseline_title].counters.get(
            "late"
        )
    assert set(system.deaths()) == {-signal.SIGKILL}
    assert query_rows(system.engine, "select 1 from meetings where state is not null") == []
