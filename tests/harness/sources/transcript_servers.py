"""A stand-in for each service that sends a transcript over a WebSocket: Vexa, Deepgram, AssemblyAI, WhisperLive, Speechmatics.

Each keeps to the service's own handshake, as its documentation or its source code has it.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Request, Response, ServerConnection

from tests.harness.data.source_conversation import (
    CONVERSATION,
    assemblyai_messages,
    deepgram_messages,
    speechmatics_messages,
    vexa_messages,
    whisperlive_messages,
)
from tests.harness.sources.transcript_server import AFTER_WORD_S, KEY, Connection, TranscriptServer


def read_query(connection: Connection) -> dict[str, str]:
    """Return the parameters of a connection's address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(connection.path).query).items()}


class VexaServer(TranscriptServer):
    """Vexa's gateway. It needs no sound: it sends the conversation after `subscribe`, and then that the meeting is over.

    Its segments have absolute times, so a connection after a broken one continues the conversation. It repeats some messages.
    """

    path = "/ws"
    repeated_count = 3
    """Number of messages before a cut that the next connection repeats."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._script = deque(vexa_messages())

    def refuse_key(self, socket: ServerConnection) -> Response | None:
        """Accept the handshake: Vexa refuses a key later."""
        return None

    def has_key(self, request: Request) -> bool:
        """Whether a request has the right key."""
        return request.headers.get("X-API-Key") == KEY

    async def greet(self, socket: ServerConnection, connection: Connection) -> str | None:
        """Read the subscription."""
        if self.bad_day.refuses_key or connection.headers.get("x-api-key") != KEY:
            await socket.close(4401, "invalid_api_key")
            return None
        request = json.loads(await socket.recv())
        connection.messages.append(request)
        if request.get("action") != "subscribe" or not request.get("meetings"):
            await socket.send(json.dumps({"type": "error", "error": "invalid_subscribe_payload"}))
            return None
        await socket.send(json.dumps({"type": "subscribed", "meetings": request["meetings"]}))
        return "meeting"

    async def _serve(self, socket: ServerConnection, connection: Connection, stream: str) -> None:
        reading = asyncio.ensure_future(self._read(socket, connection))
        try:
            cuts = self.bad_day.cuts[len(self.connections) - 1 :]
            breaks_at = CONVERSATION[cuts[0].turn].words[cuts[0].word_count - 1][2] + AFTER_WORD_S if cuts else None
            sent: deque[tuple[float, Any]] = deque(maxlen=self.repeated_count)
            while self._script and (breaks_at is None or self._script[0][0] < breaks_at):
                sent.append(self._script.popleft())
                await self.send(socket, connection, sent[-1][1])
            if breaks_at is not None:
                self._script.extendleft(reversed(sent))
                await self.break_connection(socket)
                return
            await self.send(socket, connection, {"type": "health", "status": "ok"})
            over = {"type": "meeting.status", "meeting": {"id": 42}, "payload": {"status": "completed"}}
            await self.send(socket, connection, over)
            await reading
        finally:
            reading.cancel()

    async def _read(self, socket: ServerConnection, connection: Connection) -> None:
        async for content in socket:
            message = json.loads(content)
            connection.messages.append(message)
            if message == {"action": "ping"}:
                await socket.send(json.dumps({"type": "pong"}))


class DeepgramServer(TranscriptServer):
    """Deepgram's live API."""

    build_messages = deepgram_messages
    path = "/v1/listen"

    def has_key(self, request: Request) -> bool:
        """Whether a request has the right key."""
        return request.headers.get("Authorization") == f"Token {KEY}"

    async def greet(self, socket: ServerConnection, connection: Connection) -> str | None:
        """Check the parameters of raw sound."""
        query = read_query(connection)
        if (query.get("encoding"), query.get("sample_rate")) != ("linear16", "16000"):
            await socket.close(1008, "DATA-0000")
            return None
        return await super().greet(socket, connection)

    def is_end(self, message: Any) -> bool:
        """Whether the client closes the stream."""
        return message == {"type": "CloseStream"}

    async def finish(self, socket: ServerConnection, connection: Connection) -> None:
        """Send the summary, and close the connection."""
        await self.send(
            socket, connection, {"type": "Metadata", "request_id": "request", "duration": 19.0, "channels": 1}
        )


class AssemblyAiServer(TranscriptServer):
    """AssemblyAI's streaming API (version 3)."""

    build_messages = assemblyai_messages
    path = "/v3/ws"

    def refuse_key(self, socket: ServerConnection) -> Response | None:
        """Accept the handshake: AssemblyAI refuses a key later."""
        return None

    async def greet(self, socket: ServerConnection, connection: Connection) -> str | None:
        """Check the key and the parameters."""
        query = read_query(connection)
        error: tuple[int, str] | None = None
        if self.bad_day.refuses_key or connection.headers.get("authorization") != KEY:
            error = 1008, "Unauthorized Connection: Missing Authorization header"
        elif "speech_model" not in query or query.get("sample_rate") != "16000":
            error = 3006, "Bad connection parameters"
        elif len(self.connections) <= self.bad_day.full_count:
            error = 1008, "Unauthorized Connection: Too many concurrent sessions"
        if error is not None:
            await socket.send(json.dumps({"type": "Error", "error_code": error[0], "error": error[1]}))
            await socket.close(error[0], error[1])
            return None
        return await super().greet(socket, connection)

    def is_end(self, message: Any) -> bool:
        """Whether the client ends the session. The script ends with `Termination`."""
        return message == {"type": "Terminate"}


class WhisperLiveServer(TranscriptServer):
    """A WhisperLive server. It has no key, takes 32-bit floats, and sends nothing after the end of the sound."""

    build_messages = whisperlive_messages
    sound_bytes_per_s = 64_000

    async def greet(self, socket: ServerConnection, connection: Connection) -> str | None:
        """Read the introduction."""
        introduction = json.loads(await socket.recv())
        connection.messages.append(introduction)
        missing = {"uid", "language", "task", "model"} - introduction.keys()
        if missing:
            await socket.close(1011)
            return None
        if len(self.connections) <= self.bad_day.full_count:
            await socket.send(json.dumps({"uid": introduction["uid"], "status": "WAIT", "message": 0.001}))
            return None
        return introduction["uid"]

    def is_end(self, message: Any) -> bool:
        """Whether the client ends the sound."""
        return message == b"END_OF_AUDIO"


class SpeechmaticsServer(TranscriptServer):
    """Speechmatics' real-time API. It sends binary frames at times, as its own stand-in does."""

    build_messages = speechmatics_messages
    path = "/v2"

    def has_key(self, request: Request) -> bool:
        """Whether a request has the right key."""
        return request.headers.get("Authorization") == f"Bearer {KEY}"

    async def greet(self, socket: ServerConnection, connection: Connection) -> str | None:
        """Read the start of the recognition."""
        start = json.loads(await socket.recv())
        connection.messages.append(start)
        sound = {"type": "raw", "encoding": "pcm_s16le", "sample_rate": 16_000}
        if (start.get("message"), start.get("audio_format")) != ("StartRecognition", sound):
            error = {"message": "Error", "type": "invalid_message", "reason": "StartRecognition was expected"}
            await socket.send(json.dumps(error))
            return None
        return await super().greet(socket, connection)

    async def acknowledge(self, socket: ServerConnection, connection: Connection) -> None:
        """Answer a block of sound."""
        await socket.send(json.dumps({"message": "AudioAdded", "seq_no": connection.sound_bytes // 3_200}))

    def is_end(self, message: Any) -> bool:
        """Whether the client ends the stream. The script ends with `EndOfTranscript`."""
        return isinstance(message, dict) and message.get("message") == "EndOfStream"


SERVERS: dict[str, type[TranscriptServer]] = {
    "vexa": VexaServer,
    "deepgram": DeepgramServer,
    "assemblyai": AssemblyAiServer,
    "whisperlive": WhisperLiveServer,
    "speechmatics": SpeechmaticsServer,
}
"""The stand-ins by the source's name."""
