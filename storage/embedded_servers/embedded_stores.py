"""Embedded Postgres and Valkey, from Python wheels: one machine needs no other servers, and nothing is installed by hand.

One data directory holds two servers, each with its password and its log. File locks of the operating system record who owns
the servers, and whether a server runs. A lock is released when the last process that holds it ends, however it ends:

- `starting.lock` is held during a start or stop, so that two starters take turns;
- `owner.lock` is held by the process that must stop the servers, for as long as it lives;
- `{server}/running.lock` is inherited by the server and its children, so it is held exactly while any of them runs.

So a second start finds and uses running servers. If the owner is killed, its watcher stops the servers. If the watcher was
killed too, the next starter adopts them.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from operators.errors import SetupError
from storage.embedded_servers.owner_watcher import OwnerWatcher
from storage.embedded_servers.postgres_valkey import PostgresServer, ValkeyServer
from storage.embedded_servers.server_process import ServerAccount, ServerProcess, try_lock, write_private
from storage.store_urls import StoreUrls

_START_LOCK_TIMEOUT_S = 180.0
"""Seconds to wait for another starter of the same directory that reports no progress."""
_MAX_START_ATTEMPTS = 3


def default_data_dir() -> Path:
    """Return the default data directory: `$XDG_DATA_HOME/parley` for a user, `/var/lib/parley` for root.

    Root's servers run as `nobody`, which can't enter root's home.

    Raises:
        SetupError: this user has no home directory.
    """
    if os.geteuid() == 0:
        return Path("/var/lib/parley")
    base = Path(os.environ.get("XDG_DATA_HOME", ""))
    if base.is_absolute():
        return base / "parley"
    try:
        return Path.home() / ".local" / "share" / "parley"
    except RuntimeError:
        raise SetupError(
            "this user has no home directory for the data: name a data folder with PARLEY_DATA_DIR or --data"
        ) from None


class EmbeddedStores:
    """The two servers of a data directory, on free ports of the loopback interface.

    Args:
        data_dir: the data directory, which is made if it is missing.
        durable: whether acknowledged writes survive a crash. Only tests turn it off.
    """

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        self._data_dir = data_dir.absolute()
        self._durable = durable
        self._watcher: OwnerWatcher | None = None
        # Ports that `start` has returned: a restarted server must have the same one.
        self._announced_ports: dict[str, int] = {}

    def start(
        self, on_progress: Callable[[str], None] = lambda _: None, stopping: threading.Event | None = None
    ) -> StoreUrls:
        """Start both servers, or find them running, and wait until they are ready. A repeated call restarts ended servers.

        The wait for a server that loads or recovers its data lasts for as long as it makes progress.

        Args:
            on_progress: called with messages about what a server is doing that isn't ready.
            stopping: set to end the wait.

        Returns:
            The URLs of both servers.

        Raises:
            SetupError: a server can't be started; the message has the reason, the fix and the end of the server's log.
        """
        ServerAccount.current().check_name()
        self._make_directory()
        try:
            return self._start(on_progress, stopping)
        except PermissionError as error:
            raise SetupError(f"{error.filename} belongs to another user: name another data directory") from error

    def _start(self, on_progress: Callable[[str], None], stopping: threading.Event | None) -> StoreUrls:
        def report(message: str) -> None:
            # The lock file's time shows other starters that this start makes progress.
            os.utime(self._data_dir / "starting.lock")
            on_progress(message)

        with self._start_lock():
            new_watcher = self._become_owner()
            try:
                postgres, valkey = self._make_servers()
                ports = self._read_ports() | self._announced_ports
                for server in (valkey, postgres):
                    ports[server.name] = self._ensure_running(server, ports, report, stopping)
            except BaseException:
                if new_watcher is not None:
                    self._stop_owned(new_watcher)
                raise
            self._announced_ports = ports
        return StoreUrls(postgres=postgres.url(ports["postgres"]), redis=valkey.url(ports["valkey"]))

    def last_urls(self) -> StoreUrls | None:
        """Return the servers' URLs of the present or last run; None if they never ran. Writes nothing."""
        ports = self._read_ports()
        if not {"postgres", "valkey"} <= ports.keys():
            return None
        postgres, valkey = self._make_servers()
        return StoreUrls(postgres=postgres.url(ports["postgres"]), redis=valkey.url(ports["valkey"]))

    def is_running(self) -> bool:
        """Return whether both servers, or at least some of their children, run. `start` restarts an ended one on its old port.

        Raises:
            SetupError: another process has been starting them for too long.
        """
        with self._start_lock():
            return all(server.is_running() for server in self._make_servers())

    def stop(self) -> None:
        """Stop both servers cleanly if this process owns them; otherwise leave them to their owner.

        Raises:
            SetupError: a server could not be stopped.
        """
        if self._watcher is None:
            return
        with self._start_lock():
            self._stop_owned(self._watcher)

    def stop_unowned(self) -> None:
        """Stop both servers cleanly if their owner has ended and no other starter has adopted them.

        Raises:
            SetupError: a server could not be stopped.
        """
        if not self._data_dir.exists():
            return
        with self._start_lock():
            owner = try_lock(self._data_dir / "owner.lock")
            if owner is None:
                return
            try:
                self._stop_servers()
            finally:
                os.close(owner)

    def __enter__(self) -> StoreUrls:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _make_servers(self) -> tuple[PostgresServer, ValkeyServer]:
        account = ServerAccount.current()
        return (
            PostgresServer(
                self._data_dir / "postgres", account, self._read_or_create_password("postgres"), durable=self._durable
            ),
            ValkeyServer(
                self._data_dir / "valkey", account, self._read_or_create_password("valkey"), durable=self._durable
            ),
        )

    def _ensure_running(
        self,
        server: ServerProcess,
        ports: dict[str, int],
        on_progress: Callable[[str], None],
        stopping: threading.Event | None,
    ) -> int:
        """Start a server if it doesn't run, wait until it is ready, and return its port."""
        for attempt in range(1, _MAX_START_ATTEMPTS + 1):
            lock = server.acquire_running_lock()
            if lock is not None:
                try:
                    if server.name not in self._announced_ports and (
                        attempt > 1 or not _is_port_free(ports.get(server.name, 0))
                    ):
                        ports = ports | {server.name: _find_free_port()}
                    # Written first, because after a crash the next starter must know the server's port.
                    self._write_private_file("ports.json", json.dumps(ports))
                    server.launch(ports[server.name], lock)
                finally:
                    os.close(lock)
            try:
                server.wait_until_ready(ports.get(server.name, 0), on_progress, stopping)
                break
            except SetupError:
                # The server has ended: its port was taken meanwhile, or only children of a killed server were running.
                if attempt == _MAX_START_ATTEMPTS or server.is_running():
                    raise
        return ports[server.name]

    def _become_owner(self) -> OwnerWatcher | None:
        """Become the owner if there is none. Returns the new watcher; None if there is an owner."""
        lock = try_lock(self._data_dir / "owner.lock")
        if lock is None:
            return None
        try:
            self._watcher = OwnerWatcher(self._data_dir, lock)
        except BaseException:
            os.close(lock)
            raise
        return self._watcher

    def _stop_owned(self, watcher: OwnerWatcher) -> None:
        """Stop the servers, and release their ownership."""
        try:
            self._stop_servers()
        finally:
            watcher.stop()
            self._watcher = None
            self._announced_ports = {}

    def _stop_servers(self) -> None:
        for server in self._make_servers():
            server.stop(self._read_ports().get(server.name, 0))

    def _make_directory(self) -> None:
        try:
            with suppress(FileExistsError):
                self._data_dir.mkdir(parents=True)
                # Root's servers run as another user, who must be able to enter; other users may not list the folder.
                self._data_dir.chmod(0o711 if os.geteuid() == 0 else 0o700)
            is_usable = os.access(self._data_dir, os.W_OK | os.X_OK)
        except OSError:
            is_usable = False
        if not is_usable:
            raise SetupError(f"the data directory {self._data_dir} can't be used: name one that you may write to")
        if not ServerAccount.current().can_enter(self._data_dir):
            raise SetupError(
                f"the servers run as 'nobody', which can't enter the data directory {self._data_dir}: a folder above it is "
                f"closed to others; name one that is not, such as {default_data_dir()}, or start Parley as another user"
            )

    def _read_or_create_password(self, name: str) -> str:
        path = self._data_dir / f"{name}.password"
        if not path.exists():
            self._write_private_file(path.name, secrets.token_urlsafe(24))
        return path.read_text()

    def _read_ports(self) -> dict[str, int]:
        try:
            return {
                str(name): int(port) for name, port in json.loads((self._data_dir / "ports.json").read_text()).items()
            }
        except (FileNotFoundError, ValueError):
            return {}

    def _write_private_file(self, name: str, text: str) -> None:
        """Write a file that only this user can read, atomically."""
        temporary = self._data_dir / f".{name}.new"
        temporary.unlink(missing_ok=True)
        write_private(temporary, text)
        temporary.replace(self._data_dir / name)

    @contextmanager
    def _start_lock(self) -> Generator[None]:
        started_at = time.time()
        while (lock := try_lock(self._data_dir / "starting.lock")) is None:
            if (
                time.time()
                > max(started_at, (self._data_dir / "starting.lock").stat().st_mtime) + _START_LOCK_TIMEOUT_S
            ):
                raise SetupError(
                    f"another process has been starting the stores in {self._data_dir} for {_START_LOCK_TIMEOUT_S:.0f} s"
                    " without progress; end it first"
                )
            time.sleep(0.05)
        try:
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)
            os.close(lock)


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_port_free(port: int) -> bool:
    if port == 0:
        return False
    with socket.socket() as probe:
        # The servers set this option too: connections that are still closing don't block a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
