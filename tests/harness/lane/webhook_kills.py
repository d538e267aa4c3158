"""A sender of webhooks that is killed again and again, beside a receiver with bad days."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.harness.doubles.webhook_receiver import Reply, running_receiver
from tests.harness.lane.webhook_sender import (
    add_endpoint,
    commit_sentences,
    event_ids,
    open_stored_meeting,
    read_deliveries,
    wait_for_deliveries,
)

_RECEIVER_RESTART_SHARE = 0.2
"""Share of the kills after which the receiver is restarted, too."""
_REPLIES = (Reply(), Reply(), Reply(500), Reply(429, {"Retry-After": "0"}), Reply(None), Reply(hold=True))


@dataclass(frozen=True, slots=True)
class DeliveredEvents:
    """What the receiver got: the number of events, and of the requests that it took for them."""

    events: int
    requests: int


async def kill_and_deliver(
    aengine: AsyncEngine,
    engine: Engine,
    run_sender: Callable[[], AbstractAsyncContextManager[None]],
    kills: int,
    seed: int,
) -> DeliveredEvents:
    """Kill the sender, and now and then the receiver, while events are committed and delivered. Check the order at the end.

    The receiver answers slowly, with 500 and 429, and not at all.

    Args:
        aengine: the database.
        engine: the same database.
        run_sender: runs the sender in a block, and kills it at the end of the block.
        kills: number of kills.
        seed: seed of the random choices.
    """
    chance = random.Random(seed)
    meetings = [open_stored_meeting(engine) for _ in range(3)]
    async with running_receiver() as receiver:
        receiver.choose = lambda: chance.choice(_REPLIES)
        endpoints: list[tuple[str, UUID]] = []
        for path in ("a", "b"):
            endpoint, secret = await add_endpoint(aengine, receiver.url(path))
            receiver.secrets[path] = [secret]
            endpoints.append((path, endpoint))
        for _ in range(kills):
            for meeting in meetings:
                commit_sentences(engine, meeting, chance.randint(0, 2))
            async with run_sender():
                seen = len(receiver.received) + chance.randint(1, 4)
                waits = [
                    asyncio.ensure_future(receiver.wait_for(lambda seen=seen: len(receiver.received) >= seen)),
                    asyncio.ensure_future(_wait_until_accepted(aengine, endpoints)),
                ]
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            if chance.random() < _RECEIVER_RESTART_SHARE:
                await receiver.stop()
                await receiver.start()
        receiver.choose = Reply
        async with run_sender():
            await _wait_until_accepted(aengine, endpoints)
        assert receiver.bad_signatures == []
        count = 0
        for path, endpoint in endpoints:
            found = await read_deliveries(aengine, endpoint)
            for meeting in meetings:
                expected = [each.event_id for each in found if str(each.meeting_id) == meeting]
                assert expected == event_ids(meeting, len(expected))
                prefix = f"msg_{meeting.replace('-', '')}_"
                assert [i for i in receiver.accepted_ids(path) if i.startswith(prefix)] == expected
                count += len(expected)
        return DeliveredEvents(count, len(receiver.received))


async def _wait_until_accepted(aengine: AsyncEngine, endpoints: list[tuple[str, UUID]]) -> None:
    for _, endpoint in endpoints:
        await wait_for_deliveries(aengine, endpoint, lambda found: all(each.status == "accepted" for each in found))
