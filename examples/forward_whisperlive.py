"""Sends sound to a WhisperLive server, and forwards its messages to Parley."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from array import array
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from forwarder_options import build_parser
from parley_stream import ForwarderError, report
from source_forwarder import ServiceBusyError, SoundService, run
from websockets.asyncio.client import ClientConnection

MAX_WAIT_S = 60.0
"""Longest wait for a place on a server that is full (s). It estimates the wait itself, and may be wrong."""


class WhisperLive(SoundService):
    """A WhisperLive server. It ends a connection after ten minutes, unless it was started with another limit.

    The server sends no last text at `END_OF_AUDIO`, but discards what it has. So the program first waits until no more text
    arrives, as WhisperLive's own client does.
    """

    source = "whisperlive"
    title = "WhisperLive"
    default_url = "ws://127.0.0.1:9090"

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self._text_arrived = asyncio.Event()

    async def begin(self, socket: ClientConnection) -> None:
        """Introduce a new client. The server's times begin at 0 for each."""
        self.ready.clear()
        options = self.options
        introduction = {
            "uid": str(uuid4()),
            "language": options.language,
            "task": "transcribe",
            "model": options.model,
            "use_vad": True,
        }
        await socket.send(json.dumps(introduction))

    def encode(self, block: bytes) -> bytes:
        """Convert samples to 32-bit floats between -1 and 1."""
        samples = array("h", block)
        if sys.byteorder == "big":
            samples.byteswap()
        floats = array("f", (sample / 32_768 for sample in samples))
        if sys.byteorder == "big":
            floats.byteswap()
        return floats.tobytes()

    async def end(self, socket: ClientConnection) -> None:
        """Wait for the last text, and end the sound. The server closes the connection."""
        while True:
            self._text_arrived.clear()
            try:
                await asyncio.wait_for(self._text_arrived.wait(), self.options.settle)
            except TimeoutError:
                break
        await socket.send(b"END_OF_AUDIO")

    def read(self, message: Mapping[str, Any]) -> bool:
        """Read a message: text, or the server's state."""
        self._text_arrived.set()
        status, detail = message.get("status"), message.get("message")
        if status == "WAIT":
            minutes = float(detail) if isinstance(detail, int | float) else 1.0
            raise ServiceBusyError("the server is full", min(MAX_WAIT_S, minutes * 60))
        if status == "ERROR":
            raise ForwarderError(f"WhisperLive: {detail}")
        if status == "WARNING":
            report(f"WhisperLive: {detail}")
        if detail == "SERVER_READY":
            self.ready.set()
        if detail == "DISCONNECT":
            raise ServiceBusyError("the connection reached the server's limit of time")
        return False


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = build_parser(WhisperLive, "Sends sound to a WhisperLive server, and forwards its messages to Parley.")
    parser.add_argument("--language", help="language of the speech, such as en (default: detected)")
    parser.add_argument("--model", default="small", help="Whisper model of the server (default: %(default)s)")
    parser.add_argument(
        "--settle",
        type=float,
        default=15.0,
        help="seconds without new text after which the transcript is complete (default: %(default)s)",
    )
    return parser.parse_args(arguments)


async def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program. Return its exit status."""
    return await run(WhisperLive, parse_options(arguments))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
