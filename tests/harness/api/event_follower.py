"""Somebody who follows a meeting over WebSocket, is cut off now and then, and comes back with the last seq."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import websockets


async def follow_events(
    url: str, meeting_id: str, *, cut_interval_s: float | None = None, seed: int = 0
) -> list[dict[str, Any]]:
    """Every message with a `seq`, in the order of receipt, until the server closes the stream for good.

    Args:
        url: the server's, `http://…`.
        cut_every: seconds, on average, after which the connection is cut from this end.
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
