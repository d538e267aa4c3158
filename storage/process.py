"""A server process of our own: under whose account it runs, and how it is launched, recognised and stopped."""

from __future__ import annotations

import fcntl
import os
import pwd
import signal
import subprocess
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from operators.errors import SetupFailed
from storage.readiness import NO_ANSWER, POLL_S, NotReady, Patience

_STALLED_S = 120.0
"""Seconds a server may make no progress in getting ready: it may have a crash to recover from."""
_STOP_S = 30.0
LOG_TAIL = 1500
"""How much of a log an error shows (characters)."""


def try_lock(path: Path) -> int | None:
    """Take a file's lock without waiting. Returns its descriptor, to be closed to let go; None if another holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def write_private(path: Path, text: str) -> None:
    """Write a new file that only its owner reads, down to the disk."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123 - a descriptor
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


class _RunAs(TypedDict):
    user: int | None
    group: int | None
    extra_groups: list[int] | None


@dataclass(frozen=True, slots=True)
class Account:
    """Whom the servers run as. Postgres refuses to run as root, so root's run as `nobody`."""

    uid: int
    gid: int
    other: bool

    @classmethod
    def current(cls) -> Account:
        """The account for servers that this process starts.

        Raises:
            SetupFailed: this is root, and there is no `nobody`.
        """
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid(), other=False)
        try:
            entry = pwd.getpwnam("nobody")
        except KeyError:
            raise SetupFailed(
                "root's servers run as 'nobody', and there is no such user: add it, or run Parley as another user"
            ) from None
        return cls(entry.pw_uid, entry.pw_gid, other=True)

    def check_name(self) -> None:
        """Check that the account has a name: Postgres can't make a database without one.

        Raises:
            SetupFailed: it has none.
        """
        try:
            pwd.getpwuid(self.uid)
        except KeyError:
            raise SetupFailed(
                f"Postgres can't run as user ID {self.uid}, which has no name: add the user to /etc/passwd, or name"
                " servers of your own with PARLEY_POSTGRES_URL and PARLEY_REDIS_URL"
            ) from None

    def options(self) -> _RunAs:
        """What makes `subprocess` run something as this account."""
        if self.other:
            return {"user": self.uid, "group": self.gid, "extra_groups": []}
        return {"user": None, "group": None, "extra_groups": None}

    def own(self, path: Path) -> None:
        """Hand a file or folder to this account."""
        if self.other:
            os.chown(path, self.uid, self.gid)

    def enters(self, folder: Path) -> bool:
        """Whether this account can enter a folder."""
        probe = subprocess.run(  # noqa: S603 - a fixed program
            ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(folder)],
            cwd="/",
            capture_output=True,
            check=False,
            **self.options(),
        )
        return probe.returncode == 0


class Server(ABC):
    """One server of a data directory.

    Args:
        home: the server's own folder. The first claim makes it.
        account: whom it runs as.
        password: of its one user.
        durable: whether what was acknowledged survives a crash.
    """

    name: str

    def __init__(self, home: Path, account: Account, password: str, *, durable: bool) -> None:
        self.home = home
        self.account = account
        self.password = password
        self.durable = durable

    def claim(self) -> int | None:
        """The lock that says this server runs, for a new one to inherit; None while one runs."""
        self.home.mkdir(mode=0o700, exist_ok=True)
        self.account.own(self.home)
        return try_lock(self.home / "running.lock")

    def claimed(self) -> bool:
        """Whether the server, or what is left of it, runs."""
        lock = self.claim()
        if lock is not None:
            os.close(lock)
        return lock is None

    def launch(self, port: int, lock: int) -> None:
        """Start the process, in a session of its own: a Ctrl-C at the terminal is for its owner, who still needs it.

        Raises:
            SetupFailed: its program can't be run.
        """
        self._prepare(lock)
        log = self.home / "server.log"
        if log.exists():
            log.replace(self.home / "server.log.previous")
        # Whole before the process is there: one that read half of it, or nothing, would run as no one asked it to.
        with tempfile.TemporaryFile() as settings, log.open("wb") as output:
            settings.write(self._input(port))
            settings.seek(0)
            try:
                process = subprocess.Popen(  # noqa: S603 - the wheel's program
                    self._command(port),
                    cwd="/",
                    stdin=settings,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    pass_fds=(lock,),
                    **self.account.options(),
                )
            except OSError as error:
                raise self.cannot_run(error) from error
        _children[process.pid] = process

    def await_ready(
        self,
        port: int,
        say: Callable[[str], None] = lambda _: None,
        stopping: threading.Event | None = None,
    ) -> None:
        """Wait until the server of this folder answers on a port and has its data, for as long as it makes progress.

        Args:
            say: told what it is doing, in words for a person.
            stopping: set to end the wait.

        Raises:
            SetupFailed: it died, makes no progress, or the wait was ended.
        """
        stopping = stopping or threading.Event()
        patience = Patience(self.name.capitalize(), _STALLED_S, say)
        while (state := self._state(port)) is not None:
            _reap()
            if not self.claimed():
                raise self._failed(f"ended while {patience.doing}" if patience.doing else "did not start")
            if patience.is_over(state):
                stalled = f"made no progress for {_STALLED_S:.0f} s while {patience.doing}"
                silent = f"runs but has not answered on port {port} for {_STALLED_S:.0f} s"
                raise self._failed(stalled if patience.doing else silent)
            if stopping.wait(0.02 if state is NO_ANSWER else POLL_S):
                raise SetupFailed(f"the embedded {self.name} is not ready yet, and was to be stopped: start again")

    def stop(self, port: int) -> None:
        """Stop the server cleanly and wait until all its processes are gone. One that does not run is fine.

        Raises:
            SetupFailed: it would not go.
        """
        for wait, kind in ((_STOP_S, self._stop_signal()), (5.0, signal.SIGKILL)):
            told: int | None = None
            deadline = time.monotonic() + wait
            while time.monotonic() < deadline:
                _reap()
                if not self.claimed():
                    return
                # One that has only just started writes its number a moment later.
                if told is None and (told := self._pid(port)) is not None:
                    with suppress(ProcessLookupError):
                        os.kill(told, kind)
                time.sleep(0.02)
        raise self._failed("did not stop")

    @abstractmethod
    def url(self, port: int) -> str:
        """Where clients reach it."""

    @abstractmethod
    def _prepare(self, lock: int) -> None:
        """Make the folder ready for a launch. Programs that take part inherit the lock."""

    @abstractmethod
    def _command(self, port: int) -> list[str]: ...

    @abstractmethod
    def _input(self, port: int) -> bytes:
        """What it reads from its standard input: nothing secret is ever on a command line."""

    @abstractmethod
    def _state(self, port: int) -> NotReady | None:
        """Whether the server of this folder answers there and has its data; None once it is ready."""

    @abstractmethod
    def _pid(self, port: int) -> int | None: ...

    @abstractmethod
    def _stop_signal(self) -> signal.Signals: ...

    def _failed(self, what: str) -> SetupFailed:
        try:
            tail = (self.home / "server.log").read_bytes()[-LOG_TAIL:].decode(errors="replace").strip()
        except OSError:
            tail = ""
        said = f"; its log ends:\n{tail}" if tail else ""
        return SetupFailed(
            f"the embedded {self.name} in {self.home} {what}: mend what its log names, and start again{said}"
        )

    def cannot_run(self, error: OSError) -> SetupFailed:
        """What to raise where a program of the server could not be started."""
        return SetupFailed(
            f"the program of the embedded {self.name} can't be run ({error.strerror}): {error.filename}; where Parley "
            f"is root its servers run as 'nobody', so install it where others can enter, or run it as another user"
        )


_children: dict[int, subprocess.Popen[bytes]] = {}


def _reap() -> None:
    """Take note of servers of ours that have gone, so that they don't linger as zombies."""
    for pid, process in list(_children.items()):
        if process.poll() is not None:
            del _children[pid]
