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

from cluster.ports import LOOPBACK, find_free_port
from cluster.ray_node import RAY_ENVIRONMENT
from serve.loopback_patch import bind_loopback
from tests.harness.processes.parley_up import ROOT

BIN_FOLDER = Path(sys.executable).parent
MAX_STARTS = 3
FINAL_JOB_STATUSES = ("STOPPED", "SUCCEEDED", "FAILED")
"""How a job has ended."""
Started = TypeVar("Started")


def loopback_environment(folder: Path) -> dict[str, str]:
    """The environment of a Ray that listens on this machine alone, and writes below a folder alone."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PARLEY_"))}
    # Replicas would listen on every interface, as they must in a cluster.
    hook = {WORKER_PROCESS_SETUP_HOOK_ENV_VAR: f"{bind_loopback.__module__}.{bind_loopback.__name__}"}
    return inherited | RAY_ENVIRONMENT | hook | {"RAY_TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}


@contextmanager
def ray_folder() -> Generator[Path]:
    """A folder for one Ray, all of whose processes end with the block. Its path is short: Ray puts Unix sockets below it."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    try:
        (folder / "ray").mkdir()
        yield folder
    finally:
        kill_all_processes(folder)
        shutil.rmtree(folder, ignore_errors=True)


def kill_all_processes(folder: Path) -> None:
    """End all that was started with this folder in its environment: where Ray gives up, it leaves some without a parent."""
    while processes := [process for process in psutil.process_iter() if _tmpdir(process) == str(folder)]:
        # Ray's workers overwrite their environment with their title.
        for process in processes[:]:
            with suppress(psutil.NoSuchProcess):
                processes += process.children(recursive=True)
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=20)


def _tmpdir(process: psutil.Process) -> str | None:
    try:
        return process.environ().get("RAY_TMPDIR")
    except psutil.Error:
        return None


class RayStartError(Exception):
    """Ray gave up while it started: it leaves a node half a minute, whatever else the machine has to do."""


def start_with_retries(folder: Path, start: Callable[[], Started]) -> Started:
    """Start a Ray, and once more where it gave up."""
    for _ in range(MAX_STARTS - 1):
        try:
            return start()
        except RayStartError:
            kill_all_processes(folder)
    return start()


@dataclass(frozen=True)
class RayHead:
    """A head that runs.

    Attributes:
        dashboard: where its dashboard and job server answer.
        environment: of commands that talk to it.
    """

    dashboard: str
    environment: Mapping[str, str]

    def run_command(self, *arguments: object) -> str:
        """A command of the virtual environment that talks to this Ray; what it prints."""
        command, *options = map(str, arguments)
        completed = subprocess.run(
            [BIN_FOLDER / command, *options],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert completed.returncode == 0, completed.stdout[-4000:] + completed.stderr[-4000:]
        return completed.stdout

    def submit_job(self, job: str, entrypoint: list[str], working_dir: Path, env_vars: Mapping[str, str]) -> None:
        """`ray job submit`, under a name of ours."""
        runtime_env = json.dumps({"env_vars": dict(env_vars)})
        options = ["--no-wait", "--submission-id", job, "--working-dir", working_dir, "--runtime-env-json", runtime_env]
        self.run_command("ray", "job", "submit", *options, "--", *entrypoint)

    def stop_job(self, job: str) -> None:
        """`ray job stop`, which returns once the job has ended."""
        self.run_command("ray", "job", "stop", job)

    def job_status(self, job: str) -> str:
        """How a job does."""
        return self.get_json(f"/api/jobs/{job}")["status"]

    def job_log(self, job: str) -> str:
        """What a job's driver has written."""
        return self.get_json(f"/api/jobs/{job}/logs")["logs"]

    def get_json(self, path: str) -> Any:
        """What the dashboard answers."""
        headers = {"authorization": f"Bearer {self.environment['RAY_AUTH_TOKEN']}"}
        response = httpx.get(self.dashboard + path, headers=headers, timeout=30, trust_env=False)
        return response.raise_for_status().json()

    def wait_until(self, condition: Callable[[], bool], job: str, seconds: float = 180.0) -> None:
        """Wait for something that a job does."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.job_log(job)[-4000:]
            assert self.job_status(job) not in FINAL_JOB_STATUSES or condition(), self.job_log(job)[-4000:]
            time.sleep(0.3)


@contextmanager
def ray_head() -> Generator[RayHead]:
    """A head for as long as the block; whatever it started ends with it."""
    with ray_folder() as folder:
        dashboard, token = find_free_port(), secrets.token_hex(32)
        environment = loopback_environment(folder) | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
        options = {
            "node-ip-address": LOOPBACK,
            "port": find_free_port(),
            "include-dashboard": "true",
            "dashboard-host": LOOPBACK,
            "dashboard-port": dashboard,
            "dashboard-agent-listen-port": find_free_port(),
            "ray-client-server-port": find_free_port(),
            "num-cpus": 4,
            "object-store-memory": 100_000_000,
        }
        command = [
            BIN_FOLDER / "ray",
            "start",
            "--head",
            "--block",
            *(f"--{name}={value}" for name, value in options.items()),
        ]
        log = folder / "head.log"

        def start() -> None:
            with log.open("wb") as output:
                process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
            deadline = time.monotonic() + 180
            # Its dashboard answers earlier than that.
            while "Ray runtime started" not in (log_text := log.read_text()):
                if process.poll() is not None:
                    raise RayStartError(log_text[-4000:])
                assert time.monotonic() < deadline, log_text[-4000:]
                time.sleep(0.2)

        start_with_retries(folder, start)
        url = f"http://{LOOPBACK}:{dashboard}"
        # By the one Ray's own commands find it, by the other Serve's.
        yield RayHead(url, environment | {"RAY_ADDRESS": url, "RAY_DASHBOARD_ADDRESS": url})
