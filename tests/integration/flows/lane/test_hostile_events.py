"""Hostile transcript text is stored unchanged, and other meetings are captioned meanwhile."""

from __future__ import annotations

import random
import re
from typing import Any
from uuid import UUID

import pytest
from hypothesis import settings
from pydantic import ValidationError
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from operators.characters import is_blank
from operators.entries import Chunk, ConfigChanged, MeetingEnded
from operators.meeting_config import Clock, MeetingConfig
from storage.ingest.meeting_service import MeetingService
from storage.redis_log.event_log import LogWriter, NewEvent
from tests.harness.data import hostile_input
from tests.harness.lane.threaded_lane import append_events, open_lane_meeting, query_rows, running_lane, wait_until

pytestmark = pytest.mark.usefixtures("clean_database")

BATCH = 100
BATCHES = 100 if settings().max_examples >= 200 else 3
"""10,000 values with the long profile."""


@pytest.fixture
def meetings(aengine: AsyncEngine, redis_async: Any) -> MeetingService:
    return MeetingService(aengine, LogWriter(redis_async))


def hostile_chunk(rng: random.Random, k: int) -> Chunk | None:
    """Make a chunk with hostile values and a unique id and time; None if the model refuses the values."""
    good = {"chunk_id": "c", "speaker": "Ann", "text": "Hello.", "start": 2.0 * k, "end": 2.0 * k + 1}
    sent = hostile_input.corrupt_fields(
        rng, good, ["text", "text", "speaker", "speaker_id", "language", "source", "chunk_id"]
    )
    sent["chunk_id"] = f"{str(sent['chunk_id'])[:150]}{k}"
    # Only some texts have the maximum length, because these take seconds.
    sent["text"] = str(sent["text"])[: 20_000 if rng.random() < 0.02 else 1_000]
    try:
        return Chunk.model_validate(sent)
    except ValidationError:
        return None


def hostile_config(rng: random.Random) -> MeetingConfig | None:
    terms = [
        {
            "term": hostile_input.hostile_text(rng, 200),
            "translations": {"pt": hostile_input.hostile_text(rng, 200)},
            "do_not_translate": True,
        }
        for _ in range(3)
    ]
    try:
        return MeetingConfig.model_validate(
            {
                "target_languages": ["pt"],
                "glossary": terms,
                "style": hostile_input.hostile_text(rng, 200),
                "source_language": "en",
            }
        )
    except ValidationError:
        return None


def letters(text: str) -> str:
    return re.sub(r"\s+", "", text)


async def test_hostile_text_is_stored_unchanged_and_another_meeting_is_captioned(
    meetings: MeetingService, aengine: AsyncEngine, engine: Engine, postgres_url: str, redis_url: str
) -> None:
    good, bad = [await open_lane_meeting(meetings, aengine, clock=Clock.LIVE) for _ in range(2)]
    rng = random.Random(14)
    sent: dict[tuple[str, str | None], str] = {}
    accepted_count = 0

    def captions(meeting_id: UUID) -> int:
        query = "select count(*) from captions where meeting_id = :id and status = 'translated'"
        return query_rows(engine, query, id=meeting_id)[0][0]

    with running_lane(postgres_url, redis_url, "live-1", kind="live"):
        for batch in range(BATCHES):
            events: list[NewEvent] = []
            for k in range(batch * BATCH, (batch + 1) * BATCH):
                if (chunk := hostile_chunk(rng, k)) is not None:
                    events.append(NewEvent(f"{hostile_input.hostile_text(random.Random(k), 20)[:20]!a}{k}", chunk))
                    if not is_blank(chunk.text):
                        speaker_pair = chunk.speaker, chunk.speaker_id
                        sent[speaker_pair] = sent.get(speaker_pair, "") + letters(chunk.text)
            accepted_count += len(events)
            if (config := hostile_config(rng)) is not None:
                events.append(NewEvent(f"config-{batch}", ConfigChanged(config=config)))
            await append_events(meetings, bad, events)
            plain = Chunk(chunk_id=f"c{batch}", speaker="Ann", text=f"Number {batch}.", start=batch, end=batch + 1)
            await meetings.append("default", good, [NewEvent(f"e{batch}", plain)])
            await wait_until(lambda: captions(good) == batch + 1)  # noqa: B023 - called within this iteration
        reason = hostile_input.HOSTILE_FRAGMENTS[16] + "\u202e"
        await meetings.append("default", bad, [NewEvent("end", MeetingEnded(reason=reason))])
        await wait_until(
            lambda: query_rows(engine, "select status from meetings where id = :id", id=bad) == [("ended",)], 300
        )
    print(f"{accepted_count} of {BATCHES * BATCH} accepted, {len(sent)} speakers")
    assert accepted_count > BATCHES * BATCH / 3
    assert query_rows(engine, "select end_reason from meetings where id = :id", id=bad) == [(reason,)]
    assert query_rows(engine, "select reason, fields from dead_letters") == []
    stored: dict[tuple[str, str | None], str] = {}
    query = (
        "select speaker, speaker_id, text from sentences where meeting_id = :id and not retracted"
        " order by split_part(id, '.', 1)::int, split_part(id, '.', 2)::int"
    )
    for speaker, speaker_id, text in query_rows(engine, query, id=bad):
        stored[speaker, speaker_id] = stored.get((speaker, speaker_id), "") + letters(text)
    assert stored.keys() == sent.keys()
    for speaker_pair, words in sent.items():
        assert stored[speaker_pair] == words, f"of {speaker_pair!a}"
