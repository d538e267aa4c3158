"""The captions that are shown now, and the session that a client names."""

from __future__ import annotations

import time
from dataclasses import dataclass
from uuid import UUID
from zlib import crc32

from pydantic import BaseModel, ConfigDict
from sqlalchemy.ext.asyncio import AsyncConnection

from operators.caption_display import JOINED_S, SHOWN_S, CaptionDisplay, ShownCaption
from operators.errors import NotFoundError
from serve.http.dependencies.services import Services
from storage import redis_keys
from storage.postgres import connector_sessions, meeting_queries, transcript_queries
from storage.postgres.outbox import read_recent_events
from storage.records import DEFAULT_TEAM_ID, MeetingRecord

RECENT_S = 2 * (SHOWN_S + JOINED_S)
"""Seconds of live events from which the captions on the screen are found. Older ones have left it."""
_COLORS = ("#4CAF50", "#2196F3", "#FF9800", "#9C27B0", "#E91E63", "#00BCD4", "#CDDC39", "#FF5722", "#3F51B5", "#009688")


class CaptionView(BaseModel):
    """A caption on the screen. `expires_in_s` is the time until it leaves, in seconds."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "12.0",
                    "speaker_name": "Ann",
                    "speaker_color": "#2196F3",
                    "original_text": "Good morning.",
                    "translated_text": "Bom dia.",
                    "target_language": "pt",
                    "start_time": 0.5,
                    "end_time": 1.4,
                    "expires_in_s": 3.2,
                }
            ]
        }
    )

    id: str
    speaker_name: str
    speaker_color: str
    original_text: str
    translated_text: str | None
    target_language: str | None
    start_time: float
    end_time: float
    expires_in_s: float


@dataclass(frozen=True, slots=True)
class Screen:
    """The screen of a client when it comes.

    Attributes:
        display: the captions on it. Its clock is `time.monotonic`.
        seq: the meeting's last live event that it has.
    """

    display: CaptionDisplay
    seq: int


async def find_meeting(conn: AsyncConnection, session_id: UUID) -> MeetingRecord:
    """Return the meeting of a session: a meeting's id, or the id of a connector's session.

    Raises:
        NotFoundError: there is none.
    """
    try:
        return await meeting_queries.read_meeting(conn, DEFAULT_TEAM_ID, session_id)
    except NotFoundError:
        session = await connector_sessions.read_session(conn, DEFAULT_TEAM_ID, session_id)
        return await meeting_queries.read_meeting(conn, DEFAULT_TEAM_ID, session.meeting_id)


def choose_language(meeting: MeetingRecord, language: str | None) -> str | None:
    """Return the language of the translations: the client's choice, or the meeting's first one. None if there is none."""
    return language or next(iter(meeting.config.target_languages), None)


async def read_screen(services: Services, meeting_id: UUID, language: str | None) -> Screen:
    """Read what is on the screen now.

    Args:
        services: the services.
        meeting_id: the meeting.
        language: the language of the translations.
    """
    cleared_at = await read_cleared_at(services, meeting_id)
    display = CaptionDisplay(language)
    async with services.database.connect() as conn:
        # The number comes first: an event after it is read twice at worst, and then changes nothing.
        seq = await transcript_queries.read_last_seq(conn, DEFAULT_TEAM_ID, meeting_id)
        events = await read_recent_events(conn, DEFAULT_TEAM_ID, meeting_id, RECENT_S)
    now, now_s = time.monotonic(), time.time()
    for event in events:
        at = now - event.age_s
        display.expire(at)
        display.apply(event.kind, event.payload, at)
        if now_s - event.age_s <= cleared_at:
            display.clear()
    display.expire(now)
    return Screen(display, seq)


async def read_cleared_at(services: Services, meeting_id: UUID) -> float:
    """Return when the screens were cleared, in seconds since the Unix epoch; 0 if they weren't within the last minute."""
    return float(await services.redis.get(redis_keys.captions_cleared(str(meeting_id))) or 0.0)


def to_view(caption: ShownCaption, language: str | None) -> CaptionView:
    """Make the view of a caption."""
    color = _COLORS[crc32(f"{caption.speaker} {caption.speaker_id or ''}".encode()) % len(_COLORS)]
    return CaptionView(
        id=caption.id,
        speaker_name=caption.speaker,
        speaker_color=color,
        original_text=caption.text,
        translated_text=caption.translation,
        target_language=language,
        start_time=min(sentence.start for sentence in caption.sentences),
        end_time=max(sentence.end for sentence in caption.sentences),
        expires_in_s=round(max(0.0, caption.expires_at - time.monotonic()), 3),
    )
