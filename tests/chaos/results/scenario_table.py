"""The table of the chaos suite: one row a scenario."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

FULL = os.environ.get("PARLEY_CHAOS") == "full"
"""Whether the suite runs at its full length (`make chaos`), or short as every other test."""
HEADINGS = ("scenario", "faults", "accepted", "stored", "lost", "doubled", "out of order", "owed at end", "recovery s")


@dataclass(frozen=True)
class ScenarioRow:
    """What a scenario came to.

    Attributes:
        accepted: entries that the door took.
        stored: those of them whose effect is stored.
        lost: those that are counted as lost.
        doubled: effects that are there twice.
        out_of_order: captions of a meeting and language that overtook one asked before them.
        owed: captions without an answer at the end.
        recovery: seconds from the end of the last fault until all that was accepted by then is stored and paid.
        detail: what else is worth knowing, such as the peak of a lane's memory.
    """

    scenario: str
    faults: int
    accepted: int
    stored: int
    lost: int
    doubled: int
    out_of_order: int
    owed: int
    recovery: float | None
    detail: dict[str, float] = field(default_factory=dict[str, float])

    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        numbers = (self.faults, self.accepted, self.stored, self.lost, self.doubled, self.out_of_order, self.owed)
        recovery = "-" if self.recovery is None else f"{self.recovery:.1f}"
        details = ", ".join(f"{name} {value:g}" for name, value in self.detail.items())
        return (self.scenario, *(str(number) for number in numbers), recovery, details)


def format_table(rows: Sequence[ScenarioRow]) -> list[str]:
    """The rows as lines of text, under their headings."""
    cells = [(*HEADINGS, ""), *(row.cells() for row in rows)]
    widths = [max(len(row_cells[k]) for row_cells in cells) for k in range(len(HEADINGS))]
    return [
        "  ".join(
            cell.ljust(width) if k == 0 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(each, widths, strict=False))
        )
        + f"  {each[-1]}".rstrip()
        for each in cells
    ]


def write_json(rows: Sequence[ScenarioRow], path: Path) -> None:
    """Write the rows as JSON."""
    path.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
