"""What the commands write to: results on standard output, everything about how it goes on standard error."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import unicodedata
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_REQUESTS = (signal.SIGINT, signal.SIGTERM)
AGAIN = 0.05
"""Seconds after which a request to stop is made again that came where nothing can be undone."""

console = Console(stderr=True, highlight=False)
# No window bounds what goes to a file or a program: nothing is cut or wrapped there.
results = Console(highlight=False, width=None if sys.stdout.isatty() else 10_000)


def say(words: str) -> None:
    """Tell what is being done."""
    console.print(words, style="dim", markup=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Give a result to a program."""
    results.out(json.dumps(value, ensure_ascii=False, indent=2))


def shown(words: str) -> str:
    """Somebody else's words as they may be shown in a terminal: none of them commands it, or is markup."""
    return escape("".join(letter for letter in words if not unicodedata.category(letter).startswith("C")))


class CtrlC:
    """Ctrl-C, SIGTERM and SIGHUP, for as long as the block: they undo a system's start, and once it's up ask it to stop.

    Only the first counts, so that an impatient second one doesn't keep the rest from being stopped. After the block none does:
    all is undone, and the command ends by itself.
    """

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._up = self._over = False
        self._raised: KeyboardInterrupt | None = None
        self._unraisable = sys.unraisablehook
        sys.unraisablehook = self._lost
        # SIGHUP comes when the terminal is closed. `nohup` has it ignored.
        hang_up = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
        self._requests = (*_REQUESTS, *hang_up)
        self._terminals = [number for number in (1, 2) if os.isatty(number)]
        self._listen()

    def __enter__(self) -> CtrlC:
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        # As Python ends it would give up our handlers, and then die of what still comes.
        for number in self._requests:
            signal.signal(number, signal.SIG_IGN)

    def say(self, words: str) -> None:
        """Tell what is to be done next of the start.

        Raises:
            KeyboardInterrupt: somebody asked to stop, and what was then being done ignored it, as a fork does.
        """
        self._listen()
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
        self._listen()
        self._check()
        return self._asked

    def _check(self) -> None:
        if self._asked.is_set():
            raise KeyboardInterrupt

    def _listen(self) -> None:
        # Again and again: Ray puts a handler of SIGTERM of its own in place when it starts.
        for number in self._requests:
            signal.signal(number, lambda number, _frame: self._hear(number))

    def _hear(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._leave_terminal()
        first = not self._asked.is_set()
        self._asked.set()
        if first and not self._up:
            self._raised = KeyboardInterrupt()
            raise self._raised

    def _leave_terminal(self) -> None:
        """Write to no terminal any more: where it is closed, each write would fail, in the middle of stopping."""
        if self._terminals:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for number in self._terminals:
                os.dup2(nowhere, number)
            os.close(nowhere)

    def _lost(self, error: UnraisableHookArgs) -> None:
        """A request that came within a finalizer, which Python lets raise nothing, comes again."""
        if error.exc_value is None or error.exc_value is not self._raised:
            self._unraisable(error)
        elif not self._over:
            self._raised = None
            self._asked.clear()
            threading.Timer(AGAIN, os.kill, (os.getpid(), signal.SIGINT)).start()
