"""cluster/ray_node.py: Ray starts without a home directory, and a failed start leaves no process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.ray_node import make_ray_folder

FAILED_START = """
import pathlib, sys
import psutil
from ray._private import services
from cluster.ray_node import start_ray
from operators.errors import SetupError

started = []

def get_node(gcs_address, node_id):
    started.extend(psutil.Process().children(recursive=True))
    raise OSError("no such node")

services.get_node = get_node
try:
    start_ray(pathlib.Path(sys.argv[1]), 1, log_to_driver=False)
except SetupError as error:
    print(error)
print(len(started) >= 2, psutil.wait_procs(started, timeout=60)[1])
"""
WITHOUT_HOME = """
import pathlib, sys
import ray
from cluster.ray_node import start_ray

start_ray(pathlib.Path(sys.argv[1]), 1, log_to_driver=False)
print(ray.is_initialized())
ray.shutdown()
"""


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    """A folder for Ray's files."""
    made = make_ray_folder()
    yield made
    shutil.rmtree(made)


def run_program(program: str, folder: Path, **environment: str) -> list[str]:
    """Run a program with the folder, and return the lines that it prints."""
    command = [sys.executable, "-c", program, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | environment)
    return done.stdout.splitlines()


@pytest.mark.slow
def test_ray_starts_without_a_home_directory(ray_folder: Path) -> None:
    assert run_program(WITHOUT_HOME, ray_folder, HOME="/proc/none") == ["True"]


def test_a_failed_start_leaves_no_process(ray_folder: Path) -> None:
    why, found = run_program(FAILED_START, ray_folder)
    assert why.startswith("Ray did not start within")
    assert why.endswith(": no such node")
    assert found == "True []"
