"""Assertions on the result of a scenario."""

from __future__ import annotations

from tests.chaos.results.stored_result import CaptionOrder, StoredResult
from tests.chaos.systems.single_lane_system import MAX_LANE_MB, SingleLaneSystem
from tests.chaos.workload.recorded_meetings import caption_order, count_events


def assert_consistent(
    system: SingleLaneSystem, result: StoredResult, recovery: float | None, order_of: CaptionOrder = caption_order
) -> None:
    """Assert that no live event is duplicated or missing, and no caption is out of order or pending.

    The lane must also have recovered, and its memory must have stayed below `MAX_LANE_MB`.
    """
    assert result.pending == 0
    assert result.count_gaps() == 0
    assert result.count_duplicates() == 0
    assert result.count_out_of_order(order_of) == 0
    assert result.sum_counter("dead") == 0
    assert recovery is not None
    assert system.lane.peak_mb < MAX_LANE_MB


def assert_same_as_baseline(
    system: SingleLaneSystem, result: StoredResult, recovery: float | None, baseline: StoredResult
) -> None:
    """Assert `assert_consistent`, and that every accepted event is stored exactly as in the run without faults."""
    assert_consistent(system, result, recovery)
    assert result.lost_count == 0
    assert result.stored_count == system.client.accepted_count == count_events(system.recordings)
    titles = [meeting.title for meeting in system.recordings]
    assert result.rows_of(titles) == baseline.rows_of(titles)
    for title in titles:
        assert result.meetings[title].last_committed == baseline.meetings[title].last_committed
        assert result.meetings[title].counters.get("late") == baseline.meetings[title].counters.get("late")
