"""What the commands write to: results on standard output, everything about how it goes on standard error."""

from __future__ import annotations

import json
import signal
import threading
from typing import Any

from rich.console import Console

console = Console(stderr=True, highlight=False)
results = Console(highlight=False)


def say(words: str) -> None:
    """Tell what is being done."""
    console.print(words, style="dim", markup=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Give a result to a program."""
    results.out(json.dumps(value, ensure_ascii=False, indent=2))


class CtrlC:
    """Ctrl-C, and SIGTERM, from when this is made: they undo a system's start, and once it's up they ask it to stop.

    Only the first counts, so that an impatient second one doesn't keep the rest from being stopped.
    """

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._up = False
        self._listen()

    def say(self, words: str) -> None:
        """Tell what is to be done next of the start.

        Raises:
            KeyboardInterrupt: somebody asked to stop, and what was then being done ignored it, as a fork does.
        """
        self._check()
        say(words)

    def system_is_up(self) -> threading.Event:
        """Undo nothing more from now on.

        Returns:
            What is set once somebody asks to stop.

        Raises:
            KeyboardInterrupt: as `say` does.
        """
        self._up = True
        # Ray put a handler of its own in place when it started.
        self._listen()
        self._check()
        return self._asked

    def _check(self) -> None:
        if self._asked.is_set():
            raise KeyboardInterrupt

    def _listen(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda _number, _frame: self._hear())

    def _hear(self) -> None:
        first = not self._asked.is_set()
        self._asked.set()
        if first and not self._up:
            raise KeyboardInterrupt
