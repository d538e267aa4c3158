"""The `parley` command in the test's own process: its output and exit code, without a new interpreter."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import structlog

from cluster.cli import main

ROOT = Path(__file__).parents[3]


def run_parley(*arguments: object, folder: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a `parley` command to its end.

    A command that starts a system installs signal handlers in its process: run it with
    `parley_up.run_parley_process`.

    Args:
        arguments: the arguments after `parley`.
        folder: the directory that the command runs in.
        environment: environment variables that are set for it.

    Returns:
        The same as `subprocess.run`, with captured text output.
    """
    words = ["parley", *map(str, arguments)]
    with (
        io.TextIOWrapper(io.BytesIO(), encoding="utf-8") as out,
        io.TextIOWrapper(io.BytesIO(), encoding="utf-8") as err,
    ):
        logs = structlog.get_config()
        try:
            with (
                patch.dict(os.environ, environment),
                patch.object(sys, "argv", words),
                chdir(folder),
                redirect_stdout(out),
                redirect_stderr(err),
                # A thread of its own: the test may be within an event loop, and commands start one.
                ThreadPoolExecutor(1) as thread,
            ):
                code = thread.submit(_exit_code).result()
        finally:
            structlog.configure(**logs)
        return subprocess.CompletedProcess(words, code, _text(out), _text(err))


def _exit_code() -> int:
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode()
