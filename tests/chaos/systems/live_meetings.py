"""Live meetings with continuous speech, on a lane in this process, with the maintenance jobs in their own actor."""

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
from operators.entries import Chunk, MeetingEnded
from operators.errors import UnavailableError
from operators.meeting_config import Clock, MeetingConfig
from operators.translation_requests import Translation, TranslationRequest
from storage import redis_keys
from storage.ingest.meeting_service import MeetingService
from storage.postgres.lane_registry import LaneKind, ensure_lane
from storage.redis_log.event_log import NewEvent
from storage.store_urls import StoreUrls
from tests.chaos.faults.scripted_engines import APPLICATION
from tests.chaos.results.scenario_table import ScenarioRow
from tests.chaos.results.stored_result import StoredResult, read_result
from tests.chaos.workload.recorded_meetings import CONFIG, number_in, numbered_meeting
from tests.harness.lane.threaded_lane import Translate, query_rows, running_lane, wait_until

CAPTION_DEADLINE_S = 3.0
"""Deadline of a caption, in seconds."""
HANG_TIMEOUT_S = 300.0
"""Seconds after which a scenario counts as hung."""
MAX_LINES = 10_000
"""Upper bound of the lines sent in a meeting."""
_LANE_BOUNDS: Mapping[LaneKind, LaneBounds] = {"live": LaneBounds(1, 1, 100), "batch": LaneBounds(1, 1, 100)}


@dataclass
class LiveMeetings:
    """Live meetings and their accepted events.

    Attributes:
        engine: the connections to Postgres.
        ids: the meetings' ids, by title.
        last_ordinals: the last accepted ordinal, by title.
    """

    engine: Engine
    ids: dict[str, UUID]
    last_ordinals: dict[str, int]

    @property
    def accepted_count(self) -> int:
        """The number of accepted client events: all but the `started` entry that the ingest API writes."""
        return sum(n - 1 for n in self.last_ordinals.values())

    @asynccontextmanager
    async def sending(self, meetings: MeetingService, interval_s: float) -> AsyncGenerator[None]:
        """Send a line in each meeting every `interval_s` seconds during the block, then end the meetings."""
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for title in self.ids:
                group.create_task(self._send_lines(meetings, title, interval_s, stopping))
            try:
                yield
            finally:
                stopping.set()
        for title in self.ids:
            await self._append(meetings, title, NewEvent("end", MeetingEnded()))

    async def _send_lines(
        self, meetings: MeetingService, title: str, interval_s: float, stopping: asyncio.Event
    ) -> None:
        for k, chunk in enumerate(numbered_chunks(MAX_LINES), 1):
            await self._append(meetings, title, NewEvent(f"line-{k}", chunk))
            try:
                async with asyncio.timeout(interval_s):
                    await stopping.wait()
            except TimeoutError:
                continue
            return

    async def _append(self, meetings: MeetingService, title: str, event: NewEvent) -> None:
        # As a well-behaved client does: a refused event is retried under the same id.
        async for attempt in stamina.retry_context(on=UnavailableError, attempts=None, timeout=HANG_TIMEOUT_S):
            with attempt:
                [appended] = await meetings.append("default", self.ids[title], [event])
                assert appended.ordinal is not None, f"{event.event_id} was refused: {appended.reason}"
                self.last_ordinals[title] = appended.ordinal

    async def wait_until_translated(self) -> None:
        """Wait until each meeting has a translated caption."""
        query = "select count(distinct meeting_id) from captions where status = 'translated' and meeting_id = any(:ids)"
        ids = list(self.ids.values())
        await wait_until(lambda: query_rows(self.engine, query, ids=ids) == [(len(ids),)], HANG_TIMEOUT_S)

    async def wait_until_recovered(self) -> float:
        """Wait until every event accepted so far is stored and its captions complete. Returns the seconds it took."""
        ordinals, started_at = dict(self.last_ordinals), time.monotonic()
        await wait_until(lambda: self.are_stored(ordinals) and not self.count_pending(ordinals), HANG_TIMEOUT_S)
        return time.monotonic() - started_at

    def are_stored(self, ordinals: Mapping[str, int]) -> bool:
        """Whether every meeting is committed up to its given ordinal."""
        n = dict(query_rows(self.engine, "select title, last_committed from meetings"))
        return all(n[title] >= ordinal for title, ordinal in ordinals.items())

    def count_pending(self, ordinals: Mapping[str, int] | None = None) -> int:
        """Count the pending captions. With `ordinals`, count only the captions of entries up to them."""
        pending = query_rows(
            self.engine,
            "select m.title, split_part(c.sentence_id, '.', 1)::bigint from captions c"
            " join meetings m on m.id = c.meeting_id where c.status = 'pending'",
        )
        return sum(ordinals is None or n <= ordinals.get(title, 0) for title, n in pending)

    def last_published(self, connection: redis.Redis) -> dict[str, int]:
        """Return the number in the last published sentence of each meeting. 0 if none is published."""
        last = dict.fromkeys(self.ids, 0)
        for title, meeting_id in self.ids.items():
            published = int(str(connection.get(redis_keys.published_seq(str(meeting_id))) or 0))
            texts = query_rows(
                self.engine,
                "select payload ->> 'text' from outbox where meeting_id = :id and kind = 'sentence' and seq <= :seq"
                " order by seq desc limit 1",
                id=meeting_id,
                seq=published,
            )
            last.update((title, number_in(text)) for (text,) in texts)
        return last

    async def wait_for_result(self) -> StoredResult:
        """Wait until all meetings have ended and no caption is pending. Returns the stored rows."""
        unfinished = "select 1 from meetings where status <> 'ended' limit 1"
        await wait_until(lambda: not query_rows(self.engine, unfinished) and not self.count_pending(), HANG_TIMEOUT_S)
        return read_result(self.engine)

    def row(
        self, scenario: str, faults: int, result: StoredResult, recovery: float | None, **detail: float
    ) -> ScenarioRow:
        """Build the scenario's row of the table."""
        return ScenarioRow(
            scenario,
            faults,
            self.accepted_count,
            result.stored_count,
            result.lost_count,
            result.count_duplicates(),
            result.count_out_of_order(line_number),
            result.pending,
            recovery,
            detail,
        )

    def assert_complete(self, result: StoredResult) -> None:
        """Assert that every accepted event is stored once, in order, and translated."""
        assert result.stored_count == self.accepted_count
        assert result.lost_count == result.sum_counter("dead") == 0
        assert (
            result.count_gaps()
            == result.count_duplicates()
            == result.count_out_of_order(line_number)
            == result.pending
            == 0
        )
        titles = list(self.ids)
        stored_lines = {(row[0], number_in(row[4])) for row in result.sentences if row[0] in titles}
        assert stored_lines == {(title, k) for title in titles for k in range(1, self.last_ordinals[title] - 1)}
        assert {row[4] for row in result.captions if row[0] in titles} == {"translated"}


def numbered_chunks(count: int) -> list[Chunk]:
    """Generate numbered lines. They have one speaker, so that translations are requested in order."""
    return [chunk.model_copy(update={"speaker": "Ann"}) for _, chunk in numbered_meeting("", count).chunks]


def line_number(_: str, caption: Mapping[str, Any]) -> int:
    """Return a caption's position in its meeting: the number in its text, or -1 without text."""
    return number_in(caption["text"]) if caption["text"] else -1


def captions_with_status(result: StoredResult, status: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the published captions with a status, each with the title of its meeting."""
    return [
        (title, payload)
        for title, events in result.events.items()
        for _, kind, payload in events
        if kind == "caption" and payload["status"] == status
    ]


async def open_live_meetings(
    engine: Engine,
    aengine: AsyncEngine,
    meetings: MeetingService,
    count: int,
    prefix: str = "live",
    config: MeetingConfig = CONFIG,
) -> LiveMeetings:
    """Open `count` live meetings titled `PREFIX-NUMBER`, and create the lanes they need."""
    async with aengine.begin() as connection:
        await ensure_lane(connection, "live-1", "live")
        await ensure_lane(connection, "batch-1", "batch")
    ids: dict[str, UUID] = {}
    for k in range(1, count + 1):
        title = f"{prefix}-{k}"
        record, _ = await meetings.open("default", external_id=None, title=title, clock=Clock.LIVE, config=config)
        ids[title] = record.id
    return LiveMeetings(engine, ids, dict.fromkeys(ids, 1))


@contextmanager
def running_live_lane(urls: StoreUrls, **options: Any) -> Generator[None]:
    """Run the live lane in a thread of this process, and the maintenance actor as in production."""
    actor_class: Any = ray.remote(MaintenanceActor).options(num_cpus=0.1, max_concurrency=2)
    actor = actor_class.remote(urls.postgres, urls.redis, _LANE_BOUNDS)
    actor_run = actor.run.remote()
    try:
        with running_lane(
            urls.postgres,
            urls.redis,
            "live-1",
            _lane_translate(),
            "live",
            **{"deadline": CAPTION_DEADLINE_S, **options},
        ):
            yield
        ray.get(actor.stop.remote(), timeout=60)
        ray.get(actor_run, timeout=60)
    finally:
        ray.kill(actor)


def _lane_translate() -> Translate:
    """Return the service's translate function, with its answers marked `lane`. Other answers are the backfill's."""
    translate_remotely = TranslationClient(APPLICATION).translate

    async def translate(request: TranslationRequest) -> Translation:
        return replace(await translate_remotely(request), engine="lane")

    return translate
