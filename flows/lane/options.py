"""How a lane runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class LaneOptions:
    """How a lane runs.

    Attributes:
        kind: a `live` lane never waits: what is too late stays owed. A `batch` lane waits for its models.
        in_flight: translations under way at once.
        capacity: translations asked and not yet answered.
        deadline: seconds a translation may take.
    """

    lane_id: str
    kind: Literal["live", "batch"]
    postgres_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    in_flight: int = 16
    capacity: int = 128
    deadline: float = 10.0

    @property
    def backfill_after(self) -> float:
        """Seconds after which whatever is owed was forgotten by a lane that died: the backfill pays it."""
        return self.deadline * (1.5 if self.kind == "live" else 6)
