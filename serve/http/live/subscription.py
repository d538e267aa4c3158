"""Selects a meeting's live events for one client: each stored event after its last one, once and in order, and interim text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from uuid import UUID

from serve.http.dependencies.live_fanout import InboxContents, LiveEvent
from serve.http.dependencies.meeting_progress import NEW_READ_ONLY_S
from serve.http.dependencies.services import Services
from storage.postgres import transcript_queries

_PAGE_EVENT_COUNT = 500
"""Events that one query reads."""

HEARTBEAT_KIND = "ping"
"""Kind of the periodic event that keeps the stream alive. Like interim text it is not stored, and has no `seq`."""


@dataclass(frozen=True, slots=True)
class LiveSubscription:
    """A client's subscription to a meeting.

    Attributes:
        team_id: the team.
        meeting_id: its meeting.
        after_seq: the last `seq` that the client has; 0 for all events.
        includes_interims: whether to send interim text.
        language: the only language of captions and drafts to send; None for all.
    """

    team_id: str
    meeting_id: UUID
    after_seq: int = 0
    includes_interims: bool = True
    language: str | None = None


async def stream_events(services: Services, subscription: LiveSubscription) -> AsyncGenerator[LiveEvent]:
    """Stream the events of a subscription, until the meeting is complete.

    The channel is subscribed before the backlog is read, so that no event falls between the two. A received message may be a
    repeat, or follow a gap; missing events are read from Postgres.

    Yields:
        Stored events after `subscription.after_seq` in the order of `seq`, interim text, and heartbeats.
    """
    clock = asyncio.get_running_loop().time
    last_seq = subscription.after_seq
    async with services.fanout.subscribe(str(subscription.meeting_id)) as inbox:
        contents = InboxContents(needs_resync=True)
        next_resync = clock()
        while True:
            progress = None
            if contents.needs_resync or clock() >= next_resync:
                max_age = NEW_READ_ONLY_S if contents.needs_resync else services.options.heartbeat / 4
                progress = await services.progress.read(subscription.team_id, subscription.meeting_id, max_age)
                contents.max_seq = max(contents.max_seq, progress.seq)
                next_resync = clock() + services.options.heartbeat
            async with aclosing(_backlog(services, subscription, last_seq, contents)) as events:
                async for event in events:
                    last_seq = event.seq or last_seq
                    if _is_requested(event, subscription):
                        yield event
            if subscription.includes_interims:
                for interim in contents.interims.values():
                    yield _filter_drafts(interim, subscription)
            if progress is not None and progress.is_complete and progress.seq == last_seq:
                return
            if progress is not None:
                yield LiveEvent(HEARTBEAT_KIND, {})
            contents = await inbox.take(next_resync - clock())


async def _backlog(
    services: Services, subscription: LiveSubscription, last_seq: int, contents: InboxContents
) -> AsyncGenerator[LiveEvent]:
    """Yield every stored event after `last_seq` up to `contents.max_seq`: those received, and the missing ones from Postgres."""
    for event in contents.events:
        seq = event.seq or 0
        if seq == last_seq + 1:
            yield event
            last_seq = seq
    while last_seq < contents.max_seq:
        async with services.database.connect() as conn:
            page = await transcript_queries.read_events_after(
                conn, subscription.team_id, subscription.meeting_id, last_seq, _PAGE_EVENT_COUNT
            )
        for row in page:
            yield LiveEvent(row.kind, row.payload, row.seq)
            last_seq = row.seq
        if not page:
            # The message arrived before this connection can see its event; the next resync will find it.
            return


def _filter_drafts(interim: LiveEvent, subscription: LiveSubscription) -> LiveEvent:
    """Remove the drafts of other languages from an interim text."""
    if subscription.language is None:
        return interim
    drafts = {
        language: text for language, text in interim.payload["drafts"].items() if language == subscription.language
    }
    return replace(interim, payload={**interim.payload, "drafts": drafts})


def _is_requested(event: LiveEvent, subscription: LiveSubscription) -> bool:
    return (
        subscription.language is None
        or event.kind != "caption"
        or event.payload.get("language") == subscription.language
    )
