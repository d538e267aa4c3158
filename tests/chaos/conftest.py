"""The suite that breaks Parley on purpose: its fixtures, and the table it ends with."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.results.scenario_table import FULL, ScenarioRow, format_table, write_json
from tests.chaos.results.stored_result import StoredResult
from tests.chaos.systems.single_lane_system import SingleLaneSystem
from tests.chaos.workload.recorded_meetings import all_meetings

_rows = pytest.StashKey[list[ScenarioRow]]()
REPORT_PATH = Path(__file__).parent.parent.parent / "chaos.json"


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest) -> Callable[[ScenarioRow], None]:
    """Takes a scenario's row, for the table at the end."""
    return request.config.stash.setdefault(_rows, []).append


@pytest.fixture(scope="session")
def undisturbed(open_folder: Path, report: Callable[[ScenarioRow], None]) -> StoredResult:
    """What a run that nothing disturbs stores of every meeting."""
    with SingleLaneSystem(open_folder / "undisturbed", all_meetings(), 0) as scene:
        outcome, recovery = scene.finish()
        report(scene.row("undisturbed", outcome, recovery))
    return outcome


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table; the full form also writes it."""
    rows = config.stash.get(_rows, [])
    if not rows:
        return
    terminalreporter.section("chaos")
    for line in format_table(rows):
        terminalreporter.write_line(line)
    if FULL:
        write_json(rows, REPORT_PATH)
        terminalreporter.write_line(f"written to {os.path.relpath(REPORT_PATH)}")
