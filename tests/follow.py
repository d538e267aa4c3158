"""Somebody who follows a meeting over WebSocket, is cut off now and then, and comes back with the last seq."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any

import websockets


async def follow(
    url: str, meeting_id: str, *, cut_every: float | None = None, over: Callable[[], bool], seed: int = 0
) -> list[dict[str, Any]]:
    """Every stored event received, in the order of receipt, until the server closes the stream for good or `over` says so.

    Args:
        url: the server's, `http://…`.
        cut_every: seconds, on average, after which the connection is cut from this end.
        over: asked whenever nothing comes.
    """
    chance = random.Random(seed)
    received: list[dict[str, Any]] = []
    while not over():
        after = received[-1]["seq"] if received else 0
        address = f"{url.replace('http', 'ws')}/api/meetings/{meeting_id}/events?after={after}&interim=false"
        limit = None if cut_every is None else chance.uniform(0, 2 * cut_every)
        try:
            async with asyncio.timeout(limit), websockets.connect(address) as socket:
                async for message in socket:
                    event = json.loads(message)
                    if "seq" in event and event.get("kind") in ("sentence", "retracted", "caption", "status"):
                        received.append(event)
            return received
        except TimeoutError:
            continue
        except (OSError, websockets.WebSocketException):
            await asyncio.sleep(0.2)
    return received
