"""`parley up` in its own process, on a free port, with embedded stores in a temporary folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from cluster.ports import find_free_port
from storage.embedded_servers.embedded_stores import EmbeddedStores
from storage.store_urls import StoreUrls

ROOT = Path(__file__).parents[3]
START_TIMEOUT_S = 240.0
STOP_TIMEOUT_S = 150.0
"""Seconds that starting and stopping may take on a busy machine."""


def parley_arguments(*arguments: object) -> list[str]:
    """Return the command line of a `parley` command of this checkout."""
    return [sys.executable, "-m", "cluster.cli", *map(str, arguments)]


class ParleyUp:
    """A `parley up` process. As a context manager, it starts the process and stops it with exit code 0.

    Args:
        folder: the folder of its data and its log.
        settings: Parley's settings by their names without the prefix `PARLEY_`, in lower case.
    """

    def __init__(self, folder: Path, **settings: object) -> None:
        self.data = folder / "data"
        self.port = find_free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "up.log"
        self._settings = settings
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> ParleyUp:
        """Start the process and wait until it is ready.

        Raises:
            AssertionError: it ended, or was not ready within `START_TIMEOUT_S`.
        """
        environment = os.environ | {f"PARLEY_{name.upper()}": str(value) for name, value in self._settings.items()}
        before = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                parley_arguments("up", "--data", self.data, "--port", self.port),
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while b"Ctrl-C stops it" not in self.log.read_bytes()[before:]:
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            if time.monotonic() > deadline:
                self.kill_everything()
                raise AssertionError(self.log.read_text()[-4000:])
            time.sleep(0.2)
        return self

    def __enter__(self) -> ParleyUp:
        return self.start()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        code = self.stop()
        assert error is not None or code == 0, self.log.read_text()[-4000:]

    def stop(self) -> int:
        """Send SIGINT, as Ctrl-C does, and return the exit code.

        Raises:
            subprocess.TimeoutExpired: it did not end within `STOP_TIMEOUT_S`. All its processes are killed then.
        """
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill_everything()
            raise

    def kill_everything(self) -> None:
        """Send SIGKILL to the process and all its descendants, the stores included."""
        assert self.process is not None
        parent = psutil.Process(self.process.pid)
        processes = [parent, *parent.children(recursive=True)]
        for signal_process in (psutil.Process.suspend, psutil.Process.kill):
            for process in processes:
                # Postgres' processes may end in between.
                with suppress(psutil.NoSuchProcess):
                    signal_process(process)
        psutil.wait_procs(processes, timeout=60)
        self.process.wait(60)

    def urls(self) -> StoreUrls:
        """Return the URLs of its stores."""
        return EmbeddedStores(self.data).start()

    def get(self, path: str) -> Any:
        """Return the JSON response of its API to a GET request."""
        return httpx.get(self.url + path, timeout=30).raise_for_status().json()

    def post(self, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        """Post JSON to its API."""
        return httpx.post(self.url + path, json=body, timeout=30)


def listening_addresses(processes: Iterable[psutil.Process]) -> set[tuple[str, str]]:
    """Return the process name and the IP address of each listening socket."""
    addresses: set[tuple[str, str]] = set()
    for process in processes:
        # A process may end in between.
        with suppress(psutil.NoSuchProcess):
            connections = [
                connection for connection in process.net_connections("inet") if connection.status == psutil.CONN_LISTEN
            ]
            addresses |= {(process.name(), connection.laddr.ip.removeprefix("::ffff:")) for connection in connections}
    return addresses


def run_parley_process(*arguments: object, timeout: float = 900) -> subprocess.CompletedProcess[str]:
    """Run a `parley` command to its end in its own process. The timeout is in seconds."""
    return subprocess.run(
        parley_arguments(*arguments),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env=os.environ,
    )
