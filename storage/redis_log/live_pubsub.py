"""Live fan-out: what was committed is published to whoever follows the meeting. Postgres keeps it; Redis only passes it on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson
import redis
import structlog

from operators.model import Interim
from storage import redis_keys
from storage.records import OutboxEvent

_logger = structlog.get_logger(__name__)

PUBLISHED_SEQ_TTL_S = 24 * 3600
"""How long it is remembered how far a meeting is published."""


def publish_events(connection: redis.Redis, events: Sequence[OutboxEvent], committed_at: float | None = None) -> None:
    """Publish committed events, each meeting's in order, and note how far that went.

    Sending an event again does no harm: who follows a meeting drops a `seq` it has.

    Args:
        at: when they were committed (seconds since the epoch), where that was a moment ago.
    """
    if not events:
        return
    pipe = connection.pipeline(transaction=False)
    last_seqs: dict[str, int] = {}
    for event in events:
        message = {"seq": event.seq, "kind": event.kind, "payload": event.payload, "at": committed_at}
        pipe.publish(redis_keys.live_channel(event.meeting_id), orjson.dumps(message))
        last_seqs[event.meeting_id] = event.seq
    for meeting_id, seq in last_seqs.items():
        pipe.set(redis_keys.published_seq(meeting_id), seq, ex=PUBLISHED_SEQ_TTL_S)
    pipe.execute()


@dataclass(frozen=True, slots=True)
class InterimWithDrafts:
    """Growing text, and how it reads in other languages, by language, as far as that is known."""

    interim: Interim
    drafts: Mapping[str, str] = field(default_factory=dict[str, str])


def publish_interims(connection: redis.Redis, interims: Mapping[tuple[str, str], InterimWithDrafts]) -> None:
    """Publish growing text with its drafts, by meeting and voice.

    Each tells all there is of a speaker. It has no `seq`: what is lost of it, the next one makes good. One that can't be
    encoded is left out.
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
            _logger.warning("an interim can't be encoded", meeting=meeting_id)
            continue
        pipe.publish(redis_keys.live_channel(meeting_id), message)
    pipe.execute()
