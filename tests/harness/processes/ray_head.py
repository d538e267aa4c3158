"""A Ray head node started by `ray start`, on loopback alone: its dashboard and job server require a token."""

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

from cluster.ports import LOOPBACK, find_free_port
from serve.ray_internals import RAY_ENVIRONMENT, bind_loopback, worker_setup_environment
from tests.harness.processes.parley_up import ROOT

BIN_FOLDER = Path(sys.executable).parent
MAX_STARTS = 3
FINAL_JOB_STATUSES = ("STOPPED", "SUCCEEDED", "FAILED")
"""The statuses of a job that has ended."""
Started = TypeVar("Started")


def loopback_environment(folder: Path) -> dict[str, str]:
    """Return the environment of a Ray that listens on loopback alone, and writes below a folder alone."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PARLEY_"))}
    # Without the hook, replicas listen on every interface, as they must in a cluster.
    hook = worker_setup_environment(bind_loopback)
    return inherited | RAY_ENVIRONMENT | hook | {"RAY_TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}


@contextmanager
def ray_folder() -> Generator[Path]:
    """Yield a folder for one Ray, and kill all its processes at the end.

    Its path is short, because Ray puts Unix sockets below it.
    """
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    try:
        (folder / "ray").mkdir()
        yield folder
    finally:
        kill_all_processes(folder)
        shutil.rmtree(folder, ignore_errors=True)


def kill_all_processes(folder: Path) -> None:
    """Kill all processes with this folder in their environment: a failed start of Ray leaves some without a parent."""
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
    """Ray's start failed. Ray gives a node half a minute to start, even on a busy machine."""


def start_with_retries(folder: Path, start: Callable[[], Started]) -> Started:
    """Start a Ray, with at most `MAX_STARTS` attempts.

    Args:
        folder: the folder of Ray, whose processes are killed before each new attempt.
        start: starts Ray, and raises `RayStartError` if Ray gave up.

    Raises:
        RayStartError: the last attempt failed too.
    """
    for _ in range(MAX_STARTS - 1):
        try:
            return start()
        except RayStartError:
            kill_all_processes(folder)
    return start()


@dataclass(frozen=True)
class RayHead:
    """A running head node.

    Attributes:
        dashboard: the URL of its dashboard and job server.
        environment: the environment of commands that connect to it.
    """

    dashboard: str
    environment: Mapping[str, str]

    def run_command(self, *arguments: object) -> str:
        """Run a command of the virtual environment against this Ray, and return its output."""
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
        """Run `ray job submit` with `job` as the job's id."""
        runtime_env = json.dumps({"env_vars": dict(env_vars)})
        options = ["--no-wait", "--submission-id", job, "--working-dir", working_dir, "--runtime-env-json", runtime_env]
        self.run_command("ray", "job", "submit", *options, "--", *entrypoint)

    def stop_job(self, job: str) -> None:
        """Run `ray job stop`, which returns once the job has ended."""
        self.run_command("ray", "job", "stop", job)

    def job_status(self, job: str) -> str:
        """Return a job's status."""
        return self.get_json(f"/api/jobs/{job}")["status"]

    def job_log(self, job: str) -> str:
        """Return the output of a job's driver."""
        return self.get_json(f"/api/jobs/{job}/logs")["logs"]

    def get_json(self, path: str) -> Any:
        """Return the dashboard's JSON response to a GET request."""
        headers = {"authorization": f"Bearer {self.environment['RAY_AUTH_TOKEN']}"}
        response = httpx.get(self.dashboard + path, headers=headers, timeout=30, trust_env=False)
        return response.raise_for_status().json()

    def wait_until(self, condition: Callable[[], bool], job: str, seconds: float = 180.0) -> None:
        """Wait until a condition holds, and fail if the job ends first or the time is up."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.job_log(job)[-4000:]
            assert self.job_status(job) not in FINAL_JOB_STATUSES or condition(), self.job_log(job)[-4000:]
            time.sleep(0.3)


@contextmanager
def ray_head() -> Generator[RayHead]:
    """Run a head node during the block, and kill all its processes at the end."""
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
            # The dashboard answers before the head is ready, so the log is read instead.
            while "Ray runtime started" not in (log_text := log.read_text()):
                if process.poll() is not None:
                    raise RayStartError(log_text[-4000:])
                assert time.monotonic() < deadline, log_text[-4000:]
                time.sleep(0.2)

        start_with_retries(folder, start)
        url = f"http://{LOOPBACK}:{dashboard}"
        # Ray's commands read RAY_ADDRESS, and Serve's read RAY_DASHBOARD_ADDRESS.
        yield RayHead(url, environment | {"RAY_ADDRESS": url, "RAY_DASHBOARD_ADDRESS": url})
