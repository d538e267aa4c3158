"""Measures the whole path: meetings are appended to the log, a lane processes them, and captions appear in Postgres."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from cluster.benchmark.summary import LayerRound
from cluster.benchmark.workload import BEGAN_AT_MS, MEETING_CONFIG, make_meeting_events, meeting_lengths, without_repair
from flows.lane import Lane, LaneOptions
from flows.translation import TranslationClient
from operators.errors import UnavailableError
from operators.meeting_config import Clock
from operators.translation_requests import Translation, TranslationRequest
from storage.connections import async_engine, async_redis
from storage.ingest.meeting_service import MeetingService
from storage.postgres.lane_registry import ensure_lane
from storage.postgres.transcript_queries import list_final_captions
from storage.redis_log.event_log import LogWriter
from storage.store_urls import StoreUrls

LANE_ID = "batch-1"
CALL_DEADLINE_S = 120.0
"""Seconds a translation may take. The limit is high, so that slow translations are measured and not retried."""
POLL_S = 0.1
"""Seconds between two polls for new captions."""
STALL_TIMEOUT_S = 300.0
"""Seconds without a new caption after which missing captions count as errors."""


async def measure_captions(urls: StoreUrls, application: str, sentences: int, in_flight: int) -> LayerRound:
    """Measure a lane that processes meetings until each sentence has its caption.

    The measurement begins with the lane's first translation request, as in the other layers. A sentence's latency runs from
    its request until its caption is seen in Postgres.

    Args:
        urls: the stores.
        application: name of the translation application in Serve.
        sentences: number of sentences in all meetings together.
        in_flight: maximum number of concurrent translation requests.

    Returns:
        The measurement. Sentences without a caption are its errors.

    Raises:
        UnavailableError: the lane failed.
    """
    requested_at: dict[str, float] = {}
    translate = TranslationClient(application).translate

    async def timed_translate(request: TranslationRequest) -> Translation:
        requested_at.setdefault(f"{request.meeting_id}/{request.sentence_id}", time.monotonic())
        return await translate(without_repair(request))

    engine = async_engine(urls.postgres)
    options = LaneOptions(
        LANE_ID, "batch", urls.postgres, urls.redis, in_flight, max(128, 2 * in_flight), deadline=CALL_DEADLINE_S
    )
    try:
        async with engine.begin() as connection:
            await ensure_lane(connection, LANE_ID, "batch")
        async with async_redis(urls.redis) as redis:
            meetings = MeetingService(engine, LogWriter(redis))
            ids: list[Any] = []
            for length in meeting_lengths(sentences):
                record, _ = await meetings.open(
                    "default",
                    external_id=None,
                    title="bench",
                    clock=Clock.RECORDED,
                    config=MEETING_CONFIG,
                    at_ms=BEGAN_AT_MS,
                )
                await meetings.append("default", record.id, make_meeting_events(length))
                ids.append(record.id)
            with _run_in_thread(Lane(options, timed_translate)) as errors:
                finished_at: dict[str, float] = {}
                last_finished_at = time.monotonic()
                while (
                    len(finished_at) < sentences
                    and time.monotonic() - last_finished_at < STALL_TIMEOUT_S
                    and not errors
                ):
                    await asyncio.sleep(POLL_S)
                    async with engine.connect() as connection:
                        finished = await list_final_captions(connection, ids)
                    finished_keys = [f"{meeting_id}/{sentence_id}" for meeting_id, sentence_id in finished]
                    now = time.monotonic()
                    if new := {key: now for key in finished_keys if key not in finished_at}:
                        finished_at |= new
                        last_finished_at = now
    finally:
        await engine.dispose()
    latencies = tuple(at - requested_at[key] for key, at in finished_at.items() if key in requested_at)
    first_requested_at = min(requested_at.values(), default=last_finished_at)
    return LayerRound(max(last_finished_at - first_requested_at, POLL_S), latencies, sentences - len(latencies))


@contextmanager
def _run_in_thread(lane: Lane) -> Generator[list[BaseException]]:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            lane.run()
        except BaseException as error:  # noqa: BLE001 - raised again where it was started
            errors.append(error)

    thread = threading.Thread(target=run, name="lane")
    thread.start()
    try:
        yield errors
    finally:
        lane.stop()
        thread.join()
    if errors:
        raise UnavailableError(f"the lane died: {type(errors[0]).__name__}") from errors[0]
