"""Sends sound to Speechmatics' real-time API, and forwards its messages to Parley."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from forwarder_options import build_parser
from parley_stream import ForwarderError, report
from sound_source import SAMPLE_RATE
from source_forwarder import ServiceBusyError, SoundService, run
from websockets.asyncio.client import ClientConnection

BUSY_ERRORS = {"quota_exceeded": 5.0, "job_error": 5.0, "internal_error": 5.0}
"""Errors that may pass, each with the shortest time to the next attempt (s) by Speechmatics' documentation."""
PASSING_ERRORS = (
    *BUSY_ERRORS,
    "timelimit_exceeded",
    "idle_timeout",
    "session_timeout",
    "session_transfer",
    "buffer_error",
)


class Speechmatics(SoundService):
    """The real-time API of Speechmatics."""

    source = "speechmatics"
    title = "Speechmatics"
    default_url = "wss://eu.rt.speechmatics.com/v2"
    key_variable = "SPEECHMATICS_API_KEY"

    def build_headers(self) -> dict[str, str]:
        """Return the headers of the handshake."""
        return {"Authorization": f"Bearer {self.key}"}

    async def begin(self, socket: ClientConnection) -> None:
        """Start the recognition. Speechmatics takes sound once it sends `RecognitionStarted`."""
        self.ready.clear()
        self.block_count = 0
        config = {
            "language": self.options.language,
            "enable_partials": True,
            "max_delay": self.options.max_delay,
            "diarization": "speaker",
        }
        sound = {"type": "raw", "encoding": "pcm_s16le", "sample_rate": SAMPLE_RATE}
        await socket.send(
            json.dumps({"message": "StartRecognition", "audio_format": sound, "transcription_config": config})
        )

    async def end(self, socket: ClientConnection) -> None:
        """Request the last text. Speechmatics sends it, and then `EndOfTranscript`."""
        await socket.send(json.dumps({"message": "EndOfStream", "last_seq_no": self.block_count}))

    def read(self, message: Mapping[str, Any]) -> bool:
        """Read a message. The last one is `EndOfTranscript`."""
        kind = message.get("message")
        if kind == "RecognitionStarted":
            self.ready.set()
        elif kind == "Warning":
            report(f"Speechmatics: {message.get('reason')}")
        elif kind == "Error":
            error, reason = str(message.get("type")), str(message.get("reason"))
            if error in PASSING_ERRORS:
                raise ServiceBusyError(f"{error}: {reason}", BUSY_ERRORS.get(error, 0.0))
            raise ForwarderError(f"Speechmatics refused the request ({error}): {reason}")
        return kind == "EndOfTranscript"

    def is_forwarded(self, message: Mapping[str, Any]) -> bool:
        """Return whether a message goes to Parley. `AudioAdded` answers each block of sound."""
        return message.get("message") != "AudioAdded"


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = build_parser(Speechmatics, "Sends sound to Speechmatics, and forwards its messages to Parley.")
    parser.add_argument("--language", default="en", help="language of the speech (default: %(default)s)")
    parser.add_argument(
        "--max-delay", type=float, default=2.0, help="seconds until text is final (default: %(default)s)"
    )
    return parser.parse_args(arguments)


async def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program. Return its exit status."""
    return await run(Speechmatics, parse_options(arguments))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
