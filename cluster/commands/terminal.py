"""Terminal output and signals of commands: results go to standard output, progress and errors to standard error."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import unicodedata
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
RESEND_DELAY_S = 0.05
"""Seconds after which an interrupt is sent again that Python raised in a finalizer and ignored."""

console = Console(stderr=True, highlight=False)
# Output to a file or a program must not be truncated or wrapped.
results = Console(highlight=False, width=None if sys.stdout.isatty() else 10_000)


def print_status(text: str) -> None:
    """Print a message about the progress of a command."""
    console.print(text, style="dim", markup=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Print a result as JSON."""
    results.out(json.dumps(value, ensure_ascii=False, indent=2))


def sanitize_for_terminal(text: str) -> str:
    """Return untrusted text without control characters, and with its markup escaped."""
    return escape("".join(letter for letter in text if not unicodedata.category(letter).startswith("C")))


def format_time(instant: str | None) -> str:
    """Return a time of the API in this machine's time zone, to the minute; "" if there is none."""
    return datetime.fromisoformat(instant).astimezone().strftime("%Y-%m-%d %H:%M") if instant else ""


def format_offset(seconds: float) -> str:
    """Return a time from a meeting's start as minutes and seconds, and hours if there are any."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


class ShutdownSignals:
    """Handles Ctrl-C, SIGTERM and SIGHUP inside the `with` block.

    During the start, the first signal raises `KeyboardInterrupt`, so that the start is undone. After `mark_started`, the first
    signal sets an event. Later signals are ignored, so that an impatient second Ctrl-C can't interrupt the stop. After the
    block all are ignored, because the command ends by itself.
    """

    def __init__(self) -> None:
        self._stop_requested = threading.Event()
        self._is_up = self._is_over = False
        self._raised_interrupt: KeyboardInterrupt | None = None
        self._previous_hook = sys.unraisablehook
        sys.unraisablehook = self._on_unraisable
        # The system sends SIGHUP when the terminal is closed. Under `nohup` it stays ignored.
        hangup_signals = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
        self._signals = (*_STOP_SIGNALS, *hangup_signals)
        self._terminal_fds = [number for number in (1, 2) if os.isatty(number)]
        self._install_handlers()

    def __enter__(self) -> ShutdownSignals:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        # At its exit, Python removes these handlers, and a later signal would kill the process.
        for number in self._signals:
            signal.signal(number, signal.SIG_IGN)
        # An interrupt that ended `eval` or `exec` makes `python -m` kill itself by SIGINT at its exit, with any exit code, unless
        # further text was evaluated (CPython's `_Py_UnhandledKeyboardInterrupt`).
        eval("None")  # noqa: S307 - a constant

    def print_status(self, text: str) -> None:
        """Print the next step of the start.

        Raises:
            KeyboardInterrupt: a stop was requested earlier, and the step then running ignored it, as a fork does.
        """
        self._install_handlers()
        self._raise_if_requested()
        print_status(text)

    def mark_started(self) -> threading.Event:
        """End the start: from now on, a signal sets the returned event and raises nothing.

        Returns:
            The event that is set when a stop is requested.

        Raises:
            KeyboardInterrupt: a stop was requested earlier.
        """
        self._is_up = True
        self._install_handlers()
        self._raise_if_requested()
        return self._stop_requested

    def _raise_if_requested(self) -> None:
        if self._stop_requested.is_set():
            raise KeyboardInterrupt

    def _install_handlers(self) -> None:
        # Called repeatedly, because Ray installs its own handler of SIGTERM when it starts.
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
        """Redirect terminal output to /dev/null. Writes to a closed terminal would fail and interrupt the stop."""
        if self._terminal_fds:
            null_fd = os.open(os.devnull, os.O_WRONLY)
            for number in self._terminal_fds:
                os.dup2(null_fd, number)
            os.close(null_fd)

    def _on_unraisable(self, error: UnraisableHookArgs) -> None:
        """Send an interrupt again that was raised in a finalizer, where Python ignores exceptions."""
        if error.exc_value is None or error.exc_value is not self._raised_interrupt:
            self._previous_hook(error)
        elif not self._is_over:
            self._raised_interrupt = None
            self._stop_requested.clear()
            threading.Timer(RESEND_DELAY_S, os.kill, (os.getpid(), signal.SIGINT)).start()
