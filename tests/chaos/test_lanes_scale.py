"""Lanes that come and go while meetings run, and meetings that move between them, with lanes that die in the midst of it."""

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
    replace(one, title=f"{one.title} #{k}")
    for k in range(2 if FULL else 1)
    for one in all_meetings()[: 5 if FULL else 3]
)
DRAIN_COUNT = 30 if FULL else 3
"""How often a lane is drained and another added, after the first one."""
MEETINGS_S = 300.0 if FULL else 25.0
MOVE_COUNT = 500 if FULL else 50
KILL_COUNT = 100 if FULL else 8

pytestmark = pytest.mark.timeout(1800 if FULL else 600)


def test_from_one_lane_to_three_to_two_with_meetings_open_throughout(
    undisturbed: StoredResult, open_folder: Path, report: Report
) -> None:
    rng = random.Random(13)
    with MultiLaneSystem(open_folder / "lanes-scale", RECORDINGS, MEETINGS_S) as system:
        titles = list(system.client.ids)
        system.wait_until(lambda: system.committed_count() > count_events(RECORDINGS) // 20)
        lanes = [LANE_ID, system.add_lane(), system.add_lane()]
        # One meeting is open on the first lane until that is drained; the others go on in the new ones.
        for title in titles[1:]:
            system.move_meeting(title, rng.choice(lanes[1:]))
        system.wait_until(lambda: system.open_titles(LANE_ID) == {titles[0]})
        # Not before: a lane that a slow machine lets fall behind would be relieved of it, or of another.
        system.start_rebalancing()
        _drain_and_kill(system, LANE_ID, rng, lanes)
        assert titles[0] in system.open_titles(*lanes)
        for _ in range(DRAIN_COUNT):
            lanes.append(system.add_lane())
            sleep_randomly(rng, 1.0)
            lane_id = rng.choice([one for one in lanes if system.open_titles(one)] or lanes)
            _drain_and_kill(system, lane_id, rng, lanes)
        result, recovery = system.finish()
        report(system.fleet_row("1→3→2 lanes, killed", result, recovery, drained=1 + DRAIN_COUNT))
        _assert_same_as_baseline(system, result, recovery, undisturbed)


def _drain_and_kill(system: MultiLaneSystem, lane_id: str, rng: random.Random, lanes: list[str]) -> None:
    """Drain a lane that has meetings, and kill it and one that takes them in the midst of it."""
    system.drain_lane(lane_id)
    lanes.remove(lane_id)
    for victim in rng.sample([lane_id, rng.choice(lanes)], 2):
        sleep_randomly(rng, 1.5)
        system.kill_lane(victim)
    system.wait_until(lambda: not system.open_titles(lane_id))


def test_a_meeting_moved_back_and_forth_under_load_has_the_same_rows(
    undisturbed: StoredResult, open_folder: Path, report: Report
) -> None:
    rng = random.Random(17)
    with MultiLaneSystem(open_folder / "moved", RECORDINGS, MEETINGS_S) as system:
        moved, *others = system.client.ids
        lanes = [LANE_ID, system.add_lane()]
        for k, title in enumerate(others):
            system.move_meeting(title, lanes[k % 2])
        lane = LANE_ID
        at = sorted(rng.sample(range(1, MOVE_COUNT), KILL_COUNT))
        for k in range(MOVE_COUNT):
            # Evenly over the speech, each at a random moment; now and then before it could have arrived.
            system.wait_until(
                lambda k=k: len(system.client.ordinals[moved]) >= k * len(RECORDINGS[0].chunks) // (MOVE_COUNT + 1)
            )
            sleep_randomly(rng, 0.5 * MEETINGS_S / MOVE_COUNT)
            lane = next(one for one in lanes if one != lane)
            assert system.move_meeting(moved, lane)
            if k in at:
                sleep_randomly(rng, 0.3)
                system.kill_lane(rng.choice(lanes))
        result, recovery = system.finish()
        report(system.fleet_row(f"moved back and forth {MOVE_COUNT} times, killed", result, recovery))
        _assert_same_as_baseline(system, result, recovery, undisturbed)
        [(moves,)] = query_rows(system.engine, "select moves from meetings where title = :title", title=moved)
        assert moves == MOVE_COUNT


def _assert_same_as_baseline(
    system: MultiLaneSystem, result: StoredResult, recovery: float | None, baseline: StoredResult
) -> None:
    """All that was accepted is stored once and in order, to the byte as it is on one lane that nothing disturbs."""
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
