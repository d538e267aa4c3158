"""The suite that breaks Parley on purpose: its fixtures, and the table it ends with."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.outcome import Outcome
from tests.chaos.recordings import all_speech
from tests.chaos.report import FULL, Row, table, write
from tests.chaos.scene import Scene

_rows = pytest.StashKey[list[Row]]()
JSON = Path(__file__).parent.parent.parent / "chaos.json"


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest) -> Callable[[Row], None]:
    """Takes a scenario's row, for the table at the end."""
    return request.config.stash.setdefault(_rows, []).append


@pytest.fixture(scope="session")
def undisturbed(open_folder: Path, report: Callable[[Row], None]) -> Outcome:
    """What a run that nothing disturbs stores of every meeting."""
    with Scene(open_folder / "undisturbed", all_speech(), 0) as scene:
        outcome, recovery = scene.finish()
        report(scene.row("undisturbed", outcome, recovery))
    return outcome


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table; the full form also writes it."""
    rows = config.stash.get(_rows, [])
    if not rows:
        return
    terminalreporter.section("chaos")
    for line in table(rows):
        terminalreporter.write_line(line)
    if FULL:
        write(rows, JSON)
        terminalreporter.write_line(f"written to {os.path.relpath(JSON)}")
