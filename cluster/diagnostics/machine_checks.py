"""Checks of the machine: Python, cores, memory, the data folder, the port and GPUs."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from cluster.api_client import identify_server
from cluster.diagnostics.findings import (
    GIB,
    Finding,
    format_gib,
    read_memory_bytes,
)
from cluster.ports import LOOPBACK, is_port_free
from operators.errors import SetupError
from serve.engines.gpus import Gpu
from storage.embedded_servers.embedded_stores import default_data_dir
from storage.embedded_servers.server_process import ServerAccount

MIN_MEMORY_BYTES, MIN_DISK_BYTES = 3 * GIB, 2 * GIB
"""Free bytes below which a check reports a problem."""
MIN_CORE_COUNT = 2


def check_python() -> Finding:
    """Check the version of Python."""
    installed = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] <= (3, 12):
        return Finding("Python", "ok", installed)
    return Finding("Python", "problem", installed, "Parley runs on 3.11 and 3.12", blocks=True)


def check_cores() -> Finding:
    """Check the number of CPU cores that this process may use."""
    count = len(os.sched_getaffinity(0))
    if count >= MIN_CORE_COUNT:
        return Finding("CPU", "ok", f"{count} cores")
    return Finding("CPU", "problem", "1 core", f"{MIN_CORE_COUNT} or more are needed: captions are late otherwise")


def check_memory() -> Finding:
    """Check the free memory."""
    free, total = read_memory_bytes()
    details = f"{format_gib(free)} free of {format_gib(total)}"
    if free >= MIN_MEMORY_BYTES:
        return Finding("Memory", "ok", details)
    return Finding(
        "Memory",
        "problem",
        details,
        f"{format_gib(MIN_MEMORY_BYTES)} free or more are needed: end other programs first",
    )


def check_data_dir(configured: Path | None) -> Finding:
    """Check whether the data folder can be written, and has enough space.

    Args:
        configured: the folder of the settings, if they name one. The first start creates it.
    """
    try:
        account, folder = ServerAccount.current(), configured or default_data_dir()
    except SetupError as error:
        return Finding("Data folder", "problem", "unknown", str(error), blocks=True)
    existing_folder = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.access(path, os.F_OK))
    if not existing_folder.is_dir() or not os.access(existing_folder, os.W_OK | os.X_OK):
        advice = "name a writable folder with PARLEY_DATA_DIR or --data"
        return Finding("Data folder", "problem", f"{folder} can't be written", advice, blocks=True)
    if not account.can_enter(existing_folder):
        advice = "root's servers run as 'nobody': name another folder with PARLEY_DATA_DIR or --data"
        return Finding("Data folder", "problem", f"'nobody' can't access {folder}", advice, blocks=True)
    free = shutil.disk_usage(existing_folder).free
    creation_note = "" if existing_folder == folder.absolute() else ", created by the first start"
    details = f"{folder}{creation_note}; {format_gib(free)} free"
    if free >= MIN_DISK_BYTES:
        return Finding("Data folder", "ok", details)
    return Finding(
        "Data folder", "problem", details, f"{format_gib(MIN_DISK_BYTES)} free or more are needed: free up space"
    )


def check_port(number: int) -> Finding:
    """Check whether the HTTP API's port is free, and otherwise which server uses it."""
    url = f"http://{LOOPBACK}:{number}"
    if is_port_free(number):
        return Finding("Port", "ok", f"{number} is free")
    if identify_server(url) == "parley":
        return Finding("Port", "running", f"Parley runs at {url}", "`parley meetings list` shows its meetings")
    return Finding("Port", "problem", f"{number} is in use", "choose another with --port or PARLEY_PORT", blocks=True)


def check_gpus(gpus: Sequence[Gpu]) -> Finding:
    """Check the GPUs."""
    if gpus:
        return Finding("GPU", "ok", ", ".join(f"{gpu.name} ({format_gib(gpu.memory_bytes)})" for gpu in gpus))
    return Finding("GPU", "missing", "NVIDIA's driver reports none", "a GPU can run larger models with vLLM")
