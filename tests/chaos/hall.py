"""Live meetings at which somebody goes on speaking, on a lane of this process, with the steward in an actor of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import ray
import redis
import stamina
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.actors import MaintenanceActor
from flows.jobs import LaneBounds
from flows.translation import TranslationClient
from operators.errors import Unavailable
from operators.model import Chunk, Clock, Ended, MeetingConfig
from operators.translation import Translation, TranslationRequest
from storage import keys
from storage.embedded import StoreUrls
from storage.log import NewEvent
from storage.meetings import Meetings
from storage.placement import LaneKind, ensure_lane
from tests.chaos.engines import APP
from tests.chaos.outcome import Outcome, read
from tests.chaos.recordings import CONFIG, number, numbered
from tests.chaos.report import Row
from tests.harness.lanes import Translate, rows, running, until

DEADLINE = 3.0
"""Seconds a caption may take."""
PATIENCE = 300.0
"""Seconds after which a scenario has hung."""
LINES = 10_000
"""More than anybody says."""
_BOUNDS: Mapping[LaneKind, LaneBounds] = {"live": LaneBounds(1, 1, 100), "batch": LaneBounds(1, 1, 100)}


@dataclass
class Hall:
    """The meetings.

    Attributes:
        ids: by title.
        taken: the last ordinal that the door gave out, by title.
    """

    engine: Engine
    ids: dict[str, UUID]
    taken: dict[str, int]

    @property
    def accepted(self) -> int:
        """Events that the door took: all but its own, that a meeting began."""
        return sum(n - 1 for n in self.taken.values())

    @asynccontextmanager
    async def talking(self, door: Meetings, every: float) -> AsyncGenerator[None]:
        """Somebody says a line in each meeting every so many seconds, for as long as the block; then the meetings end."""
        silence = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for title in self.ids:
                group.create_task(self._talk(door, title, every, silence))
            try:
                yield
            finally:
                silence.set()
        for title in self.ids:
            await self._append(door, title, NewEvent("end", Ended()))

    async def _talk(self, door: Meetings, title: str, every: float, silence: asyncio.Event) -> None:
        for k, chunk in enumerate(lines(LINES), 1):
            await self._append(door, title, NewEvent(f"line-{k}", chunk))
            try:
                async with asyncio.timeout(every):
                    await silence.wait()
            except TimeoutError:
                continue
            return

    async def _append(self, door: Meetings, title: str, event: NewEvent) -> None:
        # As a good client: what could not be taken is sent again, under the same id.
        async for attempt in stamina.retry_context(on=Unavailable, attempts=None, timeout=PATIENCE):
            with attempt:
                [answer] = await door.append("default", self.ids[title], [event])
                assert answer.n is not None, f"{event.event_id} was refused: {answer.reason}"
                self.taken[title] = answer.n

    async def translated(self) -> None:
        """Wait until a caption of each meeting is translated."""
        some = "select count(distinct meeting_id) from captions where status = 'translated' and meeting_id = any(:ids)"
        ids = list(self.ids.values())
        await until(lambda: rows(self.engine, some, ids=ids) == [(len(ids),)], PATIENCE)

    async def recovered(self) -> float:
        """Wait until all that has been taken by now is stored and paid. Returns how many seconds that took."""
        marks, began = dict(self.taken), time.monotonic()
        await until(lambda: self.stored(marks) and not self.debts(marks), PATIENCE)
        return time.monotonic() - began

    def stored(self, marks: Mapping[str, int]) -> bool:
        """Whether every meeting is stored as far as that."""
        n = dict(rows(self.engine, "select title, last_committed from meetings"))
        return all(n[title] >= mark for title, mark in marks.items())

    def debts(self, marks: Mapping[str, int] | None = None) -> int:
        """Captions that are owed; where marks are given, of what was said up to them."""
        owed = rows(
            self.engine,
            "select m.title, split_part(c.sentence_id, '.', 1)::bigint from captions c"
            " join meetings m on m.id = c.meeting_id where c.status = 'pending'",
        )
        return sum(marks is None or n <= marks.get(title, 0) for title, n in owed)

    def read_aloud(self, connection: redis.Redis) -> dict[str, int]:
        """The number of the last sentence of each meeting that its followers were sent."""
        last = dict.fromkeys(self.ids, 0)
        for title, meeting_id in self.ids.items():
            published = int(str(connection.get(keys.published(str(meeting_id))) or 0))
            found = rows(
                self.engine,
                "select payload ->> 'text' from outbox where meeting_id = :id and kind = 'sentence' and seq <= :seq"
                " order by seq desc limit 1",
                id=meeting_id,
                seq=published,
            )
            last.update((title, number(text)) for (text,) in found)
        return last

    async def outcome(self) -> Outcome:
        """Wait until all meetings are over, stored and paid, and read what is there."""
        over = "select 1 from meetings where status <> 'ended' limit 1"
        await until(lambda: not rows(self.engine, over) and not self.debts(), PATIENCE)
        return read(self.engine)

    def row(self, scenario: str, faults: int, outcome: Outcome, recovery: float | None, **detail: float) -> Row:
        """The scenario's row in the table."""
        return Row(
            scenario,
            faults,
            self.accepted,
            outcome.stored,
            outcome.lost,
            outcome.doubled(),
            outcome.out_of_order(place),
            outcome.owed,
            recovery,
            detail,
        )

    def assert_sound(self, outcome: Outcome) -> None:
        """Everything is there once, in order, and translated."""
        assert outcome.stored == self.accepted
        assert outcome.lost == outcome.count("dead") == 0
        assert outcome.gaps() == outcome.doubled() == outcome.out_of_order(place) == outcome.owed == 0
        titles = list(self.ids)
        said = {(row[0], number(row[4])) for row in outcome.sentences if row[0] in titles}
        assert said == {(title, k) for title in titles for k in range(1, self.taken[title] - 1)}
        assert {row[4] for row in outcome.captions if row[0] in titles} == {"translated"}


def lines(count: int) -> list[Chunk]:
    """What is said: a number each. By one speaker, so that they are asked to be translated in their order."""
    return [chunk.model_copy(update={"speaker": "Ann"}) for _, chunk in numbered("", count).chunks]


def place(_: str, caption: Mapping[str, Any]) -> int:
    """The place of a caption among those of its meeting: the number it says."""
    return number(caption["text"]) if caption["text"] else -1


def tell(outcome: Outcome, status: str) -> list[tuple[str, dict[str, Any]]]:
    """Captions that followers were sent with this status, each with the title of its meeting."""
    return [
        (title, payload)
        for title, events in outcome.events.items()
        for _, kind, payload in events
        if kind == "caption" and payload["status"] == status
    ]


async def open_hall(
    engine: Engine,
    aengine: AsyncEngine,
    door: Meetings,
    count: int,
    prefix: str = "live",
    config: MeetingConfig = CONFIG,
) -> Hall:
    """A hall with so many live meetings, and the lanes there must be."""
    async with aengine.begin() as connection:
        await ensure_lane(connection, "live-1", "live")
        await ensure_lane(connection, "batch-1", "batch")
    ids: dict[str, UUID] = {}
    for k in range(1, count + 1):
        title = f"{prefix}-{k}"
        record, _ = await door.open("default", external_id=None, title=title, clock=Clock.LIVE, config=config)
        ids[title] = record.id
    return Hall(engine, ids, dict.fromkeys(ids, 1))


@contextmanager
def flow(urls: StoreUrls, **options: Any) -> Generator[None]:
    """The lane of live meetings in a thread of this process, and the steward in an actor as production runs it."""
    steward: Any = ray.remote(MaintenanceActor).options(num_cpus=0.1, max_concurrency=2)
    actor = steward.remote(urls.postgres, urls.redis, _BOUNDS)
    done = actor.run.remote()
    try:
        with running(urls.postgres, urls.redis, "live-1", _by_lane(), "live", **{"deadline": DEADLINE, **options}):
            yield
        ray.get(actor.stop.remote(), timeout=60)
        ray.get(done, timeout=60)
    finally:
        ray.kill(actor)


def _by_lane() -> Translate:
    """The service, its answers marked: the rest are the backfill's."""
    ask = TranslationClient(APP).translate

    async def translate(request: TranslationRequest) -> Translation:
        return replace(await ask(request), engine="lane")

    return translate
