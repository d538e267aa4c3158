"""serve/ray_internals.py: the patches and variables have their effect in the installed Ray."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from cluster.ray_node import make_ray_folder
from serve.ray_internals import JOB_ENVIRONMENT, RAY_ENVIRONMENT

LOOPBACK_SERVERS = """
import grpc
import ray._common.tls_utils as tls
from ray.serve._private import replica
from serve.ray_internals import bind_loopback
from concurrent.futures import ThreadPoolExecutor

bind_loopback()
bind_loopback()
import pathlib
for module in (tls, replica):
    server = grpc.server(ThreadPoolExecutor(1))
    port = module.add_port_to_grpc_server(server, "[::]:0")
    server.start()
    lines = [l.split() for f in ("tcp", "tcp6") for l in pathlib.Path(f"/proc/net/{f}").read_text().splitlines()[1:]]
    print([l[1].split(":")[0] for l in lines if l[3] == "0A" and int(l[1].split(":")[1], 16) == port])
    server.stop(None)
"""
PARSED_VARIABLES = """
import json
from ray._common.usage import usage_lib
from ray._private import ray_constants
from ray.serve._private import constants

print(json.dumps([
    ray_constants.ENABLE_RAY_CLUSTER,
    ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV,
    ray_constants.RAY_DEDUP_LOGS,
    usage_lib.usage_stats_enabled(),
    constants.PROXY_READY_CHECK_TIMEOUT_S,
]))
"""
SINGLE_NODE = """
import json, os, pathlib, sys
import psutil
import ray
from cluster.ray_node import start_ray

folder = pathlib.Path(sys.argv[1])
start_ray(folder, 1, log_to_driver=False)
children = psutil.Process().children(recursive=True)
commands = [" ".join(child.cmdline()) for child in children]

@ray.remote
def worker():
    import ray._common.tls_utils as tls

    return os.nice(0), tls.add_port_to_grpc_server.__name__

niceness, port_function = ray.get(worker.remote())
print(json.dumps({
    "address": ray.nodes()[0]["NodeManagerAddress"],
    "started": [any(part in command for command in commands) for part in ("gcs_server", "raylet")],
    "skipped": [
        any(part in command for command in commands if "/raylet/raylet " not in command)
        for part in ("monitor.py", "dashboard.py", "default_worker")
    ],
    "sessions": os.getsid(0) in {os.getsid(child.pid) for child in children},
    "folder": any(folder.iterdir()),
    "niceness": niceness - os.nice(0),
    "port_function": port_function,
}))
ray.shutdown()
"""


def run_program(program: str, *arguments: object, **environment: str) -> str:
    """Run a program in a process of its own, because Ray's patches change a process permanently."""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    """A folder for Ray's files."""
    made = make_ray_folder()
    yield made
    shutil.rmtree(made)


def test_wildcard_ports_are_bound_to_loopback() -> None:
    # The kernel's notation of 127.0.0.1 in an IPv6 socket.
    assert run_program(LOOPBACK_SERVERS).splitlines() == ["['0000000000000000FFFF00000100007F']"] * 2


def test_ray_reads_the_environment() -> None:
    assert json.loads(run_program(PARSED_VARIABLES, **RAY_ENVIRONMENT)) == [False, False, False, False, 30.0]


@pytest.mark.parametrize("name", ["worker_niceness", "prestart_worker_first_driver"])
def test_rays_node_reads_the_variable(name: str) -> None:
    assert f"RAY_{name}" in RAY_ENVIRONMENT
    program = Path(ray.__file__).parent / "core" / "src" / "ray" / "raylet" / "raylet"
    assert name.encode() in program.read_bytes()


@pytest.mark.slow
def test_a_single_node_has_the_processes_it_needs_on_loopback(ray_folder: Path) -> None:
    found: dict[str, Any] = json.loads(run_program(SINGLE_NODE, ray_folder).splitlines()[-1])
    assert found == {
        "address": "127.0.0.1",
        "started": [True, True],
        "skipped": [False, False, False],
        "sessions": False,
        "folder": True,
        "niceness": 0,
        # The setup function ran in the worker.
        "port_function": "_add_loopback_port",
    }


JOB = """
import os, sys
import ray

ray.init(address="local", num_cpus=0, include_dashboard=False, _temp_dir=sys.argv[1], runtime_env={"env_vars": {"LEVEL": "b"}})
print(ray.get_runtime_context().runtime_env["env_vars"]["LEVEL"])
ray.shutdown()
"""


@pytest.mark.slow
def test_a_drivers_variable_overrides_that_of_its_job(ray_folder: Path) -> None:
    submitted = json.dumps({"runtime_env": {"env_vars": {"LEVEL": "a"}}})
    environment = RAY_ENVIRONMENT | JOB_ENVIRONMENT | {"RAY_JOB_CONFIG_JSON_ENV_VAR": submitted}
    assert run_program(JOB, ray_folder, **environment).split() == ["b"]
