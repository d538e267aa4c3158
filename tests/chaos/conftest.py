"""Fixtures of the chaos suite, and the table of results at its end."""

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
    """A callable that adds a scenario's row to the table."""
    return request.config.stash.setdefault(_rows, []).append


@pytest.fixture(scope="session")
def baseline(open_folder: Path, report: Callable[[ScenarioRow], None]) -> StoredResult:
    """The rows of every meeting, stored by a run without faults."""
    with SingleLaneSystem(open_folder / "baseline", all_meetings(), 0) as system:
        result, recovery = system.finish()
        report(system.row("baseline", result, recovery))
    return result


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table. A run at full length also writes it to chaos.json."""
    rows = config.stash.get(_rows, [])
    if not rows:
        return
    terminalreporter.section("chaos")
    for line in format_table(rows):
        terminalreporter.write_line(line)
    if FULL:
        write_json(rows, REPORT_PATH)
        terminalreporter.write_line(f"written to {os.path.relpath(REPORT_PATH)}")
