"""What is decided about lanes: retired ones empty, hot ones are relieved, and their number follows the load."""

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
    LaneAutoscaler,
    LaneBounds,
    Move,
    Retire,
)
from storage.placement import LaneKind, LaneRecord


def lane(lane_id: str, meetings: int, *, kind: LaneKind = "live", retired: bool = False) -> LaneRecord:
    now = datetime.now(UTC)
    return LaneRecord(lane_id, kind, 1, None, None, "running", retired, "0-0", 0, 0, now, meetings)


def test_a_retired_lane_gives_its_meetings_to_the_least_loaded() -> None:
    lanes = [lane("live-1", 4), lane("live-2", 1), lane("live-3", 5, retired=True), lane("batch-1", 0, kind="batch")]
    moves = LaneAutoscaler().plan(lanes, {}, 0.0)
    assert {(m.to, m.count) for m in moves if isinstance(m, Move)} == {("live-2", 4), ("live-1", 1)}
    assert all(isinstance(m, Move) and m.lane_id == "live-3" for m in moves)


def test_a_hot_lane_gives_one_meeting_away_and_then_waits_whether_that_helps() -> None:
    balance, lanes = LaneAutoscaler(), [lane("live-1", 3), lane("live-2", 3), lane("live-3", 1)]
    lag = {"live-1": HOT_LAG_S + 1, "live-2": 2.0}
    assert balance.plan(lanes, lag, 0.0) == [Move("live-1", "live-3", 1)]
    assert balance.plan(lanes, lag, RELIEF_PAUSE_S / 2) == []
    assert balance.plan(lanes, lag, RELIEF_PAUSE_S) == [Move("live-1", "live-3", 1)]
    # Its only meeting would be as slow elsewhere, and a lane that is behind itself is no help.
    assert LaneAutoscaler().plan([lane("live-1", 1), lane("live-2", 0)], lag | {"live-2": 0.0}, 0.0) == []
    assert LaneAutoscaler().plan(lanes[:2], lag, 0.0) == []


def test_lanes_are_added_as_meetings_come_and_drained_when_few_have_been_enough_for_a_while() -> None:
    balance = LaneAutoscaler({"live": LaneBounds(1, 3, 10)})
    assert balance.plan([lane("live-1", 10)], {}, 0.0) == []
    assert balance.plan([lane("live-1", 11)], {}, 1.0) == [Add("live")]
    assert balance.plan([lane("live-1", 31)], {}, 2.0) == []  # The one that was added is not there yet.
    two = [lane("live-1", 11), lane("live-2", 10)]
    assert balance.plan(two, {}, 2 + RELIEF_PAUSE_S) == [Add("live")]
    three = [lane("live-1", 20), lane("live-2", 20), lane("live-3", 20)]
    assert balance.plan(three, {}, 4 + 2 * RELIEF_PAUSE_S) == []  # No more than three.
    few = [lane("live-1", 3), lane("live-2", 2), lane("live-3", 2)]
    assert balance.plan(few, {}, 100.0) == []
    assert balance.plan(few, {}, 100.0 + DRAIN_AFTER_S / 2) == []
    assert balance.plan(few, {}, 100.0 + DRAIN_AFTER_S) == [Retire("live-3")]
    assert LaneAutoscaler({"live": LaneBounds(3, 3, 10)}).plan(few, {}, 0.0) == []


def test_a_lane_is_added_when_all_are_behind() -> None:
    lanes = [lane("live-1", 1), lane("live-2", 1)]
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
def test_round_after_round_retired_lanes_empty_and_no_meeting_is_made_up(
    drawn: list[tuple[int, bool, float]], least: int, more: int
) -> None:
    balance = LaneAutoscaler({"live": LaneBounds(least, least + more, 10)})
    load = Counter({f"live-{k}": meetings for k, (meetings, _, _) in enumerate(drawn)})
    retired = {f"live-{k}" for k, (_, gone, _) in enumerate(drawn) if gone}
    lag = {f"live-{k}": behind for k, (_, _, behind) in enumerate(drawn)}
    before, taking = load.total(), len(load) - len(retired)
    for turn in range(30):
        lanes = [lane(one, load[one], retired=one in retired) for one in sorted({*load, *retired})]
        for action in balance.plan(lanes, lag, turn * RELIEF_PAUSE_S):
            match action:
                case Move():
                    assert action.to not in retired
                    assert 0 < action.count <= min(MAX_MOVES, load[action.lane_id])
                    load[action.lane_id] -= action.count
                    load[action.to] += action.count
                case Add():
                    load[f"new-{len(load)}"] = 0
                case Retire():
                    retired.add(action.lane_id)
    assert load.total() == before
    if taking:
        assert all(load[one] == 0 for one in retired if retired != set(load))
        assert len(load) - len(retired) >= min(taking, least)
