"""A WebSocket client that follows a meeting, is disconnected at random, and resumes after the last seq."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import websockets


async def follow_events(
    url: str, meeting_id: str, *, cut_interval_s: float | None = None, seed: int = 0
) -> list[dict[str, Any]]:
    """Follow a meeting until the server closes the stream, and return every message with a `seq` as received.

    Args:
        url: the server's base URL, `http://…`.
        meeting_id: the meeting.
        cut_interval_s: mean seconds until the client closes the connection; None for never.
        seed: seed of the random disconnections.
    """
    rng = random.Random(seed)
    received: list[dict[str, Any]] = []
    while True:
        after = received[-1]["seq"] if received else 0
        address = f"{url.replace('http', 'ws')}/api/meetings/{meeting_id}/events?after={after}&interim=false"
        cut_after_s = None if cut_interval_s is None else rng.uniform(0, 2 * cut_interval_s)
        try:
            async with asyncio.timeout(cut_after_s), websockets.connect(address) as socket:
                async for message in socket:
                    event = json.loads(message)
                    if "seq" in event:
                        received.append(event)
                if socket.close_code == 1000:
                    return received
        except TimeoutError:
            continue
        except (OSError, websockets.WebSocketException):
            await asyncio.sleep(0.2)
