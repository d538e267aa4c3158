"""Helpers for tests of webhooks: meetings with committed events, endpoints, and the sender on a clock of the test."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from cryptography.fernet import Fernet
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.jobs import WebhookClient, WebhookDelivery
from operators.webhooks.event_types import SUBSCRIBABLE_EVENT_TYPES, SubscribableEventType
from operators.webhooks.signature import format_secret
from storage.encryption import SecretCipher
from storage.observability.process_metrics import ProcessMetrics
from storage.postgres.meeting_transaction import MeetingTransaction
from storage.postgres.webhook_deliveries import Delivery, list_deliveries
from storage.postgres.webhook_endpoints import create_endpoint

KEY = base64.urlsafe_b64encode(bytes(32)).decode()
CIPHER = SecretCipher(KEY)


class MovableClock:
    """The current time, plus what the test added."""

    def __init__(self) -> None:
        self._offset = timedelta()

    def __call__(self) -> datetime:
        """Return the time."""
        return datetime.now(UTC) + self._offset

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._offset += timedelta(seconds=seconds)


def open_stored_meeting(engine: Engine, *, status: str = "created") -> str:
    """Store a meeting on a lane, and return its id."""
    meeting_id = uuid4()
    with engine.begin() as connection:
        connection.execute(text("insert into lanes (id, kind) values ('live-1', 'live') on conflict do nothing"))
        connection.execute(
            text(
                "insert into meetings (id, team_id, external_id, title, clock, lane_id, config, status)"
                " values (:id, 'default', :external_id, 'Monday', 'live', 'live-1', '{}', :status)"
            ),
            {"id": meeting_id, "external_id": f"x-{meeting_id}", "status": status},
        )
    return str(meeting_id)


def commit_events(engine: Engine, meeting_id: str, *events: tuple[Any, dict[str, Any]]) -> None:
    """Commit live events of a meeting as a lane does.

    Args:
        events: kind and payload of each event.
    """
    with engine.begin() as connection:
        transaction = MeetingTransaction(connection, [meeting_id])
        for kind, payload in events:
            transaction.emit(meeting_id, kind, payload)
        transaction.flush()


def commit_sentences(engine: Engine, meeting_id: str, count: int) -> None:
    """Commit sentences of a meeting, each in a transaction of its own."""
    for number in range(1, count + 1):
        commit_events(engine, meeting_id, ("sentence", {"id": f"{number}.0", "revision": 1, "text": "Good morning."}))


def event_ids(meeting_id: str, count: int) -> list[str]:
    """The ids of a meeting's first events."""
    return [f"msg_{UUID(meeting_id).hex}_{seq}" for seq in range(1, count + 1)]


async def add_endpoint(
    aengine: AsyncEngine, url: str, event_types: Sequence[SubscribableEventType] = SUBSCRIBABLE_EVENT_TYPES
) -> tuple[UUID, str]:
    """Add an endpoint.

    Returns:
        Its id, and its secret.
    """
    endpoint_id, secret = uuid4(), format_secret(Fernet.generate_key()[:32])
    async with aengine.begin() as connection:
        await create_endpoint(connection, "default", endpoint_id, url, event_types, CIPHER.encrypt(secret))
    return endpoint_id, secret


async def read_deliveries(aengine: AsyncEngine, endpoint_id: UUID) -> list[Delivery]:
    """The deliveries of an endpoint, oldest first."""
    async with aengine.connect() as connection:
        return (await list_deliveries(connection, "default", endpoint_id, limit=10_000))[::-1]


async def wait_for_deliveries(
    aengine: AsyncEngine, endpoint_id: UUID, condition: Callable[[list[Delivery]], bool]
) -> list[Delivery]:
    """Wait until the delivery log of an endpoint fulfils a condition."""
    while not condition(found := await read_deliveries(aengine, endpoint_id)):
        await asyncio.sleep(0.02)
    return found


@asynccontextmanager
async def running_sender(
    aengine: AsyncEngine, *, now: Callable[[], datetime] | None = None, **client_options: Any
) -> AsyncIterator[asyncio.Task[None]]:
    """Run the sender, and yield its task. To cancel it is like a kill: attempts in flight have no outcome."""
    # The machine may be slow.
    client = WebhookClient(**{"private_allowed": True, "timeout_s": 120.0, **client_options})
    sender = WebhookDelivery(aengine, CIPHER, client, ProcessMetrics("test"), **({} if now is None else {"now": now}))
    stopping = asyncio.Event()
    task = asyncio.create_task(sender.run(stopping))
    try:
        yield task
    finally:
        stopping.set()
        await asyncio.wait([task])
        await client.aclose()
    assert task.cancelled() or task.exception() is None
