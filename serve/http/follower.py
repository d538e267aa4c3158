"""What one client is sent of a meeting: each stored event after its last, once and in order, and growing text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from uuid import UUID

from serve.http.hub import Live, Waiting
from serve.http.progress import NOW
from serve.http.services import Services
from storage import transcripts

_PAGE = 500

HEARTBEAT = "ping"
"""The kind of what is sent when there is nothing to say. Like growing text it has no `seq`: each of those is sent once."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client wants to follow.

    Attributes:
        after: the last `seq` it has; 0 for all.
        interim: whether it wants growing text.
        language: the only language it wants captions and drafts of; None for all.
    """

    team_id: str
    meeting_id: UUID
    after: int = 0
    interim: bool = True
    language: str | None = None


async def follow(services: Services, wish: Wish) -> AsyncGenerator[Live]:
    """What a client is to be sent, until nothing more will come.

    The channel comes first and the backlog second, so that nothing falls between them; from then on whatever arrives
    only says how far the meeting is. What is missing, for whatever reason, is read from Postgres.

    Yields:
        Stored events after `wish.after` in order of `seq`, growing text, and heartbeats.
    """
    clock = asyncio.get_running_loop().time
    last = wish.after
    async with services.hub.follow(str(wish.meeting_id)) as inbox:
        waiting = Waiting(look=True)
        next_look = clock()
        while True:
            now = None
            if waiting.look or clock() >= next_look:
                max_age = NOW if waiting.look else services.options.heartbeat / 4
                now = await services.progress.read(wish.team_id, wish.meeting_id, max_age)
                waiting.upto = max(waiting.upto, now.seq)
                next_look = clock() + services.options.heartbeat
            async with aclosing(_stored(services, wish, last, waiting)) as events:
                async for event in events:
                    last = event.seq or last
                    if _wanted(event, wish):
                        yield event
            if wish.interim:
                for interim in waiting.interims.values():
                    yield _worded(interim, wish)
            if now is not None and now.complete and now.seq == last:
                return
            if now is not None:
                yield Live(HEARTBEAT, {})
            waiting = await inbox.take(next_look - clock())


async def _stored(services: Services, wish: Wish, last: int, waiting: Waiting) -> AsyncGenerator[Live]:
    """Every stored event after `last` up to `waiting.upto`: those at hand, and from Postgres those that are not."""
    for event in waiting.events:
        seq = event.seq or 0
        if seq == last + 1:
            yield event
            last = seq
    while last < waiting.upto:
        async with services.database.connect() as conn:
            page = await transcripts.events_after(conn, wish.team_id, wish.meeting_id, last, _PAGE)
        for each in page:
            yield Live(each.kind, each.payload, each.seq)
            last = each.seq
        if not page:
            # The channel ran ahead of what this connection can see; the next look will find it.
            return


def _worded(interim: Live, wish: Wish) -> Live:
    """Growing text with the drafts that a client wants."""
    if wish.language is None:
        return interim
    drafts = {language: text for language, text in interim.payload["drafts"].items() if language == wish.language}
    return replace(interim, payload={**interim.payload, "drafts": drafts})


def _wanted(event: Live, wish: Wish) -> bool:
    return wish.language is None or event.kind != "caption" or event.payload.get("language") == wish.language
