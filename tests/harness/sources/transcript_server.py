"""The common part of the stand-ins for services that send a transcript over a WebSocket."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, ClassVar, NamedTuple

from websockets.asyncio.server import Request, Response, Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.harness.data.source_conversation import CONVERSATION, Messages, Turn

KEY = "the service's key"
AFTER_WORD_S = 0.35
"""Seconds from the end of a word until its interim text was sent, and that of the next word was not."""


class Cut(NamedTuple):
    """A place in the conversation where the connection breaks: after a number of words of a turn."""

    turn: int
    word_count: int


@dataclass(frozen=True, slots=True)
class BadDay:
    """The faults of a service.

    Attributes:
        cuts: where connections break. Each further connection begins a new stream with the speech after that place.
        repeats: whether each message is sent twice.
        oddities: messages that are sent among the others, once.
        refuses_key: whether every key is wrong.
        full_count: number of connections that find the service full.
        silent_after: number of messages after which the service is silent until `TranscriptServer.resume` is set.
    """

    cuts: Sequence[Cut] = ()
    repeats: bool = False
    oddities: Sequence[str] = ()
    refuses_key: bool = False
    full_count: int = 0
    silent_after: int | None = None


@dataclass(slots=True)
class Connection:
    """A connection of a client.

    Attributes:
        path: path and query of the handshake.
        headers: headers of the handshake.
        messages: the decoded messages of the client.
        sound_bytes: number of bytes of sound.
        sent_count: number of messages that were sent.
    """

    path: str
    headers: dict[str, str]
    messages: list[Any] = field(default_factory=list[Any])
    sound_bytes: int = 0
    sent_count: int = 0


def split_streams(cuts: Sequence[Cut]) -> list[tuple[Sequence[Turn], float | None]]:
    """Split the conversation at the cuts.

    Returns:
        For each stream its turns by its own clock, and when it breaks (s); None if it doesn't.
    """
    streams: list[tuple[Sequence[Turn], float | None]] = []
    turns, began = list(enumerate(CONVERSATION)), 0.0
    for cut in cuts:
        index, whole = next((number, turn) for number, turn in turns if number == cut.turn)
        words = whole.words
        at = words[cut.word_count - 1][2] + AFTER_WORD_S
        streams.append(([_shift(turn, began) for number, turn in turns if number <= index], at - began))
        rest = Turn(whole.speaker, words[cut.word_count][1], " ".join(whole.text.split()[cut.word_count :]))
        turns = [(index, rest), *((number, turn) for number, turn in turns if number > index)]
        began = at
    return [*streams, ([_shift(turn, began) for _, turn in turns], None)]


def _shift(turn: Turn, began: float) -> Turn:
    return turn._replace(start=round(max(0.0, turn.start - began), 3))


class TranscriptServer:
    """A service on a loopback port. It sends a message once the sound has reached the message's time.

    Args:
        bad_day: its faults.

    Attributes:
        connections: all connections.
        sound_arrived, message_arrived: set when a client sent sound, or a message.
        finished: set when the whole conversation was sent.
        silent: set when the service becomes silent.
        resume: ends the silence.
    """

    build_messages: ClassVar[Callable[[Sequence[Turn], str], Messages]]
    sound_bytes_per_s: ClassVar[int] = 32_000
    path: ClassVar[str] = "/"

    def __init__(self, bad_day: BadDay = BadDay()) -> None:
        self.bad_day = bad_day
        self.connections: list[Connection] = []
        self.sound_arrived, self.message_arrived, self.finished = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.silent, self.resume = asyncio.Event(), asyncio.Event()
        self._streams = deque(split_streams(bad_day.cuts))
        self._oddities = list(bad_day.oddities)
        self._sent_count = 0
        self._server: Server | None = None

    async def __aenter__(self) -> TranscriptServer:
        self._server = await serve(
            self._handle,
            "127.0.0.1",
            0,
            process_request=self._check_request,
            # A client's pong is behind its sound.
            max_queue=None,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self.resume.set()
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """The address of the service."""
        assert self._server is not None
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}{self.path}"

    # --- A service's own part ---

    def has_key(self, request: Request) -> bool:
        """Whether a request has the right key."""
        return True

    async def greet(self, socket: ServerConnection, connection: Connection) -> str | None:
        """Read a client's first messages. Return the id of its stream; None if the client is refused."""
        return f"stream-{len(self.connections)}"

    def is_end(self, message: Any) -> bool:
        """Whether a client's message ends its sound."""
        raise NotImplementedError

    async def acknowledge(self, socket: ServerConnection, connection: Connection) -> None:
        """Answer a block of sound."""

    async def finish(self, socket: ServerConnection, connection: Connection) -> None:
        """Send what follows the last text."""

    # --- The connection ---

    def _check_request(self, socket: ServerConnection, request: Request) -> Response | None:
        if request.path.split("?")[0] != self.path:
            return socket.respond(HTTPStatus.NOT_FOUND, "")
        if self.bad_day.refuses_key or not self.has_key(request):
            return self.refuse_key(socket)
        return None

    def refuse_key(self, socket: ServerConnection) -> Response | None:
        """Refuse the handshake. A service that refuses later returns None."""
        return socket.respond(HTTPStatus.UNAUTHORIZED, "Invalid credentials.")

    async def _handle(self, socket: ServerConnection) -> None:
        request = socket.request
        assert request is not None
        connection = Connection(request.path, {name.lower(): value for name, value in request.headers.raw_items()})
        self.connections.append(connection)
        try:
            stream = await self.greet(socket, connection)
            if stream is not None:
                await self._serve(socket, connection, stream)
        except ConnectionClosed:
            pass

    async def _serve(self, socket: ServerConnection, connection: Connection, stream: str) -> None:
        turns, breaks_at = self._streams[0]
        if breaks_at is not None:
            self._streams.popleft()
        script = deque(
            (at, message)
            for at, message in type(self).build_messages(turns, stream)
            if breaks_at is None or at < breaks_at
        )
        await self._send_until(socket, connection, script, 0.0)
        async for content in socket:
            message = content if isinstance(content, bytes) else json.loads(content)
            if self.is_end(message):
                connection.messages.append(message)
                await self._send_until(socket, connection, script, None)
                if breaks_at is not None:
                    break
                await self.finish(socket, connection)
                self.finished.set()
                return
            if isinstance(content, str):
                connection.messages.append(message)
                self.message_arrived.set()
                continue
            self.sound_arrived.set()
            connection.sound_bytes += len(content)
            await self.acknowledge(socket, connection)
            await self._send_until(socket, connection, script, connection.sound_bytes / self.sound_bytes_per_s)
            if breaks_at is not None and not script:
                break
        if breaks_at is not None:
            await self.break_connection(socket)

    async def break_connection(self, socket: ServerConnection) -> None:
        """Break a connection without a closing handshake, once the client has read what was sent."""
        await (await socket.ping())
        socket.transport.abort()

    async def _send_until(
        self, socket: ServerConnection, connection: Connection, script: deque[tuple[float, Any]], until: float | None
    ) -> None:
        while script and (until is None or script[0][0] <= until):
            await self.send(socket, connection, script.popleft()[1])

    async def send(self, socket: ServerConnection, connection: Connection, message: Any) -> None:
        """Send a message of the script, with the faults of the day."""
        for _ in range(2 if self.bad_day.repeats else 1):
            await socket.send(json.dumps(message))
            connection.sent_count += 1
        self._sent_count += 1
        if self._sent_count >= 5 and self._oddities:
            await socket.send(self._oddities.pop(0))
        if self._sent_count == self.bad_day.silent_after:
            self.silent.set()
            await self.resume.wait()
