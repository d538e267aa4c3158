"""A Ray head as `ray start` makes one: with its dashboard and job server, which ask for a token, on loopback alone."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
from ray._private.ray_constants import WORKER_PROCESS_SETUP_HOOK_ENV_VAR

from cluster.ports import LOOPBACK, free_port
from cluster.ray_node import RAY_ENVIRONMENT
from serve.loopback import bind_loopback
from tests.harness.parley_up import ROOT

BIN = Path(sys.executable).parent
TRIES = 3
OVER = ("STOPPED", "SUCCEEDED", "FAILED")
"""How a job has ended."""
Started = TypeVar("Started")


def loopback_environment(folder: Path) -> dict[str, str]:
    """The environment of a Ray that listens on this machine alone, and writes below a folder alone."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PARLEY_"))}
    # Replicas would listen on every interface, as they must in a cluster.
    hook = {WORKER_PROCESS_SETUP_HOOK_ENV_VAR: f"{bind_loopback.__module__}.{bind_loopback.__name__}"}
    return kept | RAY_ENVIRONMENT | hook | {"RAY_TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}


@contextmanager
def ray_folder() -> Generator[Path]:
    """A folder for one Ray, all of whose processes end with the block. Its path is short: Ray puts Unix sockets below it."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    try:
        (folder / "ray").mkdir()
        yield folder
    finally:
        end_all(folder)
        shutil.rmtree(folder, ignore_errors=True)


def end_all(folder: Path) -> None:
    """End all that was started with this folder in its environment: where Ray gives up, it leaves some without a parent."""
    while mine := [process for process in psutil.process_iter() if _tmpdir(process) == str(folder)]:
        # Ray's workers overwrite their environment with their title.
        for process in mine[:]:
            with suppress(psutil.NoSuchProcess):
                mine += process.children(recursive=True)
        for process in mine:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(mine, timeout=20)


def _tmpdir(process: psutil.Process) -> str | None:
    try:
        return process.environ().get("RAY_TMPDIR")
    except psutil.Error:
        return None


class GaveUp(Exception):
    """Ray gave up while it started: it leaves a node half a minute, whatever else the machine has to do."""


def start_patiently(folder: Path, start: Callable[[], Started]) -> Started:
    """Start a Ray, and once more where it gave up."""
    for _ in range(TRIES - 1):
        try:
            return start()
        except GaveUp:
            end_all(folder)
    return start()


@dataclass(frozen=True)
class Head:
    """A head that runs.

    Attributes:
        dashboard: where its dashboard and job server answer.
        environment: of commands that talk to it.
    """

    dashboard: str
    environment: Mapping[str, str]

    def run(self, *arguments: object) -> str:
        """A command of the virtual environment that talks to this Ray; what it prints."""
        command, *rest = map(str, arguments)
        done = subprocess.run(
            [BIN / command, *rest],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout

    def submit(self, job: str, entrypoint: list[str], working_dir: Path, env_vars: Mapping[str, str]) -> None:
        """`ray job submit`, under a name of ours."""
        runtime_env = json.dumps({"env_vars": dict(env_vars)})
        options = ["--no-wait", "--submission-id", job, "--working-dir", working_dir, "--runtime-env-json", runtime_env]
        self.run("ray", "job", "submit", *options, "--", *entrypoint)

    def stop(self, job: str) -> None:
        """`ray job stop`, which returns once the job has ended."""
        self.run("ray", "job", "stop", job)

    def status(self, job: str) -> str:
        """How a job does."""
        return self.get(f"/api/jobs/{job}")["status"]

    def log(self, job: str) -> str:
        """What a job's driver has written."""
        return self.get(f"/api/jobs/{job}/logs")["logs"]

    def get(self, path: str) -> Any:
        """What the dashboard answers."""
        headers = {"authorization": f"Bearer {self.environment['RAY_AUTH_TOKEN']}"}
        answer = httpx.get(self.dashboard + path, headers=headers, timeout=30, trust_env=False)
        return answer.raise_for_status().json()

    def until(self, condition: Callable[[], bool], job: str, seconds: float = 180.0) -> None:
        """Wait for something that a job does."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.log(job)[-4000:]
            assert self.status(job) not in OVER or condition(), self.log(job)[-4000:]
            time.sleep(0.3)


@contextmanager
def ray_head() -> Generator[Head]:
    """A head for as long as the block; whatever it started ends with it."""
    with ray_folder() as folder:
        dashboard, token = free_port(), secrets.token_hex(32)
        environment = loopback_environment(folder) | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
        options = {
            "node-ip-address": LOOPBACK,
            "port": free_port(),
            "include-dashboard": "true",
            "dashboard-host": LOOPBACK,
            "dashboard-port": dashboard,
            "dashboard-agent-listen-port": free_port(),
            "ray-client-server-port": free_port(),
            "num-cpus": 4,
            "object-store-memory": 100_000_000,
        }
        command = [BIN / "ray", "start", "--head", "--block", *(f"--{name}={value}" for name, value in options.items())]
        log = folder / "head.log"

        def start() -> None:
            with log.open("wb") as output:
                process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
            until = time.monotonic() + 180
            # Its dashboard answers earlier than that.
            while "Ray runtime started" not in (words := log.read_text()):
                if process.poll() is not None:
                    raise GaveUp(words[-4000:])
                assert time.monotonic() < until, words[-4000:]
                time.sleep(0.2)

        start_patiently(folder, start)
        url = f"http://{LOOPBACK}:{dashboard}"
        # By the one Ray's own commands find it, by the other Serve's.
        yield Head(url, environment | {"RAY_ADDRESS": url, "RAY_DASHBOARD_ADDRESS": url})
