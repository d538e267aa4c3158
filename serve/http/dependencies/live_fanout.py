"""Fan-out of live events: one Redis connection for each replica, for any number of clients and meetings."""

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
"""Stored events queued for a slow client. Further ones are read from Postgres."""
_MAX_QUEUED_SPEAKER_COUNT = 64
"""Speakers whose latest interim text is queued for a client."""
_SUBSCRIBE_TIMEOUT_S = 2.0
"""Seconds that a new client waits for Redis. After that it gets events from Postgres only, until Redis is back."""
_RECONNECT_PAUSE_S = 0.5
_PING_INTERVAL_S = 5.0
"""Seconds without a message before a ping, and without an answer before the connection is reopened."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """A live event.

    Attributes:
        kind: the event's kind, like `sentence` or `caption`.
        payload: the event's content.
        seq: its number in the meeting; None if it is not stored: interim text or a heartbeat.
        committed_at: when it was committed, in seconds since the Unix epoch; None if it was read from Postgres.
    """

    kind: str
    payload: dict[str, Any]
    seq: int | None = None
    committed_at: float | None = None


@dataclass(slots=True)
class InboxContents:
    """The messages received for a client since its last `Inbox.take`.

    Attributes:
        events: stored events, as received; repeats and gaps are possible.
        max_seq: the highest known `seq`; 0 if no message had one.
        interims: the latest interim text of each speaker, by name and id.
        needs_resync: whether messages may be lost, so that the meeting's progress must be read from Postgres.
    """

    events: list[LiveEvent] = field(default_factory=list[LiveEvent])
    max_seq: int = 0
    interims: dict[tuple[str, str | None], LiveEvent] = field(default_factory=dict[tuple[str, str | None], LiveEvent])
    needs_resync: bool = False


class Inbox:
    """Bounded queue of one client's messages. It may drop messages, but never the highest `seq` or the need to resync."""

    def __init__(self) -> None:
        self._contents = InboxContents()
        self._has_contents = asyncio.Event()

    def put(self, message: dict[str, Any]) -> None:
        """Add a message of the channel."""
        contents = self._contents
        kind, seq = message["kind"], message.get("seq")
        if seq is not None:
            contents.max_seq = max(contents.max_seq, seq)
            if kind != "poke" and len(contents.events) < _MAX_QUEUED_EVENT_COUNT:
                contents.events.append(LiveEvent(kind, message["payload"], seq, message.get("at")))
        else:
            speaker = message["payload"]["speaker"], message["payload"].get("speaker_id")
            if speaker in contents.interims or len(contents.interims) < _MAX_QUEUED_SPEAKER_COUNT:
                # Removed first, so that the texts are in the order of their latest change.
                contents.interims.pop(speaker, None)
                contents.interims[speaker] = LiveEvent(kind, message["payload"])
        self._has_contents.set()

    def request_resync(self) -> None:
        """Record that messages may be lost."""
        self._contents.needs_resync = True
        self._has_contents.set()

    async def take(self, timeout_s: float) -> InboxContents:
        """Return the messages since the last call. Waits up to `timeout_s` seconds if there are none."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._has_contents.wait(), timeout_s)
        self._has_contents.clear()
        contents, self._contents = self._contents, InboxContents()
        return contents


class LiveFanout:
    """Subscribes to the channels of the meetings that clients follow, and passes each message to their inboxes.

    While Redis is unavailable no messages arrive. Once it is back, every inbox is marked for a resync from Postgres.

    Args:
        redis: a client.
    """

    def __init__(self, redis: redis.asyncio.Redis) -> None:
        self._redis = redis
        self._inboxes: dict[str, set[Inbox]] = {}
        self._subscribed_events: dict[str, asyncio.Event] = {}
        # A channel of no meeting. Only the listening task may use the connection, so a message on this channel wakes that task
        # to update the subscriptions.
        self._wake_channel = redis_keys.live_channel(str(uuid4()))

    @asynccontextmanager
    async def subscribe(self, meeting_id: str) -> AsyncGenerator[Inbox]:
        """Open an inbox for a meeting's messages. It gets those published until the context is left."""
        channel = redis_keys.live_channel(meeting_id)
        inbox = Inbox()
        self._inboxes.setdefault(channel, set()).add(inbox)
        subscribed = self._subscribed_events.setdefault(channel, asyncio.Event())
        try:
            # If Redis doesn't answer, the client still gets the events of Postgres.
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
        """Receive messages until cancelled."""
        while True:
            try:
                await self._listen_until_disconnected()
            except (RedisError, OSError) as error:
                log.warning("live events lost the connection to Redis", error=type(error).__name__)
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
                # Removed only now: a client that returns while the channel is still subscribed need not wait for a subscription.
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
                    # A lost connection may raise no error, and redis-py doesn't wait for the answer to its own pings.
                    await pubsub.ping()
                    awaits_pong = True

    def _dispatch(self, kind: str, channel: str, data: Any) -> None:
        inboxes = self._inboxes.get(channel, ())
        if kind == "subscribe":
            # A reopened connection subscribes again: messages published in between are in Postgres only.
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
                log.warning("a live message can't be parsed", channel=channel)
                for inbox in inboxes:
                    inbox.request_resync()
