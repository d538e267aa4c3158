"""Fans live events out: one Redis connection a replica, however many clients follow however many meetings."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import uuid4

import orjson
import redis.asyncio
import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from storage import keys

_WAITING_EVENTS = 256
"""Stored events kept for a client that is slow to take them. Those beyond are read from Postgres again."""
_WAITING_SPEAKERS = 64
"""Speakers whose growing text is kept for a client: the last of each."""
_PATIENCE_S = 2.0
"""Seconds a new follower waits for Redis; then it does without until Redis is back."""
_RETRY_S = 0.5
_POLL_S = 5.0
"""Seconds without a message after which Redis is pinged. A connection that is as long silent after that is made anew."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Live:
    """A live event. Without a `seq` it is not stored: growing text.

    `at` says when it was committed (seconds since the epoch), where it is just published.
    """

    kind: str
    payload: dict[str, Any]
    seq: int | None = None
    at: float | None = None


@dataclass(slots=True)
class Waiting:
    """What came for a client since it last asked.

    Attributes:
        events: stored events, in the order in which they came; repeats and gaps are possible.
        upto: the highest `seq` that is known to exist.
        interims: growing text, the last of each speaker.
        look: messages may have been lost: Postgres has to be asked how far the meeting is.
    """

    events: list[Live] = field(default_factory=list[Live])
    upto: int = 0
    interims: dict[tuple[str, str | None], Live] = field(default_factory=dict[tuple[str, str | None], Live])
    look: bool = False


class Inbox:
    """Holds what came for one client, within bounds: it never loses the fact that there is something to be read."""

    def __init__(self) -> None:
        self._waiting = Waiting()
        self._something = asyncio.Event()

    def put(self, message: dict[str, Any]) -> None:
        """Take a message of the channel in."""
        waiting = self._waiting
        kind, seq = message["kind"], message.get("seq")
        if seq is not None:
            waiting.upto = max(waiting.upto, seq)
            if kind != "poke" and len(waiting.events) < _WAITING_EVENTS:
                waiting.events.append(Live(kind, message["payload"], seq, message.get("at")))
        else:
            speaker = message["payload"]["speaker"], message["payload"].get("speaker_id")
            if speaker in waiting.interims or len(waiting.interims) < _WAITING_SPEAKERS:
                # Taken out first, so that the texts stay in the order in which they last grew.
                waiting.interims.pop(speaker, None)
                waiting.interims[speaker] = Live(kind, message["payload"])
        self._something.set()

    def look(self) -> None:
        """Note that messages may have been lost."""
        self._waiting.look = True
        self._something.set()

    async def take(self, patience: float) -> Waiting:
        """What came since the last time; waits for something, but no longer than `patience` seconds."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._something.wait(), patience)
        self._something.clear()
        taken, self._waiting = self._waiting, Waiting()
        return taken


class Hub:
    """Listens to the channels of the meetings that somebody follows, and passes each message to all who do.

    While Redis is away nothing arrives; as soon as it is back, everybody is told to look into Postgres.

    Args:
        redis: a client.
    """

    def __init__(self, redis: redis.asyncio.Redis) -> None:
        self._redis = redis
        self._inboxes: dict[str, set[Inbox]] = {}
        self._listening: dict[str, asyncio.Event] = {}
        # The channel of no meeting. One task alone uses the connection: a message here has it look at what is wanted.
        self._bell = keys.live(str(uuid4()))

    @asynccontextmanager
    async def follow(self, meeting_id: str) -> AsyncGenerator[Inbox]:
        """An inbox for a meeting's messages: all that are published from now on until the context is left."""
        channel = keys.live(meeting_id)
        inbox = Inbox()
        self._inboxes.setdefault(channel, set()).add(inbox)
        listening = self._listening.setdefault(channel, asyncio.Event())
        try:
            # A Redis that doesn't answer must not keep a follower from what is in Postgres.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE_S):
                    await self._ring()
                    await listening.wait()
            yield inbox
        finally:
            self._inboxes[channel].discard(inbox)
            if not self._inboxes[channel]:
                del self._inboxes[channel]
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_PATIENCE_S):
                        await self._ring()

    async def run(self) -> None:
        """Listen, until cancelled."""
        while True:
            try:
                await self._listen()
            except (RedisError, OSError) as error:
                _log.warning("hub.disconnected", error=type(error).__name__)
            for listening in self._listening.values():
                listening.clear()
            await asyncio.sleep(_RETRY_S)

    async def _ring(self) -> None:
        with contextlib.suppress(RedisError, OSError):
            await self._redis.publish(self._bell, "")

    async def _listen(self) -> None:
        async with self._redis.pubsub() as pubsub:
            subscribed: set[str] = set()
            pinged = False
            while True:
                wanted = {self._bell, *self._inboxes}
                # Not before: whoever comes back while it is still subscribed need not wait for what was said long ago.
                for channel in self._listening.keys() - wanted:
                    del self._listening[channel]
                if wanted - subscribed:
                    await pubsub.subscribe(*(wanted - subscribed))
                if subscribed - wanted:
                    await pubsub.unsubscribe(*(subscribed - wanted))
                subscribed = wanted
                message = cast(dict[str, Any] | None, await pubsub.get_message(timeout=_POLL_S))
                if message is not None:
                    pinged = False
                    self._pass_on(message["type"], message["channel"], message["data"])
                elif pinged:
                    raise RedisConnectionError("no answer to a ping")
                else:
                    # A network that lost the connection gives no sign of it, and redis-py doesn't wait for its own pings.
                    await pubsub.ping()
                    pinged = True

    def _pass_on(self, kind: str, channel: str, data: Any) -> None:
        inboxes = self._inboxes.get(channel, ())
        if kind == "subscribe":
            # Of a connection that was lost and made again, too: what was published in between is in Postgres.
            if channel in self._listening:
                self._listening[channel].set()
            for inbox in inboxes:
                inbox.look()
        elif kind == "message" and inboxes:
            try:
                message = cast(dict[str, Any], orjson.loads(data))
                for inbox in inboxes:
                    inbox.put(message)
            except (ValueError, KeyError, TypeError):
                _log.warning("hub.not_understood", channel=channel)
                for inbox in inboxes:
                    inbox.look()
