"""The fields of meetings as the GraphQL API answers them. A field is computed only if a query selects it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from cluster.fireflies_sim import service_errors
from cluster.fireflies_sim.meeting import ORGANIZER_EMAIL, SimulatedCaption, SimulatedMeeting, cut_into_sentences
from cluster.fireflies_sim.meeting_analytics import analyze, mark_content, speaker_names, summarize
from cluster.fireflies_sim.request_limits import PlanName

USER = {
    "user_id": "user-1",
    "email": ORGANIZER_EMAIL,
    "name": "Host",
    "is_admin": True,
    "integrations": [],
}
"""The owner of the API key."""
SCHEDULED_S = 3_600
"""Planned duration of a meeting, in seconds."""
PAID_FIELDS: dict[str, tuple[PlanName, ...]] = {
    "audio_url": ("pro", "business", "enterprise"),
    "video_url": ("business", "enterprise"),
    "analytics": ("pro", "business", "enterprise"),
}
"""Fields of a transcript that only some plans have, with these plans."""
MEDIA_URL = "https://app.fireflies.ai/view/{id}"


def format_iso(epoch_ms: int) -> str:
    """Return a time in ms since the epoch as ISO 8601 with milliseconds, such as `2026-01-15T10:00:00.000Z`."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def speaker_email(name: str) -> str:
    """Return the e-mail address of a speaker."""
    return f"{'.'.join(name.casefold().split())}@example.com"


def active_meeting_fields(meeting: SimulatedMeeting) -> dict[str, Any]:
    """Return the fields of an `ActiveMeeting`."""
    return {
        "id": meeting.id,
        "title": meeting.title,
        "organizer_email": ORGANIZER_EMAIL,
        "meeting_link": meeting.meeting_link,
        "start_time": format_iso(meeting.began_at),
        "end_time": format_iso(meeting.began_at + SCHEDULED_S * 1000),
        "privacy": "link",
        "state": meeting.state.value,
    }


def transcript_fields(meeting: SimulatedMeeting, plan: PlanName, *, resegment: bool) -> dict[str, Any]:
    """Return the fields of a `Transcript`.

    A live meeting has captions only. Its summary and analytics are null. A field that the plan lacks is an error.

    Args:
        meeting: the meeting.
        plan: the plan of the API key's owner.
        resegment: whether the transcript of a past meeting has whole sentences instead of captions.
    """
    is_over = not meeting.is_live

    def captions() -> list[SimulatedCaption]:
        return cut_into_sentences(meeting.captions()) if is_over and resegment else meeting.captions()

    def sentences(_info: object) -> list[dict[str, Any]]:
        return _sentences(captions())

    def summary(_info: object) -> dict[str, Any] | None:
        return summarize(captions()) if is_over else None

    def analytics(_info: object) -> dict[str, Any] | None:
        return analyze(captions()) if is_over else None

    names = speaker_names(meeting.captions())
    duration_s = meeting.position_s()
    emails = [speaker_email(name) for name in names]
    media_url = MEDIA_URL.format(id=meeting.id)
    lacking = {name: _refuse(name, plans) for name, plans in PAID_FIELDS.items() if plan not in plans}
    return {
        "id": meeting.id,
        "title": meeting.title,
        "host_email": ORGANIZER_EMAIL,
        "organizer_email": ORGANIZER_EMAIL,
        "user": USER,
        "speakers": [{"id": number, "name": name} for number, name in enumerate(names)],
        "transcript_url": media_url,
        "participants": emails,
        "meeting_attendees": [_attendee(name) for name in names],
        "meeting_attendance": [_attendance(name, meeting, duration_s) for name in names],
        "fireflies_users": [ORGANIZER_EMAIL],
        "workspace_users": [ORGANIZER_EMAIL],
        "duration": round(duration_s / 60, 2),
        "dateString": format_iso(meeting.began_at),
        "date": float(meeting.began_at),
        "privacy": "link",
        "audio_url": f"{media_url}.mp3" if is_over else None,
        "video_url": f"{media_url}.mp4" if is_over else None,
        "sentences": sentences,
        "meeting_link": meeting.meeting_link,
        "meeting_info": {
            "fred_joined": True,
            "silent_meeting": not names,
            "summary_status": "processed" if is_over else "processing",
        },
        "summary": summary,
        "analytics": analytics,
        "is_live": meeting.is_live,
        **lacking,
    }


def _refuse(name: str, plans: Sequence[PlanName]) -> Callable[[object], None]:
    """Return the resolver of a field that the plan lacks."""

    def refuse(_info: object) -> None:
        raise service_errors.paid_required(name, plans)

    return refuse


def _sentences(captions: Sequence[SimulatedCaption]) -> list[dict[str, Any]]:
    ids = {name: number for number, name in enumerate(speaker_names(captions))}
    return [
        {
            "index": index,
            "text": caption.text,
            "raw_text": caption.text,
            "start_time": caption.start_time,
            "end_time": caption.end_time,
            "speaker_id": ids[caption.speaker_name],
            "speaker_name": caption.speaker_name,
            "ai_filters": mark_content(caption),
        }
        for index, caption in enumerate(captions)
    ]


def _attendee(name: str) -> dict[str, Any]:
    return {"displayName": name, "email": speaker_email(name), "phoneNumber": None, "name": name, "location": None}


def _attendance(name: str, meeting: SimulatedMeeting, duration_s: float) -> dict[str, Any]:
    left_at = None if meeting.is_live else format_iso(meeting.began_at + round(duration_s * 1000))
    return {"name": name, "join_time": format_iso(meeting.began_at), "leave_time": left_at}
