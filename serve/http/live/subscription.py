"""What one client is sent of a meeting: each stored event after its last, once and in order, and growing text."""

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

HEARTBEAT_KIND = "ping"
"""The kind of what is sent when there is nothing to say. Like growing text it has no `seq`: each of those is sent once."""


@dataclass(frozen=True, slots=True)
class LiveSubscription:
    """What a client wants to follow.

    Attributes:
        after: the last `seq` it has; 0 for all.
        interim: whether it wants growing text.
        language: the only language it wants captions and drafts of; None for all.
    """

    team_id: str
    meeting_id: UUID
    after_seq: int = 0
    includes_interims: bool = True
    language: str | None = None


async def stream_events(services: Services, subscription: LiveSubscription) -> AsyncGenerator[LiveEvent]:
    """What a client is to be sent, until nothing more will come.

    The channel comes first and the backlog second, so that nothing falls between them; from then on whatever arrives
    only says how far the meeting is. What is missing, for whatever reason, is read from Postgres.

    Yields:
        Stored events after `wish.after` in order of `seq`, growing text, and heartbeats.
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
    """Every stored event after `last` up to `waiting.upto`: those at hand, and from Postgres those that are not."""
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
            # The channel ran ahead of what this connection can see; the next look will find it.
            return


def _filter_drafts(interim: LiveEvent, subscription: LiveSubscription) -> LiveEvent:
    """Growing text with the drafts that a client wants."""
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
