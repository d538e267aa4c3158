"""The table of the chaos suite: one row for each scenario."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

FULL = os.environ.get("PARLEY_CHAOS") == "full"
"""True if the suite runs at full length (`make chaos`), False for the short form in `make test`."""
HEADINGS = (
    "scenario",
    "faults",
    "accepted",
    "stored",
    "lost",
    "duplicated",
    "out of order",
    "pending at end",
    "recovery s",
)


@dataclass(frozen=True)
class ScenarioRow:
    """The figures of one scenario.

    Attributes:
        scenario: the scenario's name.
        faults: the number of injected faults.
        accepted: the number of events accepted by the ingest API.
        stored: the number of accepted events whose effects are stored.
        lost: the number of events counted as lost.
        duplicated: the number of effects stored more than once.
        out_of_order: captions that overtook an earlier request of the same meeting and language.
        pending: the number of captions still pending at the end.
        recovery: seconds from the end of the last fault until every event accepted by then was stored and its captions
            complete. None without a fault.
        detail: further figures, such as the peak memory of a lane.
    """

    scenario: str
    faults: int
    accepted: int
    stored: int
    lost: int
    duplicated: int
    out_of_order: int
    pending: int
    recovery: float | None
    detail: dict[str, float] = field(default_factory=dict[str, float])

    def cells(self) -> tuple[str, ...]:
        """The row's cells as text."""
        numbers = (self.faults, self.accepted, self.stored, self.lost, self.duplicated, self.out_of_order, self.pending)
        recovery = "-" if self.recovery is None else f"{self.recovery:.1f}"
        details = ", ".join(f"{name} {value:g}" for name, value in self.detail.items())
        return (self.scenario, *(str(number) for number in numbers), recovery, details)


def format_table(rows: Sequence[ScenarioRow]) -> list[str]:
    """Format the rows as lines of text under their headings."""
    cells = [(*HEADINGS, ""), *(row.cells() for row in rows)]
    widths = [max(len(row_cells[k]) for row_cells in cells) for k in range(len(HEADINGS))]
    return [
        "  ".join(
            cell.ljust(width) if k == 0 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row_cells, widths, strict=False))
        )
        + f"  {row_cells[-1]}".rstrip()
        for row_cells in cells
    ]


def write_json(rows: Sequence[ScenarioRow], path: Path) -> None:
    """Write the rows as JSON."""
    path.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
