"""The GPUs of this machine, as NVIDIA's driver tells them."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

_QUERY_TIMEOUT_S = 10.0
_QUERY_COMMAND = ("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits")


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU. `memory` is in bytes, all of it, in use or not."""

    name: str
    memory_bytes: int


def find_gpus() -> tuple[Gpu, ...]:
    """The GPUs there are; none where there is no driver, or where it doesn't answer."""
    try:
        result = subprocess.run(_QUERY_COMMAND, capture_output=True, text=True, timeout=_QUERY_TIMEOUT_S, check=True)  # noqa: S603 - words of our own
    except (OSError, subprocess.SubprocessError):
        return ()
    gpus: list[Gpu] = []
    for line in result.stdout.splitlines():
        name, _, mebibytes = line.rpartition(",")
        # A GPU that is cut into parts, or shares the machine's memory, gives "[N/A]".
        if mebibytes.strip().isdigit():
            gpus.append(Gpu(name.strip(), int(mebibytes) * 2**20))
    return tuple(gpus)
