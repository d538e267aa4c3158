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

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
RESEND_DELAY_S = 0.05
"""Seconds after which a request to stop is made again that came where nothing can be undone."""

console = Console(stderr=True, highlight=False)
# No window bounds what goes to a file or a program: nothing is cut or wrapped there.
results = Console(highlight=False, width=None if sys.stdout.isatty() else 10_000)


def print_status(text: str) -> None:
    """Tell what is being done."""
    console.print(text, style="dim", markup=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Give a result to a program."""
    results.out(json.dumps(value, ensure_ascii=False, indent=2))


def sanitize_for_terminal(text: str) -> str:
    """Somebody else's words as they may be shown in a terminal: none of them commands it, or is markup."""
    return escape("".join(letter for letter in text if not unicodedata.category(letter).startswith("C")))


class ShutdownSignals:
    """Ctrl-C, SIGTERM and SIGHUP, for as long as the block: they undo a system's start, and once it's up ask it to stop.

    Only the first counts, so that an impatient second one doesn't keep the rest from being stopped. After the block none does:
    all is undone, and the command ends by itself.
    """

    def __init__(self) -> None:
        self._stop_requested = threading.Event()
        self._is_up = self._is_over = False
        self._raised_interrupt: KeyboardInterrupt | None = None
        self._previous_hook = sys.unraisablehook
        sys.unraisablehook = self._on_unraisable
        # SIGHUP comes when the terminal is closed. `nohup` has it ignored.
        hangup_signals = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
        self._signals = (*_STOP_SIGNALS, *hangup_signals)
        self._terminal_fds = [number for number in (1, 2) if os.isatty(number)]
        self._install_handlers()

    def __enter__(self) -> ShutdownSignals:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        # As Python ends it would give up our handlers, and then die of what still comes.
        for number in self._signals:
            signal.signal(number, signal.SIG_IGN)

    def print_status(self, text: str) -> None:
        """Tell what is to be done next of the start.

        Raises:
            KeyboardInterrupt: somebody asked to stop, and what was then being done ignored it, as a fork does.
        """
        self._install_handlers()
        self._raise_if_requested()
        print_status(text)

    def mark_started(self) -> threading.Event:
        """Undo nothing more from now on.

        Returns:
            What is set once somebody asks to stop.

        Raises:
            KeyboardInterrupt: as `say` does.
        """
        self._is_up = True
        self._install_handlers()
        self._raise_if_requested()
        return self._stop_requested

    def _raise_if_requested(self) -> None:
        if self._stop_requested.is_set():
            raise KeyboardInterrupt

    def _install_handlers(self) -> None:
        # Again and again: Ray puts a handler of SIGTERM of its own in place when it starts.
        for number in self._signals:
            signal.signal(number, lambda number, _frame: self._on_signal(number))

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._detach_terminal()
        is_first = not self._stop_requested.is_set()
        self._stop_requested.set()
        if is_first and not self._is_up:
            self._raised_interrupt = KeyboardInterrupt()
            raise self._raised_interrupt

    def _detach_terminal(self) -> None:
        """Write to no terminal any more: where it is closed, each write would fail, in the middle of stopping."""
        if self._terminal_fds:
            null_fd = os.open(os.devnull, os.O_WRONLY)
            for number in self._terminal_fds:
                os.dup2(null_fd, number)
            os.close(null_fd)

    def _on_unraisable(self, error: UnraisableHookArgs) -> None:
        """A request that came within a finalizer, which Python lets raise nothing, comes again."""
        if error.exc_value is None or error.exc_value is not self._raised_interrupt:
            self._previous_hook(error)
        elif not self._is_over:
            self._raised_interrupt = None
            self._stop_requested.clear()
            threading.Timer(RESEND_DELAY_S, os.kill, (os.getpid(), signal.SIGINT)).start()
