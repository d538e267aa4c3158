"""The process of an embedded server: its account, launch, detection and stop."""

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

from operators.errors import SetupError
from storage.readiness import NO_ANSWER, POLL_S, NotReady, StallDetector

_STALL_TIMEOUT_S = 120.0
"""Seconds that a starting server may make no progress: it may be recovering from a crash."""
_STOP_TIMEOUT_S = 30.0
LOG_TAIL_CHARS = 1500
"""Characters of a server's log that an error shows."""


def try_lock(path: Path) -> int | None:
    """Acquire a file's lock without waiting.

    Returns:
        A descriptor, which is closed to release the lock; None if another process holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def write_private(path: Path, text: str) -> None:
    """Write a new file that only its owner can read, and sync it to the disk."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123 - a descriptor
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


class _ProcessCredentials(TypedDict):
    user: int | None
    group: int | None
    extra_groups: list[int] | None


@dataclass(frozen=True, slots=True)
class ServerAccount:
    """The account that the servers run as. Postgres refuses to run as root, so root's servers run as `nobody`."""

    uid: int
    gid: int
    is_other_user: bool

    @classmethod
    def current(cls) -> ServerAccount:
        """Return the account for servers that this process starts.

        Raises:
            SetupError: the process runs as root, and there is no user `nobody`.
        """
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid(), is_other_user=False)
        try:
            entry = pwd.getpwnam("nobody")
        except KeyError:
            raise SetupError(
                "root's servers run as 'nobody', and there is no such user: add it, or run Parley as another user"
            ) from None
        return cls(entry.pw_uid, entry.pw_gid, is_other_user=True)

    def check_name(self) -> None:
        """Check that the account has a name: Postgres can't make a database without one.

        Raises:
            SetupError: the account has no name.
        """
        try:
            pwd.getpwuid(self.uid)
        except KeyError:
            raise SetupError(
                f"Postgres can't run as user ID {self.uid}, which has no name: add the user to /etc/passwd, or use"
                " your own servers with PARLEY_POSTGRES_URL and PARLEY_REDIS_URL"
            ) from None

    def popen_options(self) -> _ProcessCredentials:
        """Return the arguments of `subprocess.Popen` that run a program as this account."""
        if self.is_other_user:
            return {"user": self.uid, "group": self.gid, "extra_groups": []}
        return {"user": None, "group": None, "extra_groups": None}

    def give_ownership(self, path: Path) -> None:
        """Make this account the owner of a file or folder."""
        if self.is_other_user:
            os.chown(path, self.uid, self.gid)

    def can_enter(self, folder: Path) -> bool:
        """Check whether this account can enter a folder."""
        probe = subprocess.run(  # noqa: S603 - a fixed program
            ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(folder)],
            cwd="/",
            capture_output=True,
            check=False,
            **self.popen_options(),
        )
        return probe.returncode == 0


class ServerProcess(ABC):
    """One server of a data directory.

    Args:
        home: the server's folder. `acquire_running_lock` makes it.
        account: the account that it runs as.
        password: password of its only user.
        durable: whether acknowledged writes survive a crash.
    """

    name: str

    def __init__(self, home: Path, account: ServerAccount, password: str, *, durable: bool) -> None:
        self.home = home
        self.account = account
        self.password = password
        self.durable = durable

    def acquire_running_lock(self) -> int | None:
        """Acquire the lock that marks the server as running, which a new server inherits; None if the server runs."""
        self.home.mkdir(mode=0o700, exist_ok=True)
        self.account.give_ownership(self.home)
        return try_lock(self.home / "running.lock")

    def is_running(self) -> bool:
        """Return whether the server or any of its children runs."""
        lock = self.acquire_running_lock()
        if lock is not None:
            os.close(lock)
        return lock is None

    def launch(self, port: int, lock: int) -> None:
        """Start the process in a separate session, so that Ctrl-C at the terminal doesn't end it before its owner.

        Args:
            port: the port to listen on.
            lock: the lock from `acquire_running_lock`.

        Raises:
            SetupError: the program can't be run.
        """
        self._prepare(lock)
        log_file = self.home / "server.log"
        if log_file.exists():
            log_file.replace(self.home / "server.log.previous")
        # Complete before the process starts: a server that read only a part would run with wrong settings.
        with tempfile.TemporaryFile() as settings, log_file.open("wb") as output:
            settings.write(self._standard_input(port))
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
                    **self.account.popen_options(),
                )
            except OSError as error:
                raise self.launch_error(error) from error
        _child_processes[process.pid] = process

    def wait_until_ready(
        self,
        port: int,
        on_progress: Callable[[str], None] = lambda _: None,
        stopping: threading.Event | None = None,
    ) -> None:
        """Wait until the server of this folder answers on a port and has its data. Wait only while it makes progress.

        Args:
            port: the port.
            on_progress: called with messages about what the server is doing.
            stopping: set to end the wait.

        Raises:
            SetupError: the server ended, makes no progress, or the wait was ended.
        """
        stopping = stopping or threading.Event()
        stall_detector = StallDetector(self.name.capitalize(), _STALL_TIMEOUT_S, on_progress)
        while (state := self._readiness(port)) is not None:
            _reap_children()
            if not self.is_running():
                raise self._setup_error(
                    f"ended while {stall_detector.last_activity}" if stall_detector.last_activity else "did not start"
                )
            if stall_detector.is_stalled(state):
                stall_message = f"made no progress for {_STALL_TIMEOUT_S:.0f} s while {stall_detector.last_activity}"
                no_answer_message = f"runs but has not answered on port {port} for {_STALL_TIMEOUT_S:.0f} s"
                raise self._setup_error(stall_message if stall_detector.last_activity else no_answer_message)
            if stopping.wait(0.02 if state is NO_ANSWER else POLL_S):
                raise SetupError(f"the embedded {self.name} was stopped before it was ready: start again")

    def stop(self, port: int) -> None:
        """Stop the server cleanly and wait until all its processes have ended. Does nothing if it doesn't run.

        Raises:
            SetupError: the server did not stop.
        """
        for wait, signal_number in ((_STOP_TIMEOUT_S, self._stop_signal()), (5.0, signal.SIGKILL)):
            signalled_pid: int | None = None
            deadline = time.monotonic() + wait
            while time.monotonic() < deadline:
                _reap_children()
                if not self.is_running():
                    return
                # A server that has only just started writes its pid a moment later.
                if signalled_pid is None and (signalled_pid := self._read_pid(port)) is not None:
                    with suppress(ProcessLookupError):
                        os.kill(signalled_pid, signal_number)
                time.sleep(0.02)
        raise self._setup_error("did not stop")

    @abstractmethod
    def url(self, port: int) -> str:
        """Return the URL for clients."""

    @abstractmethod
    def _prepare(self, lock: int) -> None:
        """Prepare the folder for a launch. Programs that do so inherit the lock."""

    @abstractmethod
    def _command(self, port: int) -> list[str]: ...

    @abstractmethod
    def _standard_input(self, port: int) -> bytes:
        """Return the server's standard input, which holds secrets that must not be on a command line."""

    @abstractmethod
    def _readiness(self, port: int) -> NotReady | None:
        """Check whether the server of this folder answers on a port and has its data; None if it is ready."""

    @abstractmethod
    def _read_pid(self, port: int) -> int | None: ...

    @abstractmethod
    def _stop_signal(self) -> signal.Signals: ...

    def _setup_error(self, what: str) -> SetupError:
        try:
            tail = (self.home / "server.log").read_bytes()[-LOG_TAIL_CHARS:].decode(errors="replace").strip()
        except OSError:
            tail = ""
        log_excerpt = f"; its log ends:\n{tail}" if tail else ""
        return SetupError(
            f"the embedded {self.name} in {self.home} {what}: fix what its log reports, and start again{log_excerpt}"
        )

    def launch_error(self, error: OSError) -> SetupError:
        """Make the error for a program of the server that could not be started."""
        return SetupError(
            f"the program of the embedded {self.name} can't be run ({error.strerror}): {error.filename}; if Parley runs as "
            f"root, its servers run as 'nobody': install Parley where other users can enter, or run it as another user"
        )


_child_processes: dict[int, subprocess.Popen[bytes]] = {}


def _reap_children() -> None:
    """Reap ended servers that this process started, so that none remains as a zombie."""
    for pid, process in list(_child_processes.items()):
        if process.poll() is not None:
            del _child_processes[pid]
