"""Lists the GPUs of this machine, as NVIDIA's driver reports them."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

_QUERY_TIMEOUT_S = 10.0
_QUERY_COMMAND = ("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits")


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU. `memory_bytes` is its total memory, used or free."""

    name: str
    memory_bytes: int


def find_gpus() -> tuple[Gpu, ...]:
    """Return the GPUs of this machine; none if there is no driver, or if it doesn't answer."""
    try:
        result = subprocess.run(_QUERY_COMMAND, capture_output=True, text=True, timeout=_QUERY_TIMEOUT_S, check=True)  # noqa: S603 - a constant command
    except (OSError, subprocess.SubprocessError):
        return ()
    gpus: list[Gpu] = []
    for line in result.stdout.splitlines():
        name, _, mebibytes = line.rpartition(",")
        # A GPU in MIG mode, or one that shares the machine's memory, reports "[N/A]".
        if mebibytes.strip().isdigit():
            gpus.append(Gpu(name.strip(), int(mebibytes) * 2**20))
    return tuple(gpus)
