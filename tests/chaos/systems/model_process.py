"""A model server in a process of its own, so that what it computes delays no one whose delay is measured."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Generator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from tests.harness.doubles.openai_server import openai_server

_processes = multiprocessing.get_context("forkserver")


@contextmanager
def running_model_process(reply_to: Callable[[str], str]) -> Generator[str]:
    """Run the server during the block, and yield its base URL.

    Args:
        reply_to: returns the model's answer to a line. It is sent to the process, so it must be picklable.
    """
    ours, theirs = _processes.Pipe()
    process = _processes.Process(target=_serve, args=(theirs, reply_to), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours.recv()
    finally:
        # The server runs until its end of the pipe is closed.
        ours.close()
        process.join()


def _serve(pipe: Connection, reply_to: Callable[[str], str]) -> None:
    with openai_server() as (url, state):
        state.reply_to = reply_to
        pipe.send(url)
        pipe.poll(None)
