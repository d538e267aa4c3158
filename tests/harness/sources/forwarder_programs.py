"""Runs the forwarders of `examples/`, in the test's own process or in one of their own."""

from __future__ import annotations

import asyncio
import importlib
import sys
import wave
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
SOUND_S = 19.0
"""Length of the conversation's sound (s)."""


def load_example(name: str) -> ModuleType:
    """Import a program of `examples/`, or a module that they share."""
    if str(EXAMPLES) not in sys.path:
        sys.path.append(str(EXAMPLES))
    return importlib.import_module(name)


def write_sound(path: Path, *, sample_rate: int = 16_000, seconds: float = SOUND_S) -> Path:
    """Write a WAV file with silence. The stand-ins only count the sound."""
    with wave.open(str(path), "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(sample_rate)
        wav.writeframes(bytes(2 * round(sample_rate * seconds)))
    return path


async def run_forwarder(source: str, arguments: Sequence[str]) -> int:
    """Run a forwarder in this process. Return its exit status."""
    return await load_example(f"forward_{source}").main(arguments)


async def start_forwarder(
    source: str, arguments: Sequence[str], stdin: int | None = None
) -> asyncio.subprocess.Process:
    """Start a forwarder as a process. Its stderr is a pipe."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / f"forward_{source}.py"),
        *arguments,
        stdin=stdin,
        stderr=asyncio.subprocess.PIPE,
    )
