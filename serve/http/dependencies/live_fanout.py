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

from storage import redis_keys

_MAX_QUEUED_EVENT_COUNT = 256
"""Stored events kept for a client that is slow to take them. Those beyond are read from Postgres again."""
_MAX_QUEUED_SPEAKER_COUNT = 64
"""Speakers whose growing text is kept for a client: the last of each."""
_SUBSCRIBE_TIMEOUT_S = 2.0
"""Seconds a new follower waits for Redis; then it does without until Redis is back."""
_RECONNECT_PAUSE_S = 0.5
_PING_INTERVAL_S = 5.0
"""Seconds without a message after which Redis is pinged. A connection that is as long silent after that is made anew."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """A live event. Without a `seq` it is not stored: growing text.

    `at` says when it was committed (seconds since the epoch), where it is just published.
    """

    kind: str
    payload: dict[str, Any]
    seq: int | None = None
    committed_at: float | None = None


@dataclass(slots=True)
class InboxContents:
    """What came for a client since it last asked.

    Attributes:
        events: stored events, in the order in which they came; repeats and gaps are possible.
        upto: the highest `seq` that is known to exist.
        interims: growing text, the last of each speaker.
        look: messages may have been lost: Postgres has to be asked how far the meeting is.
    """

    events: list[LiveEvent] = field(default_factory=list[LiveEvent])
    max_seq: int = 0
    interims: dict[tuple[str, str | None], LiveEvent] = field(default_factory=dict[tuple[str, str | None], LiveEvent])
    needs_resync: bool = False


class Inbox:
    """Holds what came for one client, within bounds: it never loses the fact that there is something to be read."""

    def __init__(self) -> None:
        self._contents = InboxContents()
        self._has_contents = asyncio.Event()

    def put(self, message: dict[str, Any]) -> None:
        """Take a message of the channel in."""
        contents = self._contents
        kind, seq = message["kind"], message.get("seq")
        if seq is not None:
            contents.max_seq = max(contents.max_seq, seq)
            if kind != "poke" and len(contents.events) < _MAX_QUEUED_EVENT_COUNT:
                contents.events.append(LiveEvent(kind, message["payload"], seq, message.get("at")))
        else:
            speaker = message["payload"]["speaker"], message["payload"].get("speaker_id")
            if speaker in contents.interims or len(contents.interims) < _MAX_QUEUED_SPEAKER_COUNT:
                # Taken out first, so that the texts stay in the order in which they last grew.
                contents.interims.pop(speaker, None)
                contents.interims[speaker] = LiveEvent(kind, message["payload"])
        self._has_contents.set()

    def request_resync(self) -> None:
        """Note that messages may have been lost."""
        self._contents.needs_resync = True
        self._has_contents.set()

    async def take(self, timeout_s: float) -> InboxContents:
        """What came since the last time; waits for something, but no longer than `patience` seconds."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._has_contents.wait(), timeout_s)
        self._has_contents.clear()
        contents, self._contents = self._contents, InboxContents()
        return contents


class LiveFanout:
    """Listens to the channels of the meetings that somebody follows, and passes each message to all who do.

    While Redis is away nothing arrives; as soon as it is back, everybody is told to look into Postgres.

    Args:
        redis: a client.
    """

    def __init__(self, redis: redis.asyncio.Redis) -> None:
        self._redis = redis
        self._inboxes: dict[str, set[Inbox]] = {}
        self._subscribed_events: dict[str, asyncio.Event] = {}
        # The channel of no meeting. One task alone uses the connection: a message here has it look at what is wanted.
        self._wake_channel = redis_keys.live_channel(str(uuid4()))

    @asynccontextmanager
    async def subscribe(self, meeting_id: str) -> AsyncGenerator[Inbox]:
        """An inbox for a meeting's messages: all that are published from now on until the context is left."""
        channel = redis_keys.live_channel(meeting_id)
        inbox = Inbox()
        self._inboxes.setdefault(channel, set()).add(inbox)
        subscribed = self._subscribed_events.setdefault(channel, asyncio.Event())
        try:
            # A Redis that doesn't answer must not keep a follower from what is in Postgres.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SUBSCRIBE_TIMEOUT_S):
                    await self._wake_listener()
                    await subscribed.wait()
            yield inbox
        finally:
            self._inboxes[channel].discard(inbox)
            if not self._inboxes[channel]:
                del self._inboxes[channel]
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_SUBSCRIBE_TIMEOUT_S):
                        await self._wake_listener()

    async def run(self) -> None:
        """Listen, until cancelled."""
        while True:
            try:
                await self._listen_until_disconnected()
            except (RedisError, OSError) as error:
                _log.warning("hub.disconnected", error=type(error).__name__)
            for subscribed in self._subscribed_events.values():
                subscribed.clear()
            await asyncio.sleep(_RECONNECT_PAUSE_S)

    async def _wake_listener(self) -> None:
        with contextlib.suppress(RedisError, OSError):
            await self._redis.publish(self._wake_channel, "")

    async def _listen_until_disconnected(self) -> None:
        async with self._redis.pubsub() as pubsub:
            subscribed: set[str] = set()
            awaits_pong = False
            while True:
                required = {self._wake_channel, *self._inboxes}
                # Not before: whoever comes back while it is still subscribed need not wait for what was said long ago.
                for channel in self._subscribed_events.keys() - required:
                    del self._subscribed_events[channel]
                if required - subscribed:
                    await pubsub.subscribe(*(required - subscribed))
                if subscribed - required:
                    await pubsub.unsubscribe(*(subscribed - required))
                subscribed = required
                message = cast(dict[str, Any] | None, await pubsub.get_message(timeout=_PING_INTERVAL_S))
                if message is not None:
                    awaits_pong = False
                    self._dispatch(message["type"], message["channel"], message["data"])
                elif awaits_pong:
                    raise RedisConnectionError("no answer to a ping")
                else:
                    # A network that lost the connection gives no sign of it, and redis-py doesn't wait for its own pings.
                    await pubsub.ping()
                    awaits_pong = True

    def _dispatch(self, kind: str, channel: str, data: Any) -> None:
        inboxes = self._inboxes.get(channel, ())
        if kind == "subscribe":
            # Of a connection that was lost and made again, too: what was published in between is in Postgres.
            if channel in self._subscribed_events:
                self._subscribed_events[channel].set()
            for inbox in inboxes:
                inbox.request_resync()
        elif kind == "message" and inboxes:
            try:
                message = cast(dict[str, Any], orjson.loads(data))
                for inbox in inboxes:
                    inbox.put(message)
            except (ValueError, KeyError, TypeError):
                _log.warning("hub.not_understood", channel=channel)
                for inbox in inboxes:
                    inbox.request_resync()
