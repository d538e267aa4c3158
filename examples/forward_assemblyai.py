"""Sends sound to AssemblyAI's streaming API (version 3), and forwards its messages to Parley."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from forwarder_options import add_option_argument, add_parameters, build_parser
from parley_stream import ForwarderError
from sound_source import SAMPLE_RATE
from source_forwarder import ServiceBusyError, SoundService, run
from websockets.asyncio.client import ClientConnection

PARAMETERS = {
    "speech_model": "universal-streaming-multilingual",
    "sample_rate": str(SAMPLE_RATE),
    "encoding": "pcm_s16le",
    "format_turns": "true",
    "speaker_labels": "true",
}
_UNAUTHORIZED = 1008
_INVALID_REQUESTS = (3006, 3007)
"""Codes of a request that is invalid, or of sound that is faster than real time."""


class AssemblyAi(SoundService):
    """The streaming API of AssemblyAI. A connection without `Terminate` costs money for up to three hours."""

    source = "assemblyai"
    title = "AssemblyAI"
    default_url = "wss://streaming.assemblyai.com/v3/ws"
    key_variable = "ASSEMBLYAI_API_KEY"

    def build_url(self) -> str:
        """Return the address with the parameters of the transcription."""
        return add_parameters(self.options.url, PARAMETERS, self.options.option)

    def build_headers(self) -> dict[str, str]:
        """Return the headers of the handshake."""
        return {"Authorization": self.key}

    async def end(self, socket: ClientConnection) -> None:
        """Request the last turns. AssemblyAI sends them, and then a `Termination`."""
        await socket.send(json.dumps({"type": "Terminate"}))

    def read(self, message: Mapping[str, Any]) -> bool:
        """Read a message. The last one is `Termination`; an `Error` explains why the connection is closed."""
        if message.get("type") == "Error":
            code, problem = message.get("error_code"), str(message.get("error"))
            self.check_close(code if isinstance(code, int) else 0, problem)
            raise ServiceBusyError(problem)
        return message.get("type") == "Termination"

    def check_close(self, code: int, reason: str) -> None:
        """Check why AssemblyAI closes the connection."""
        if code == _UNAUTHORIZED and "concurrent" not in reason:
            raise ForwarderError(f"AssemblyAI refused the key: check ASSEMBLYAI_API_KEY ({reason})")
        if code in _INVALID_REQUESTS:
            raise ForwarderError(f"AssemblyAI refused the request: check --speed and the options ({reason})")


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = build_parser(AssemblyAi, "Sends sound to AssemblyAI, and forwards its messages to Parley.")
    add_option_argument(parser, "speech_model=universal-streaming-english")
    return parser.parse_args(arguments)


async def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program. Return its exit status."""
    return await run(AssemblyAi, parse_options(arguments))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
