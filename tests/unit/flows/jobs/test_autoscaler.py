"""flows/jobs/autoscaler.py: draining lanes are emptied, hot lanes are relieved, and the number of lanes follows the load."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from flows.jobs.autoscaler import (
    DRAIN_AFTER_S,
    HOT_LAG_S,
    MAX_MOVES,
    RELIEF_PAUSE_S,
    Add,
    Drain,
    LaneAutoscaler,
    LaneBounds,
    Move,
)
from storage.postgres.lane_registry import LaneKind, LaneRecord


def make_lane(lane_id: str, meetings: int, *, kind: LaneKind = "live", draining: bool = False) -> LaneRecord:
    now = datetime.now(UTC)
    return LaneRecord(lane_id, kind, 1, None, None, "running", draining, "0-0", 0, 0, now, meetings)


def test_a_draining_lane_is_emptied_to_the_least_loaded_lanes() -> None:
    lanes = [
        make_lane("live-1", 4),
        make_lane("live-2", 1),
        make_lane("live-3", 5, draining=True),
        make_lane("batch-1", 0, kind="batch"),
    ]
    moves = LaneAutoscaler().plan(lanes, {}, 0.0)
    assert {(m.to, m.count) for m in moves if isinstance(m, Move)} == {("live-2", 4), ("live-1", 1)}
    assert all(isinstance(m, Move) and m.lane_id == "live-3" for m in moves)


def test_a_hot_lane_moves_one_meeting_and_waits_for_the_effect() -> None:
    autoscaler, lanes = LaneAutoscaler(), [make_lane("live-1", 3), make_lane("live-2", 3), make_lane("live-3", 1)]
    lag = {"live-1": HOT_LAG_S + 1, "live-2": 2.0}
    assert autoscaler.plan(lanes, lag, 0.0) == [Move("live-1", "live-3", 1)]
    assert autoscaler.plan(lanes, lag, RELIEF_PAUSE_S / 2) == []
    assert autoscaler.plan(lanes, lag, RELIEF_PAUSE_S) == [Move("live-1", "live-3", 1)]
    # Neither a move of a lane's only meeting nor a move to a lagging lane would help.
    assert LaneAutoscaler().plan([make_lane("live-1", 1), make_lane("live-2", 0)], lag | {"live-2": 0.0}, 0.0) == []
    assert LaneAutoscaler().plan(lanes[:2], lag, 0.0) == []


def test_lanes_are_added_under_load_and_drained_after_a_while_with_spare_capacity() -> None:
    autoscaler = LaneAutoscaler({"live": LaneBounds(1, 3, 10)})
    assert autoscaler.plan([make_lane("live-1", 10)], {}, 0.0) == []
    assert autoscaler.plan([make_lane("live-1", 11)], {}, 1.0) == [Add("live")]
    assert autoscaler.plan([make_lane("live-1", 31)], {}, 2.0) == []  # The added lane has not started yet.
    two = [make_lane("live-1", 11), make_lane("live-2", 10)]
    assert autoscaler.plan(two, {}, 2 + RELIEF_PAUSE_S) == [Add("live")]
    three = [make_lane("live-1", 20), make_lane("live-2", 20), make_lane("live-3", 20)]
    assert autoscaler.plan(three, {}, 4 + 2 * RELIEF_PAUSE_S) == []  # No more than three.
    few = [make_lane("live-1", 3), make_lane("live-2", 2), make_lane("live-3", 2)]
    assert autoscaler.plan(few, {}, 100.0) == []
    assert autoscaler.plan(few, {}, 100.0 + DRAIN_AFTER_S / 2) == []
    assert autoscaler.plan(few, {}, 100.0 + DRAIN_AFTER_S) == [Drain("live-3")]
    assert LaneAutoscaler({"live": LaneBounds(3, 3, 10)}).plan(few, {}, 0.0) == []


def test_a_lane_is_added_when_all_lanes_are_hot() -> None:
    lanes = [make_lane("live-1", 1), make_lane("live-2", 1)]
    assert LaneAutoscaler({"live": LaneBounds(1, 3, 10)}).plan(
        lanes, {"live-1": HOT_LAG_S, "live-2": HOT_LAG_S}, 0.0
    ) == [Add("live")]
    assert (
        LaneAutoscaler({"live": LaneBounds(2, 2, 10)}).plan(lanes, {"live-1": HOT_LAG_S, "live-2": HOT_LAG_S}, 0.0)
        == []
    )


@given(
    st.lists(st.tuples(st.integers(0, 30), st.booleans(), st.floats(0, 20)), min_size=1, max_size=6),
    st.integers(1, 4),
    st.integers(0, 3),
)
def test_repeated_plans_empty_draining_lanes_and_keep_the_number_of_meetings(
    drawn: list[tuple[int, bool, float]], min_lanes: int, extra_lanes: int
) -> None:
    autoscaler = LaneAutoscaler({"live": LaneBounds(min_lanes, min_lanes + extra_lanes, 10)})
    load = Counter({f"live-{k}": meetings for k, (meetings, _, _) in enumerate(drawn)})
    draining = {f"live-{k}" for k, (_, is_draining, _) in enumerate(drawn) if is_draining}
    lag = {f"live-{k}": seconds for k, (_, _, seconds) in enumerate(drawn)}
    before, active = load.total(), len(load) - len(draining)
    for turn in range(30):
        lanes = [
            make_lane(lane_id, load[lane_id], draining=lane_id in draining) for lane_id in sorted({*load, *draining})
        ]
        for action in autoscaler.plan(lanes, lag, turn * RELIEF_PAUSE_S):
            match action:
                case Move():
                    assert action.to not in draining
                    assert 0 < action.count <= min(MAX_MOVES, load[action.lane_id])
                    load[action.lane_id] -= action.count
                    load[action.to] += action.count
                case Add():
                    load[f"new-{len(load)}"] = 0
                case Drain():
                    draining.add(action.lane_id)
    assert load.total() == before
    if active:
        assert all(load[lane_id] == 0 for lane_id in draining if draining != set(load))
        assert len(load) - len(draining) >= min(active, min_lanes)
