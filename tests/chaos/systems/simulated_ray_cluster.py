"""A simulated Ray cluster in its own process: a head without CPUs, two workers, and the translation application.

As a program it reads one command from each line: `actors`, which returns the live actors, or `kill NODE`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import ray
from ray import serve as ray_serve
from ray._private import state
from ray._private.node import Node
from ray._private.ray_constants import PROCESS_TYPE_RAYLET
from ray.cluster_utils import Cluster

from cluster.ports import LOOPBACK
from operators.engine_config import FirefoxConfig
from serve.app_options import TranslationOptions
from serve.deploy.builders import DEFAULT_TRANSLATION_APP, QUIET_LOGGING, build_translation
from tests.harness.processes.parley_up import ROOT
from tests.harness.processes.ray_head import RayStartError, loopback_environment, ray_folder, start_with_retries

REPLICAS = 2


@dataclass(frozen=True)
class LiveActor:
    """A live actor with its node and process."""

    name: str
    node: str
    pid: int


class SimulatedCluster:
    """The test's handle to the cluster.

    Attributes:
        address: the address a driver connects to.
        workers: the ids of the worker nodes.
    """

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process, self._log = process, log
        started = self._read_answer()
        self.address: str = started["address"]
        self.workers: list[str] = started["workers"]

    def actors(self) -> list[LiveActor]:
        """Return the live actors."""
        return [LiveActor(**fields) for fields in self._send_command("actors")]

    def kill(self, node: str) -> None:
        """SIGKILL a worker node with all its processes."""
        self._send_command(f"kill {node}")

    def _send_command(self, command: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return self._read_answer()

    def _read_answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RayStartError(self._log.read_text()[-4000:])
        return json.loads(line)


@contextmanager
def simulated_cluster(log: Path) -> Generator[tuple[SimulatedCluster, dict[str, str]]]:
    """Run the cluster during the block. Yields the cluster and the environment of its drivers."""
    with ray_folder() as folder:
        environment = loopback_environment(folder)

        def start() -> SimulatedCluster:
            with log.open("wb") as output:
                process = subprocess.Popen(
                    [sys.executable, "-m", __name__],
                    cwd=ROOT,
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=output,
                    text=True,
                )
            return SimulatedCluster(process, log)

        cluster = start_with_retries(folder, start)
        yield cluster, environment | {"RAY_ADDRESS": cluster.address}


def main() -> None:
    """Run the cluster until stdin ends."""
    answer_stream, sys.stdout = sys.stdout, sys.stderr
    node: dict[str, Any] = {"node_ip_address": LOOPBACK, "object_store_memory": 100_000_000}
    cluster = Cluster(initialize_head=True, head_node_args=node | {"num_cpus": 0, "include_dashboard": False})
    workers = {
        worker.node_id: worker for worker in [cluster.add_node(wait=False, **node, num_cpus=3) for _ in range(2)]
    }
    cluster.wait_for_nodes(180)

    def answer(value: object) -> None:
        print(json.dumps(value), file=answer_stream, flush=True)

    ray.init(address=cluster.address, log_to_driver=False)
    ray_serve.start(proxy_location="Disabled", logging_config=QUIET_LOGGING)
    ray_serve.run(
        build_translation(TranslationOptions(FirefoxConfig(replicas=REPLICAS))),
        name=DEFAULT_TRANSLATION_APP,
        route_prefix=None,
    )
    answer({"address": cluster.address, "workers": list(workers)})
    for line in sys.stdin:
        command, *arguments = line.split()
        if command == "kill":
            _kill_node(cluster, workers[arguments[0]])
            answer(arguments[0])
            continue
        actors: Any = state.actors()
        answer(
            [
                {
                    "name": actor["Name"] or actor["ActorClassName"],
                    "node": actor["Address"]["NodeID"],
                    "pid": actor["Pid"],
                }
                for actor in actors.values()
                if actor["State"] == "ALIVE"
            ]
        )


def _kill_node(cluster: Cluster, node: Node) -> None:
    """Kill all processes at once, like a power failure. Ray's own call ends the raylet only, and the others notice."""
    [raylet] = node.all_processes[PROCESS_TYPE_RAYLET]
    processes = psutil.Process(raylet.process.pid).children(recursive=True)
    cluster.remove_node(node, allow_graceful=False)
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


if __name__ == "__main__":
    main()
