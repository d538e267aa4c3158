"""Common code of the forwarders: it connects a transcription service to Parley until the service or the user ends.

`TranscriptService` is a service that sends messages by itself, `SoundService` one that needs sound. A forwarder is a
subclass with the service's own handshake, and calls `run`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

from parley_stream import ForwarderError, ParleyStream, RetryDelays, report
from sound_source import SoundSource
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

STEADY_S = 30.0
"""A connection that lasts this long is a success: the next failure has the first delay again (s)."""
STOP_S = 15.0
"""Longest wait for the service's last text, and for Parley's last answers, after the user ends the program (s)."""
SILENCE_S = 5.0
"""Seconds without sound after which a service gets a message that keeps its connection open."""
MAX_MESSAGE_BYTES = 4_000_000
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class ServiceBusyError(Exception):
    """The service has no place for this connection now.

    Args:
        problem: the service's explanation.
        delay_s: the shortest time to the next attempt, in seconds.
    """

    def __init__(self, problem: str, delay_s: float = 0.0) -> None:
        super().__init__(problem)
        self.delay_s = delay_s


class TranscriptService:
    """A service that sends a transcript over a WebSocket.

    Args:
        options: the options of the command line.

    Attributes:
        source: the source's name in Parley.
        title: the service's name.
        default_url: the service's own address.
        key_variable: the environment variable of the service's key; None if the service has no key.
    """

    source: ClassVar[str]
    title: ClassVar[str]
    default_url: ClassVar[str]
    key_variable: ClassVar[str | None] = None

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.key = os.environ.get(self.key_variable, "") if self.key_variable else ""
        if self.key_variable and not self.key:
            raise ForwarderError(f"{self.title} needs a key: set {self.key_variable}")
        self._stop = asyncio.Event()

    # --- A service's own part ---

    def build_url(self) -> str:
        """Return the address to connect to."""
        return self.options.url

    def build_headers(self) -> dict[str, str]:
        """Return the headers of the handshake."""
        return {}

    async def begin(self, socket: ClientConnection) -> None:
        """Send the first messages of a connection."""

    async def feed(self, socket: ClientConnection) -> None:
        """Send to the service while its messages are read, until there is nothing more to send."""
        await self._stop.wait()

    async def end(self, socket: ClientConnection) -> None:
        """Tell the service that the connection ends."""

    def read(self, message: Mapping[str, Any]) -> bool:
        """Read a message of the service, before it is forwarded.

        Returns:
            Whether the service sends no further text.

        Raises:
            ForwarderError: the service refuses the key or the request.
            ServiceBusyError: the service has no place now.
        """
        return False

    def is_forwarded(self, message: Mapping[str, Any]) -> bool:
        """Return whether a message goes to Parley. Only answers to each block of sound needn't."""
        return True

    def check_close(self, code: int, reason: str) -> None:
        """Check why the service closed the connection.

        Raises:
            ForwarderError: another attempt is useless.
        """

    # --- The connection ---

    def stop(self) -> None:
        """End the connection in order."""
        self._stop.set()

    @property
    def is_stopping(self) -> bool:
        """Whether the connection is to end."""
        return self._stop.is_set()

    async def wait_for_stop(self, timeout_s: float) -> bool:
        """Wait until the connection is to end, at most `timeout_s` seconds. Return whether it is."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), timeout_s)
        return self.is_stopping

    def close(self) -> None:
        """Release what the service holds."""

    async def run(self, parley: ParleyStream) -> None:
        """Pass the service's messages to Parley until the service or the user ends. Connect again if a connection breaks.

        Args:
            parley: the connection to Parley.

        Raises:
            ForwarderError: the service refuses the key or the request, or its last text is missing.
        """
        delays, clock = RetryDelays(), asyncio.get_running_loop()
        while True:
            began, delay_s = clock.time(), 0.0
            try:
                async with connect(
                    self.build_url(),
                    additional_headers=self.build_headers(),
                    max_size=MAX_MESSAGE_BYTES,
                    ping_timeout=60,
                ) as socket:
                    with contextlib.suppress(ConnectionClosed):
                        if await self._serve(socket, parley):
                            return
                    problem = self._check_closed(socket)
            except ServiceBusyError as error:
                problem, delay_s = str(error), error.delay_s
            except InvalidStatus as error:
                problem = self._check_status(error.response.status_code)
            except (OSError, InvalidHandshake, TimeoutError) as error:
                problem = f"can't be reached ({type(error).__name__})"
            if self.is_stopping:
                raise ForwarderError(f"{self.title}: {problem}; the last text may be missing")
            if clock.time() - began > STEADY_S:
                delays.reset()
            delay_s = max(delay_s, delays.next())
            report(f"{self.title}: {problem}; next attempt in {delay_s:.1f} s")
            if await self.wait_for_stop(delay_s):
                return

    async def _serve(self, socket: ClientConnection, parley: ParleyStream) -> bool:
        """Read a connection's messages. Return whether the service ended in order."""
        await self.begin(socket)
        feeding = asyncio.ensure_future(self._feed_and_end(socket))
        try:
            async for content in socket:
                message = _decode(content)
                is_over = self.read(message)
                if self.is_forwarded(message):
                    await parley.put(content)
                if is_over:
                    return True
            return self.is_stopping and socket.close_code == 1000
        finally:
            await _cancel(feeding)

    async def _feed_and_end(self, socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            await self.feed(socket)
            self.stop()
            await self.end(socket)

    def _check_closed(self, socket: ClientConnection) -> str:
        code, reason = socket.close_code or 1006, socket.close_reason or ""
        self.check_close(code, reason)
        return f"the connection was closed ({code}{': ' if reason else ''}{reason})"

    def _check_status(self, status: int) -> str:
        if status in (401, 402, 403):
            raise ForwarderError(f"{self.title} refused the key (HTTP {status}): check {self.key_variable}")
        if 400 <= status < 500 and status not in (408, 429):
            raise ForwarderError(f"{self.title} refused the request (HTTP {status}): check --url and the options")
        return f"HTTP {status}"


class SoundService(TranscriptService):
    """A service that transcribes sound.

    Its clock begins at 0 with each connection. Each connection has an id of its own in the messages, by which Parley places
    it after the one before. So the session stays the same.

    Attributes:
        block_count: number of blocks that were sent on the connection.
        ready: set once the service takes sound.
    """

    silence_message: ClassVar[str | None] = None
    """The message that keeps the connection open while there is no sound."""

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self.sound = SoundSource(options.sound, options.speed)
        self.block_count = 0
        self.ready = asyncio.Event()

    def encode(self, block: bytes) -> bytes:
        """Convert a block to the service's encoding."""
        return block

    def stop(self) -> None:
        """End the sound, and then the connection."""
        self.sound.end()
        super().stop()

    def close(self) -> None:
        """Close the sound."""
        self.sound.close()

    async def begin(self, socket: ClientConnection) -> None:
        """Begin a connection. The service takes sound at once; a subclass may clear `ready` first."""
        self.block_count = 0
        self.ready.set()

    async def feed(self, socket: ClientConnection) -> None:
        """Send the sound in real time."""
        await self.ready.wait()
        while block := await self._read_block(socket):
            await socket.send(self.encode(block))
            self.block_count += 1

    async def _read_block(self, socket: ClientConnection) -> bytes:
        while (block := await self.sound.read(SILENCE_S)) is None:
            if self.silence_message is not None:
                await socket.send(self.silence_message)
        return block


def _decode(content: str | bytes) -> dict[str, Any]:
    """Decode a message; an empty one if it is no JSON object. Parley refuses it, and names the problem."""
    try:
        message = json.loads(content)
    except ValueError:
        return {}
    return cast("dict[str, Any]", message) if isinstance(message, dict) else {}


async def forward(service: TranscriptService, parley: ParleyStream, stop: asyncio.Event) -> None:
    """Forward a service's messages until the service ends, or `stop` is set.

    Args:
        service: the service.
        parley: the connection to Parley.
        stop: set by the user.

    Raises:
        ForwarderError: a problem that a person must fix.
    """
    reading = asyncio.ensure_future(service.run(parley))
    sending = asyncio.ensure_future(parley.run())
    stopping = asyncio.ensure_future(stop.wait())
    finishing: asyncio.Future[None] | None = None
    try:
        await asyncio.wait({reading, sending, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            # A connection that isn't ended in order may cost money until the service's own limit.
            service.stop()
            await asyncio.wait({reading}, timeout=STOP_S)
        finishing = asyncio.ensure_future(parley.finish())
        await asyncio.wait({sending, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not sending.done():
            await asyncio.wait({sending}, timeout=STOP_S)
        if not sending.done():
            raise ForwarderError(f"{parley.pending_count} messages have no answer of Parley; they are lost")
        await sending
        if not reading.done():
            raise ForwarderError(f"{service.title} sent no end within {STOP_S:.0f} s; the last text may be missing")
        await reading
    finally:
        await _cancel(reading, sending, stopping, finishing)


async def _cancel(*tasks: asyncio.Future[Any] | None) -> None:
    running = [task for task in tasks if task is not None]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def run(service_type: Callable[[argparse.Namespace], TranscriptService], options: argparse.Namespace) -> int:
    """Run a forwarder until its service or a signal ends it. Return the exit status.

    Args:
        service_type: makes the service from the options.
        options: the options of the command line.
    """
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    try:
        service = service_type(options)
    except ForwarderError as error:
        report(str(error))
        return 1
    variable = f"{service.source.upper()}_FORWARD_KEY"
    parameters = {name: getattr(options, name) for name in ("meeting", "session", "speaker")}
    parley = ParleyStream(options.parley, service.source, parameters, os.environ.get(variable), variable)

    def stop_once() -> None:
        """End in order. A second signal ends the program at once."""
        stop.set()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)

    for number in _SIGNALS:
        loop.add_signal_handler(number, stop_once)
    status = 0
    try:
        await forward(service, parley, stop)
    except ForwarderError as error:
        report(str(error))
        status = 1
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
        service.close()
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(parley.counts.items()))
    report(f"Messages: {counts or 'none'}")
    return status
