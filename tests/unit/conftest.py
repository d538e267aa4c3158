"""Unit tests start nothing and reach nothing: whatever opens a connection or starts a process fails its test."""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator

import pytest
import urllib3.util.connection  # noqa: F401 - it binds a socket when it is imported

FORBIDDEN = {
    *("socket.bind", "socket.connect", "socket.sendto"),
    *("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec"),
}
"""Audit events: https://docs.python.org/3/library/audit_events.html"""


class _Guard:
    """Refuses and records forbidden events while a unit test runs. An audit hook can't be removed, so it is switched.

    Threads that are older than the test, such as Serve's, belong to other tests of the process.
    """

    def __init__(self) -> None:
        self.on = False
        self.seen: list[str] = []
        self.others: set[int | None] = set()

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.on and event in FORBIDDEN and threading.get_ident() not in self.others:
            self.seen.append(event)
            raise PermissionError(f"a unit test must not do this: {event}")


_guard = _Guard()
sys.addaudithook(_guard)


@pytest.fixture(autouse=True)
def nothing_is_started() -> Generator[None]:
    """Fail a test that tried, even where the code under test caught the error."""
    _guard.seen.clear()
    _guard.others = {thread.ident for thread in threading.enumerate()} - {threading.get_ident()}
    _guard.on = True
    yield
    _guard.on = False
    assert _guard.seen == [], "tests that need a server or a process belong in tests/integration or tests/system"


@pytest.fixture(scope="session")
def _stores() -> None:
    pytest.fail("a unit test has no stores: move it to tests/integration")
