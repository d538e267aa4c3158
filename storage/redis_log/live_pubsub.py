"""Live fan-out: publishes committed events to a meeting's subscribers. Postgres stores them; Redis only passes them on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
import redis
import structlog

from operators.stream import Interim
from storage import redis_keys
from storage.records import OutboxEvent

log = structlog.get_logger(__name__)

INTELLIGENCE_ENTRY_COUNT = 10_000
"""Number of entries that the stream of running notes retains, about."""
PUBLISHED_SEQ_TTL_S = 24 * 3600
"""Seconds that Redis retains the last published `seq` of a meeting."""


def publish_events(connection: redis.Redis, events: Sequence[OutboxEvent], committed_at: float | None = None) -> None:
    """Publish committed events, each meeting's in order, and store the last `seq` of each meeting.

    Publishing an event twice does no harm: subscribers drop a `seq` that they already have. An event of a running note is also
    added to the stream for other systems, without its text. There a repeat has the same meeting and `seq`.

    Args:
        connection: the Redis of the live events.
        events: the events.
        committed_at: time of the commit (seconds since the epoch); None if it is long past.
    """
    if not events:
        return
    pipe = connection.pipeline(transaction=False)
    last_seqs: dict[str, int] = {}
    for event in events:
        message = {"seq": event.seq, "kind": event.kind, "payload": event.payload, "at": committed_at}
        pipe.publish(redis_keys.live_channel(event.meeting_id), orjson.dumps(message))
        if (outcome := _auto_note_outcome(event)) is not None:
            fields: dict[Any, Any] = {
                "event": outcome,
                "team_id": event.team_id,
                "meeting_id": event.meeting_id,
                "note_id": event.payload["id"],
                "revision": event.payload["revision"],
                "seq": event.seq,
            }
            pipe.xadd(redis_keys.INTELLIGENCE_STREAM, fields, maxlen=INTELLIGENCE_ENTRY_COUNT, approximate=True)
        last_seqs[event.meeting_id] = event.seq
    for meeting_id, seq in last_seqs.items():
        pipe.set(redis_keys.published_seq(meeting_id), seq, ex=PUBLISHED_SEQ_TTL_S)
    pipe.execute()


def _auto_note_outcome(
    event: OutboxEvent,
) -> Literal["auto_note_requested", "auto_note_generated", "auto_note_failed"] | None:
    """Return what happened to a running note; None for another event."""
    if event.kind != "note" or event.payload["kind"] != "auto":
        return None
    match event.payload["cause"]:
        case "requested":
            return "auto_note_requested"
        case "generated":
            return "auto_note_generated"
        case "failed":
            return "auto_note_failed"
        case _:
            return None


@dataclass(frozen=True, slots=True)
class InterimWithDrafts:
    """An interim text, and its known drafts by language."""

    interim: Interim
    drafts: Mapping[str, str] = field(default_factory=dict[str, str])


def publish_interims(connection: redis.Redis, interims: Mapping[tuple[str, str], InterimWithDrafts]) -> None:
    """Publish interim texts with their drafts.

    An interim holds the full interim text of a speaker, and has no `seq`: the next one replaces a lost one. An interim that
    can't be encoded is left out.

    Args:
        connection: the Redis of the live events.
        interims: the interims by meeting id and speaker key.
    """
    if not interims:
        return
    pipe = connection.pipeline(transaction=False)
    for (meeting_id, _), update in interims.items():
        interim = update.interim
        payload = {
            "speaker": interim.speaker,
            "speaker_id": interim.speaker_id,
            "text": interim.text,
            "start": interim.start,
            "drafts": dict(update.drafts),
        }
        try:
            message = orjson.dumps({"kind": "interim", "payload": payload})
        except orjson.JSONEncodeError:
            log.warning("an interim can't be encoded", meeting=meeting_id)
            continue
        pipe.publish(redis_keys.live_channel(meeting_id), message)
    pipe.execute()
