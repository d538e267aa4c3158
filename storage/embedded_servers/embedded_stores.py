"""Postgres and Valkey of our own, from wheels: all that one machine needs, with nothing to install by hand.

One data directory holds two servers, each with its password and its log. Who owns them, and whether a server runs, is
said by locks of the operating system, which go when the last process that holds one goes, however it ends:

- `starting.lock` is held while somebody starts or stops, so that two starters take turns;
- `owner.lock` is held by the starter that has to stop the servers, for as long as it lives;
- `{server}/running.lock` is inherited by the server and its children, so it is held exactly while any of them runs.

So a second start finds and uses what runs. An owner that is killed leaves a watcher behind, which stops the servers; where
that was killed as well, the next starter adopts them.
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
"""How long to wait for another starter of the same directory that reports no progress."""
_MAX_START_ATTEMPTS = 3


def default_data_dir() -> Path:
    """Where the stores live if nobody says: `$XDG_DATA_HOME/parley` for a user, `/var/lib/parley` for root.

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
        data_dir: made if it is missing.
        durable: whether what was acknowledged survives a crash. Only tests turn it off.
    """

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        self._data_dir = data_dir.absolute()
        self._durable = durable
        self._watcher: OwnerWatcher | None = None
        # The ports that somebody was told of: a server that is started again has the same.
        self._announced_ports: dict[str, int] = {}

    def start(
        self, on_progress: Callable[[str], None] = lambda _: None, stopping: threading.Event | None = None
    ) -> StoreUrls:
        """Start both servers, or find them running, and wait until they are ready. Called again, it starts those that ended.

        A server that loads or recovers its data is waited for as long as it makes progress.

        Args:
            say: told what a server is doing that is not ready, in words for a person.
            stopping: set to end the wait.

        Raises:
            SetupError: says what and what to do, with the end of the server's log.
        """
        ServerAccount.current().check_name()
        self._make_directory()
        try:
            return self._start(on_progress, stopping)
        except PermissionError as error:
            raise SetupError(f"{error.filename} belongs to another user: name another data directory") from error

    def _start(self, on_progress: Callable[[str], None], stopping: threading.Event | None) -> StoreUrls:
        def report(message: str) -> None:
            # Whoever waits for this turn sees by its time that the start goes on.
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
        """Where the servers answer, or did when they last ran; None where they never did. It writes nothing."""
        ports = self._read_ports()
        if not {"postgres", "valkey"} <= ports.keys():
            return None
        postgres, valkey = self._make_servers()
        return StoreUrls(postgres=postgres.url(ports["postgres"]), redis=valkey.url(ports["valkey"]))

    def is_running(self) -> bool:
        """Whether both servers run, or what is left of them does. Where one doesn't, `start` starts it where it was.

        Raises:
            SetupError: somebody else has been starting them for too long.
        """
        with self._start_lock():
            return all(server.is_running() for server in self._make_servers())

    def stop(self) -> None:
        """Stop both servers cleanly, if this starter launched or adopted them; otherwise leave them to their owner.

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
        """Have a server running and ready, and say on which port."""
        for attempt in range(1, _MAX_START_ATTEMPTS + 1):
            lock = server.acquire_running_lock()
            if lock is not None:
                try:
                    if server.name not in self._announced_ports and (
                        attempt > 1 or not _is_port_free(ports.get(server.name, 0))
                    ):
                        ports = ports | {server.name: _find_free_port()}
                    # Written first: whoever comes after a crash must know where the server would answer.
                    self._write_private_file("ports.json", json.dumps(ports))
                    server.launch(ports[server.name], lock)
                finally:
                    os.close(lock)
            try:
                server.wait_until_ready(ports.get(server.name, 0), on_progress, stopping)
                break
            except SetupError:
                # It has gone: its port was taken in between, or what was found was the rest of a killed server.
                if attempt == _MAX_START_ATTEMPTS or server.is_running():
                    raise
        return ports[server.name]

    def _become_owner(self) -> OwnerWatcher | None:
        """Become the owner if nobody is. Returns the watcher of one that has just become it."""
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
        """Stop the servers, and own them no more."""
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
                # Root's servers, which run as somebody else, must get through; nobody else may look around.
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
        """Write a file that only this user reads, all or nothing."""
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
                    f"somebody else has been starting the stores in {self._data_dir} for {_START_LOCK_TIMEOUT_S:.0f} s"
                    " without progress; "
                    f"end it first"
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
        # As the servers do: connections that are still closing don't hold a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
