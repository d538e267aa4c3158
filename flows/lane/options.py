"""The options of a lane."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class LaneOptions:
    """The identity of a lane, its stores, and the bounds of its calls.

    Attributes:
        lane_id: the lane.
        kind: a `live` lane never blocks: a translation that is late leaves its caption pending (status `pending`). A `batch`
            lane blocks its source until the models have caught up.
        postgres_url: the database.
        redis_url: the server of the log.
        in_flight: translation calls under way at once, at most.
        capacity: requests that are accepted and have no emitted result yet, at most.
        deadline: seconds a request may take over all its attempts in a live lane, and one attempt in a batch lane.
        daily_tokens: the tokens that a team's notes, insights and answers may take in a day; None for no limit.
    """

    lane_id: str
    kind: Literal["live", "batch"]
    postgres_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    in_flight: int = 16
    capacity: int = 128
    deadline: float = 10.0
    daily_tokens: int | None = None

    @property
    def backfill_after(self) -> float:
        """Seconds after which the backfill completes a caption that is still pending: its lane must have died."""
        return self.deadline * (1.5 if self.kind == "live" else 6)
