"""The result of a check, and the helpers that several checks share."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

GIB = 2**30
PROBE_TIMEOUT_S = 3
"""Seconds that a server or a program has to respond."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check.

    Attributes:
        about: the subject of the check.
        state: `ok`, `missing` (an optional part), `problem` or `running` (a Parley on this port). `loading` is a server that is
            not ready yet: `parley up` waits for it.
        found: the observed value.
        advice: how to fix a problem, or the benefit of a missing part; empty if there is nothing to do.
        blocks: whether the finding prevents `parley up` from running.
    """

    about: str
    state: Literal["ok", "missing", "problem", "running", "loading"]
    found: str
    advice: str = ""
    blocks: bool = False


def loading_finding(about: str, details: str) -> Finding:
    """Return the finding of a store that is not ready yet."""
    return Finding(about, "loading", details, "`parley up` waits for it")


def read_memory_bytes() -> tuple[int, int]:
    """Return the available memory and the total memory, in bytes."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    kib = {name: int(amount.split()[0]) for name, _, amount in (line.partition(":") for line in lines)}
    return kib["MemAvailable"] * 1024, kib["MemTotal"] * 1024


def installed_version(package: str) -> str | None:
    """Return the installed version of a package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def format_gib(count: int) -> str:
    """Format a number of bytes as GiB."""
    return f"{count / GIB:.1f} GiB"
