"""Plans the lanes: how many there are, and which meetings move to another lane.

A draining lane is emptied: all its meetings move away. A lane that lags gives meetings to a lane that doesn't. If the number
of lanes may vary, it follows the number of meetings, and it grows if all lanes lag.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from storage.postgres.lane_registry import LaneKind, LaneRecord

HOT_LAG_S = 5.0
"""Lag in seconds from which a lane is hot: meetings move away from it."""
COOL_LAG_S = 1.0
"""Lag in seconds up to which a lane is cool: it may take meetings from a hot one."""
RELIEF_PAUSE_S = 10.0
"""Seconds between two moves from a hot lane, and between two added lanes: each needs time to take effect."""
DRAIN_AFTER_S = 60.0
"""Seconds for which one lane fewer must have sufficed before a lane is drained."""
MAX_FILL = 0.7
"""Maximum load of the remaining lanes after one is drained, as a fraction of `meetings_per_lane`."""
MAX_MOVES = 10
"""Maximum number of meetings that leave a draining lane in one plan."""


@dataclass(frozen=True, slots=True)
class LaneBounds:
    """Limits for the number of lanes of a kind, and the number of meetings one lane is meant for."""

    min_lanes: int
    max_lanes: int
    meetings_per_lane: int


@dataclass(frozen=True, slots=True)
class Move:
    """Move `count` meetings from one lane to another."""

    lane_id: str
    to: str
    count: int


@dataclass(frozen=True, slots=True)
class Add:
    """Add a lane."""

    kind: LaneKind


@dataclass(frozen=True, slots=True)
class Drain:
    """Drain a lane: it takes no more meetings."""

    lane_id: str


@dataclass(slots=True)
class LaneAutoscaler:
    """Plans moves, additions and drains from the lanes' load and lag. It remembers its recent plans.

    Attributes:
        bounds: limits by kind of lane. The number of lanes of a kind without bounds does not change.
    """

    bounds: Mapping[LaneKind, LaneBounds] = field(default_factory=dict[LaneKind, LaneBounds])
    _relieved: dict[str, float] = field(default_factory=dict[str, float])
    _added: dict[LaneKind, float] = field(default_factory=dict[LaneKind, float])
    _spare_since: dict[LaneKind, float] = field(default_factory=dict[LaneKind, float])

    def plan(self, lanes: Sequence[LaneRecord], lag: Mapping[str, float], now: float) -> list[Move | Add | Drain]:
        """Plan what to change now.

        Args:
            lanes: all lanes.
            lag: lag by lane, in seconds.
            now: seconds of a monotonic clock.

        Returns:
            The actions to carry out.
        """
        actions: list[Move | Add | Drain] = []
        for kind in ("live", "batch"):
            of_kind = [lane for lane in lanes if lane.kind == kind]
            active = [lane for lane in of_kind if not lane.draining]
            if active:
                load = Counter({lane.id: lane.open_meetings for lane in active})
                actions += self._empty_draining([lane for lane in of_kind if lane.draining], load)
                actions += self._relieve(active, load, lag, now)
                actions += self._resize(kind, active, lag, now)
        return actions

    def _empty_draining(self, draining: Sequence[LaneRecord], load: Counter[str]) -> list[Move | Add | Drain]:
        moves: Counter[tuple[str, str]] = Counter()
        for lane in draining:
            for _ in range(min(MAX_MOVES, lane.open_meetings)):
                to = min(load, key=lambda lane_id: (load[lane_id], lane_id))
                load[to] += 1
                moves[lane.id, to] += 1
        return [Move(lane_id, to, count) for (lane_id, to), count in moves.items()]

    def _relieve(
        self, active: Sequence[LaneRecord], load: Counter[str], lag: Mapping[str, float], now: float
    ) -> list[Move | Add | Drain]:
        cool = [lane.id for lane in active if lag.get(lane.id, 0.0) <= COOL_LAG_S]
        moves: list[Move | Add | Drain] = []
        for lane in active:
            # A lane that doesn't run can't hand meetings over: it must be restarted instead.
            hot = lag.get(lane.id, 0.0) >= HOT_LAG_S and lane.open_meetings > 1 and lane.state == "running"
            if not hot or not cool or now - self._relieved.get(lane.id, -RELIEF_PAUSE_S) < RELIEF_PAUSE_S:
                continue
            to = min(cool, key=lambda lane_id: (load[lane_id], lane_id))
            load[to] += 1
            self._relieved[lane.id] = now
            moves.append(Move(lane.id, to, 1))
        return moves

    def _resize(
        self, kind: LaneKind, active: Sequence[LaneRecord], lag: Mapping[str, float], now: float
    ) -> list[Move | Add | Drain]:
        bounds = self.bounds.get(kind)
        if bounds is None:
            return []
        meetings = sum(lane.open_meetings for lane in active)
        all_hot = all(lag.get(lane.id, 0.0) >= HOT_LAG_S for lane in active)
        needed = max(
            bounds.min_lanes, math.ceil(meetings / bounds.meetings_per_lane), len(active) + 1 if all_hot else 0
        )
        if len(active) < min(needed, bounds.max_lanes):
            self._spare_since.pop(kind, None)
            if now - self._added.get(kind, -RELIEF_PAUSE_S) < RELIEF_PAUSE_S:
                return []
            self._added[kind] = now
            return [Add(kind)]
        fewer = len(active) - 1
        spare = fewer >= bounds.min_lanes and meetings <= MAX_FILL * fewer * bounds.meetings_per_lane
        if not spare or any(lag.get(lane.id, 0.0) > COOL_LAG_S for lane in active):
            self._spare_since.pop(kind, None)
            return []
        if now - self._spare_since.setdefault(kind, now) < DRAIN_AFTER_S:
            return []
        self._spare_since.pop(kind)
        # Of several lanes with the fewest meetings, the one added last is drained.
        newest_first = sorted(active, key=lambda lane: (len(lane.id), lane.id), reverse=True)
        return [Drain(min(newest_first, key=lambda lane: lane.open_meetings).id)]
