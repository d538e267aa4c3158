"""The whole path: meetings go into the log, a lane works them off, and captions stand in Postgres."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import text

from cluster.bench.load import BASE, CONFIG, asked_once, lengths, meeting
from cluster.bench.summary import Round
from flows.lane import Lane, LaneOptions
from flows.translation import TranslationClient
from operators.errors import Unavailable
from operators.model import Clock
from operators.translation import Translation, TranslationRequest
from storage.database import async_engine, async_redis
from storage.embedded import StoreUrls
from storage.log import Log
from storage.meetings import Meetings
from storage.placement import ensure_lane

LANE = "batch-1"
DEADLINE = 120.0
"""Seconds a translation may take here: a slow one is measured, and not asked again."""
LOOK = 0.1
"""Seconds between two looks for new captions."""
SILENCE = 300.0
"""Seconds without a new caption after which those that are missing are errors."""
_FINAL = text(
    "select c.meeting_id::text || '/' || c.sentence_id from captions c"
    " where c.meeting_id = any(:meetings) and c.status <> 'pending'"
)


async def captions(urls: StoreUrls, application: str, sentences: int, in_flight: int) -> Round:
    """Have a lane work off meetings with so many sentences, until each has its caption.

    The time begins with the lane's first question, as that of the other layers does; a sentence's runs from when the lane
    asks for it until its caption is seen in Postgres.
    """
    asked: dict[str, float] = {}
    translate = TranslationClient(application).translate

    async def timed(request: TranslationRequest) -> Translation:
        asked.setdefault(f"{request.meeting_id}/{request.sentence_id}", time.monotonic())
        return await translate(asked_once(request))

    engine = async_engine(urls.postgres)
    options = LaneOptions(
        LANE, "batch", urls.postgres, urls.redis, in_flight, max(128, 2 * in_flight), deadline=DEADLINE
    )
    try:
        async with engine.begin() as connection:
            await ensure_lane(connection, LANE, "batch")
        async with async_redis(urls.redis) as redis:
            meetings = Meetings(engine, Log(redis))
            ids: list[Any] = []
            for length in lengths(sentences):
                record, _ = await meetings.open(
                    "default", external_id=None, title="bench", clock=Clock.RECORDED, config=CONFIG, at=BASE
                )
                await meetings.append("default", record.id, meeting(length))
                ids.append(record.id)
            with _running(Lane(options, timed)) as died:
                seen: dict[str, float] = {}
                last = time.monotonic()
                while len(seen) < sentences and time.monotonic() - last < SILENCE and not died:
                    await asyncio.sleep(LOOK)
                    async with engine.connect() as connection:
                        final = (await connection.execute(_FINAL, {"meetings": ids})).scalars().all()
                    now = time.monotonic()
                    if new := {key: now for key in final if key not in seen}:
                        seen |= new
                        last = now
    finally:
        await engine.dispose()
    latencies = tuple(at - asked[key] for key, at in seen.items() if key in asked)
    began = min(asked.values(), default=last)
    return Round(max(last - began, LOOK), latencies, sentences - len(latencies))


@contextmanager
def _running(lane: Lane) -> Generator[list[BaseException]]:
    died: list[BaseException] = []

    def run() -> None:
        try:
            lane.run()
        except BaseException as error:  # noqa: BLE001 - raised again where it was started
            died.append(error)

    thread = threading.Thread(target=run, name="lane")
    thread.start()
    try:
        yield died
    finally:
        lane.stop()
        thread.join()
    if died:
        raise Unavailable(f"the lane died: {type(died[0]).__name__}") from died[0]
