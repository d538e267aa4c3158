"""Forwards the live transcript of a meeting from Vexa to Parley.

Vexa's messages name their meeting, so Parley finds or opens it by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from forwarder_options import build_parser
from parley_stream import ForwarderError
from source_forwarder import TranscriptService, run
from websockets.asyncio.client import ClientConnection

PING_S = 25.0
"""Seconds between two pings, as Vexa's documentation recommends."""
_END_STATUSES = ("completed", "failed")


class Vexa(TranscriptService):
    """The WebSocket of Vexa's gateway. Its segments have absolute times, so the session stays the same."""

    source = "vexa"
    title = "Vexa"
    default_url = "wss://api.cloud.vexa.ai/ws"
    key_variable = "VEXA_API_KEY"

    def build_headers(self) -> dict[str, str]:
        """Return the headers of the handshake."""
        return {"X-API-Key": self.key}

    async def begin(self, socket: ClientConnection) -> None:
        """Subscribe to the meeting."""
        await socket.send(self._build_action("subscribe"))

    async def feed(self, socket: ClientConnection) -> None:
        """Keep the connection open."""
        while not await self.wait_for_stop(PING_S):
            await socket.send(json.dumps({"action": "ping"}))

    async def end(self, socket: ClientConnection) -> None:
        """Leave the meeting."""
        await socket.send(self._build_action("unsubscribe"))
        await socket.close()

    def read(self, message: Mapping[str, Any]) -> bool:
        """Read a message. A meeting that is over has the status `completed` or `failed`."""
        if message.get("type") == "error":
            raise ForwarderError(
                f"Vexa refused the request: {message.get('error')}; check VEXA_API_KEY and the meeting"
            )
        payload = message.get("payload")
        status = payload.get("status") if isinstance(payload, dict) else message.get("status")
        return message.get("type") in ("meeting.status", "bot_status") and status in _END_STATUSES

    def check_close(self, code: int, reason: str) -> None:
        """Check why Vexa closed the connection."""
        if code == 4401:
            raise ForwarderError("Vexa refused the key: check VEXA_API_KEY")

    def _build_action(self, action: str) -> str:
        meetings = [{"platform": self.options.platform, "native_id": self.options.native_id}]
        return json.dumps({"action": action, "meetings": meetings})


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = build_parser(Vexa, "Forwards the live transcript of a meeting from Vexa to Parley.", has_sound=False)
    parser.add_argument("native_id", help="the platform's own id of the meeting, such as abc-defg-hij")
    parser.add_argument("--platform", default="google_meet", help="google_meet, teams or zoom (default: %(default)s)")
    parser.add_argument("--meeting", help="id of the meeting in Parley (default: found or opened by Vexa's id)")
    return parser.parse_args(arguments)


async def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program. Return its exit status."""
    return await run(Vexa, parse_options(arguments))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
