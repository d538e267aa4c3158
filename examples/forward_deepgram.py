"""Sends sound to Deepgram's live transcription, and forwards its messages to Parley."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from forwarder_options import add_option_argument, add_parameters, build_parser
from sound_source import SAMPLE_RATE
from source_forwarder import SoundService, run
from websockets.asyncio.client import ClientConnection

PARAMETERS = {
    "model": "nova-3",
    "encoding": "linear16",
    "sample_rate": str(SAMPLE_RATE),
    "channels": "1",
    "interim_results": "true",
    "punctuate": "true",
    "diarize": "true",
}


class Deepgram(SoundService):
    """The live API of Deepgram. It closes a connection that has neither sound nor `KeepAlive` for ten seconds."""

    source = "deepgram"
    title = "Deepgram"
    default_url = "wss://api.deepgram.com/v1/listen"
    key_variable = "DEEPGRAM_API_KEY"
    silence_message = json.dumps({"type": "KeepAlive"})

    def build_url(self) -> str:
        """Return the address with the parameters of the transcription."""
        return add_parameters(self.options.url, PARAMETERS, self.options.option)

    def build_headers(self) -> dict[str, str]:
        """Return the headers of the handshake."""
        return {"Authorization": f"Token {self.key}"}

    async def end(self, socket: ClientConnection) -> None:
        """Request the last results. Deepgram sends them with a `Metadata`, and closes the connection."""
        await socket.send(json.dumps({"type": "CloseStream"}))

    def read(self, message: Mapping[str, Any]) -> bool:
        """Read a message. The last one is `Metadata`."""
        return self.is_stopping and message.get("type") == "Metadata"


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = build_parser(Deepgram, "Sends sound to Deepgram, and forwards its messages to Parley.")
    add_option_argument(parser, "language=de")
    return parser.parse_args(arguments)


async def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program. Return its exit status."""
    return await run(Deepgram, parse_options(arguments))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
