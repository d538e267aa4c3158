"""Guard of the unit tests: a test that opens a connection or starts a process fails."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Generator

import pytest
import urllib3.util.connection  # noqa: F401 - it binds a socket when it is imported

FORBIDDEN_EVENTS = {
    *("socket.bind", "socket.connect", "socket.sendto", "socket.getaddrinfo"),
    *("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system"),
}
"""Audit events: https://docs.python.org/3/library/audit_events.html"""


class _AuditGuard:
    """Audit hook that refuses and records forbidden events while a unit test runs.

    An audit hook can't be removed, so it is switched on and off. Threads older than the test, such as Serve's, are
    exempt: they belong to other tests of the process.
    """

    def __init__(self) -> None:
        self.is_active = False
        self.violations: list[str] = []
        self.older_threads: set[int | None] = set()

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.is_active and event in FORBIDDEN_EVENTS and threading.get_ident() not in self.older_threads:
            self.violations.append(f"{event}: {''.join(traceback.format_stack(limit=40))}")
            raise PermissionError(f"a unit test must not do this: {event}")


_guard = _AuditGuard()
sys.addaudithook(_guard)


@pytest.fixture(autouse=True)
def forbid_connections_and_processes() -> Generator[None]:
    """Fail a test that caused a forbidden event, even if the code under test caught the error."""
    _guard.violations.clear()
    _guard.older_threads = {thread.ident for thread in threading.enumerate()} - {threading.get_ident()}
    _guard.is_active = True
    yield
    _guard.is_active = False
    if _guard.violations:
        stacks = "\n".join(_guard.violations)
        pytest.fail(f"tests that need a server or a process belong in tests/integration or tests/system:\n{stacks}")


@pytest.fixture(scope="session")
def _stores() -> None:
    """Fail a unit test that requests a fixture of the stores."""
    pytest.fail("a unit test has no stores: move it to tests/integration")
