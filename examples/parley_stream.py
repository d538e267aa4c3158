"""A connection to Parley that sends messages of a source, and loses none of them.

Parley answers each message. The next message is sent after that answer. If the connection breaks, the message without an
answer is sent again on the next connection. That is harmless: Parley recognises a repeated message.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

MAX_QUEUED_COUNT = 1_000
"""Most messages that wait for Parley. Then the service's messages are no longer read, until there is space again."""
FIRST_DELAY_S = 0.5
MAX_DELAY_S = 30.0
_CLOSED_FOR_GOOD = ("ended", "failed")
"""Reasons of a refusal after which the meeting accepts nothing any more."""


class ForwarderError(Exception):
    """A problem that a person must fix. The message says how."""


class RetryDelays:
    """Delays between attempts. They double up to a limit, and have a random part."""

    def __init__(self) -> None:
        self._delay_s = FIRST_DELAY_S

    def next(self) -> float:
        """Return the next delay in seconds."""
        delay_s, self._delay_s = self._delay_s, min(MAX_DELAY_S, self._delay_s * 2)
        return delay_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is no secret

    def reset(self) -> None:
        """Begin again with the first delay."""
        self._delay_s = FIRST_DELAY_S


def report(text: str) -> None:
    """Print a line to stderr."""
    print(text, file=sys.stderr, flush=True)


class ParleyStream:
    """Sends messages of a source to Parley, in order.

    Args:
        address: Parley's address, such as `ws://127.0.0.1:8000`.
        source: the source's name in Parley.
        parameters: parameters of the address: `meeting`, `session` and `speaker`. Those without a value are omitted.
        key: the source's secret in Parley; None if it has none.
        key_variable: the environment variable of the secret, which error messages name.

    Attributes:
        counts: number of messages by their outcome.
    """

    def __init__(
        self, address: str, source: str, parameters: Mapping[str, str | None], key: str | None, key_variable: str
    ) -> None:
        query = urlencode({name: value for name, value in parameters.items() if value})
        self._url = f"{address.rstrip('/')}/api/sources/{source}/stream" + (f"?{query}" if query else "")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._source = source
        self._key_variable = key_variable
        self._queue = asyncio.Queue[str | bytes | None](MAX_QUEUED_COUNT)
        self._unanswered: str | bytes | None = None
        self.counts = Counter[str]()

    @property
    def pending_count(self) -> int:
        """Number of messages without an answer."""
        return self._queue.qsize() + (self._unanswered is not None)

    async def put(self, message: str | bytes) -> None:
        """Queue a message as the service sent it. Wait while the queue is full."""
        await self._queue.put(message)

    async def finish(self) -> None:
        """Have `run` return once the queued messages are answered."""
        await self._queue.put(None)

    async def run(self) -> None:
        """Send the queued messages until `finish`, and connect again if the connection breaks.

        Raises:
            ForwarderError: Parley refuses the key or the address, or the meeting accepts nothing any more.
        """
        delays = RetryDelays()
        while True:
            try:
                async with connect(self._url, additional_headers=self._headers) as socket:
                    await self._send_queued(socket, delays)
                    return
            except ConnectionClosed as error:
                code, reason = (error.rcvd.code, error.rcvd.reason) if error.rcvd else (1006, "the connection broke")
                if 4400 <= code < 4500:
                    raise ForwarderError(self._explain(code, reason)) from None
                problem = f"{reason or 'closed'} ({code})"
            except InvalidStatus as error:
                status = error.response.status_code
                if 400 <= status < 500 and status != 429:
                    raise ForwarderError(f"Parley refused the connection (HTTP {status}): check --parley") from None
                problem = f"HTTP {status}"
            except (OSError, InvalidHandshake, TimeoutError) as error:
                problem = f"can't be reached ({type(error).__name__})"
            delay_s = delays.next()
            report(f"Parley: {problem}; {self.pending_count} messages wait; next attempt in {delay_s:.1f} s")
            await asyncio.sleep(delay_s)

    async def _send_queued(self, socket: ClientConnection, delays: RetryDelays) -> None:
        closed = asyncio.ensure_future(socket.wait_closed())
        try:
            while True:
                if self._unanswered is None:
                    self._unanswered = await self._next_message(socket, closed)
                if self._unanswered is None:
                    return
                await socket.send(self._unanswered)
                answer = json.loads(await socket.recv())
                self._unanswered = None
                delays.reset()
                self._read_answer(answer)
        finally:
            closed.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await closed

    async def _next_message(self, socket: ClientConnection, closed: asyncio.Future[None]) -> str | bytes | None:
        """Wait for the next message, or for the connection's end, which raises ConnectionClosed."""
        queued = asyncio.ensure_future(self._queue.get())
        try:
            await asyncio.wait({queued, closed}, return_when=asyncio.FIRST_COMPLETED)
            if not queued.done():
                await socket.recv()
            return await queued
        finally:
            queued.cancel()

    def _read_answer(self, answer: Any) -> None:
        """Count the results of a message, and report the refusals with their fields."""
        for result in cast("list[dict[str, Any]]", answer["results"]):
            self.counts[result["outcome"]] += 1
            if result["outcome"] != "refused":
                continue
            reason = result["reason"]
            if reason in _CLOSED_FOR_GOOD:
                raise ForwarderError(f"the meeting accepts no more text ({reason}): begin another one")
            fields = "; ".join(f"{error['field']}: {error['detail']}" for error in result["errors"])
            report(f"Parley refused a message ({reason}){': ' if fields else ''}{fields}")

    def _explain(self, code: int, reason: str) -> str:
        if code == 4401:
            return (
                f"Parley refused the key: set {self._key_variable} to the secret of `parley sources set {self._source}`"
            )
        return f"Parley refused the address: {reason}"
