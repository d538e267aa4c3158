"""Which lanes there are to be, and which meetings are to go on in another one: what keeps the load even.

A lane that was retired gives its meetings away. A lane that falls behind gives some to one that doesn't. Where the
number of lanes may vary, it follows the number of meetings, and grows where all lanes are behind.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from storage.placement import LaneKind, LaneRecord

HOT_LAG_S = 5.0
"""Seconds of lag from which on a lane is to be relieved."""
COOL_LAG_S = 1.0
"""Seconds of lag up to which a lane may take meetings of a hot one."""
RELIEF_PAUSE_S = 10.0
"""Seconds between two meetings that a hot lane gives away, and between two lanes that are added: each needs time to help."""
DRAIN_AFTER_S = 60.0
"""Seconds for which fewer lanes must have been enough before one is drained."""
MAX_FILL = 0.7
"""How full the remaining lanes may be at most after one is drained."""
MAX_MOVES = 10
"""Meetings that leave a retired lane in one round."""


@dataclass(frozen=True, slots=True)
class LaneBounds:
    """How many lanes of a kind there may be, and how many meetings one is meant for."""

    min_lanes: int
    max_lanes: int
    meetings_per_lane: int


@dataclass(frozen=True, slots=True)
class Move:
    """Meetings of one lane, `count` of them, go on in another."""

    lane_id: str
    to: str
    count: int


@dataclass(frozen=True, slots=True)
class Add:
    """There is to be another lane."""

    kind: LaneKind


@dataclass(frozen=True, slots=True)
class Retire:
    """A lane is to be drained."""

    lane_id: str


@dataclass(slots=True)
class LaneAutoscaler:
    """Decides, round after round.

    Attributes:
        bounds: how many lanes of each kind; a kind that isn't there keeps its number.
    """

    bounds: Mapping[LaneKind, LaneBounds] = field(default_factory=dict[LaneKind, LaneBounds])
    _relieved: dict[str, float] = field(default_factory=dict[str, float])
    _added: dict[LaneKind, float] = field(default_factory=dict[LaneKind, float])
    _spare_since: dict[LaneKind, float] = field(default_factory=dict[LaneKind, float])

    def plan(self, lanes: Sequence[LaneRecord], lag: Mapping[str, float], now: float) -> list[Move | Add | Retire]:
        """What is to be done.

        Args:
            lanes: all lanes.
            lag: seconds that each is behind.
            now: seconds of a clock that never runs back.
        """
        actions: list[Move | Add | Retire] = []
        for kind in ("live", "batch"):
            mine = [lane for lane in lanes if lane.kind == kind]
            taking = [lane for lane in mine if not lane.retired]
            if taking:
                load = Counter({lane.id: lane.open_meetings for lane in taking})
                actions += self._empty_retired([lane for lane in mine if lane.retired], load)
                actions += self._relieve(taking, load, lag, now)
                actions += self._resize(kind, taking, lag, now)
        return actions

    def _empty_retired(self, retired: Sequence[LaneRecord], load: Counter[str]) -> list[Move | Add | Retire]:
        moves: Counter[tuple[str, str]] = Counter()
        for lane in retired:
            for _ in range(min(MAX_MOVES, lane.open_meetings)):
                to = min(load, key=lambda lane_id: (load[lane_id], lane_id))
                load[to] += 1
                moves[lane.id, to] += 1
        return [Move(lane_id, to, count) for (lane_id, to), count in moves.items()]

    def _relieve(
        self, taking: Sequence[LaneRecord], load: Counter[str], lag: Mapping[str, float], now: float
    ) -> list[Move | Add | Retire]:
        cool = [lane.id for lane in taking if lag.get(lane.id, 0.0) <= COOL_LAG_S]
        moves: list[Move | Add | Retire] = []
        for lane in taking:
            # One that doesn't run can let go of nothing: it is to be started again, not relieved.
            hot = lag.get(lane.id, 0.0) >= HOT_LAG_S and lane.open_meetings > 1 and lane.state == "running"
            if not hot or not cool or now - self._relieved.get(lane.id, -RELIEF_PAUSE_S) < RELIEF_PAUSE_S:
                continue
            to = min(cool, key=lambda lane_id: (load[lane_id], lane_id))
            load[to] += 1
            self._relieved[lane.id] = now
            moves.append(Move(lane.id, to, 1))
        return moves

    def _resize(
        self, kind: LaneKind, taking: Sequence[LaneRecord], lag: Mapping[str, float], now: float
    ) -> list[Move | Add | Retire]:
        bounds = self.bounds.get(kind)
        if bounds is None:
            return []
        meetings = sum(lane.open_meetings for lane in taking)
        behind = all(lag.get(lane.id, 0.0) >= HOT_LAG_S for lane in taking)
        needed = max(bounds.min_lanes, math.ceil(meetings / bounds.meetings_per_lane), len(taking) + 1 if behind else 0)
        if len(taking) < min(needed, bounds.max_lanes):
            self._spare_since.pop(kind, None)
            if now - self._added.get(kind, -RELIEF_PAUSE_S) < RELIEF_PAUSE_S:
                return []
            self._added[kind] = now
            return [Add(kind)]
        fewer = len(taking) - 1
        spare = fewer >= bounds.min_lanes and meetings <= MAX_FILL * fewer * bounds.meetings_per_lane
        if not spare or any(lag.get(lane.id, 0.0) > COOL_LAG_S for lane in taking):
            self._spare_since.pop(kind, None)
            return []
        if now - self._spare_since.setdefault(kind, now) < DRAIN_AFTER_S:
            return []
        self._spare_since.pop(kind)
        # Of several with as few, the one that was added last.
        added_last = sorted(taking, key=lambda lane: (len(lane.id), lane.id), reverse=True)
        return [Retire(min(added_last, key=lambda lane: lane.open_meetings).id)]
