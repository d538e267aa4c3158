"""cluster/ray_node.py: a Ray that does not start leaves nothing behind."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile

FAILED_START = """
import pathlib, sys
import psutil
from ray._private import services
from cluster.ray_node import start_ray
from operators.errors import SetupFailed

started = []

def get_node(gcs_address, node_id):
    started.extend(psutil.Process().children(recursive=True))
    raise OSError("no such node")

services.get_node = get_node
try:
    start_ray(pathlib.Path(sys.argv[1]), 1, log_to_driver=False)
except SetupFailed as error:
    print(error)
print(len(started) >= 2, psutil.wait_procs(started, timeout=60)[1])
"""


def test_the_processes_of_a_ray_that_does_not_start_are_ended() -> None:
    # Ray puts Unix sockets there: the path must be short.
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    done = subprocess.run([sys.executable, "-c", FAILED_START, folder], capture_output=True, text=True, check=True)
    shutil.rmtree(folder)
    why, found = done.stdout.splitlines()
    assert why.startswith("Ray did not start: no such node.")
    assert found == "True []"
