"""The queries and mutations of the GraphQL API."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from cluster.fireflies_sim import service_errors
from cluster.fireflies_sim.meeting import ORGANIZER_EMAIL, SimulatedMeeting, SimulatedMeetingState
from cluster.fireflies_sim.meeting_analytics import speaker_names
from cluster.fireflies_sim.request_limits import (
    INVITATION_LIMIT,
    MAX_PAGE_COUNT,
    MAX_SKIP_COUNT,
    STATE_CHANGE_LIMIT,
    PlanName,
    SlidingWindow,
)
from cluster.fireflies_sim.transcript_fields import USER, active_meeting_fields, speaker_email, transcript_fields

PLATFORM_HOSTS = ("meet.google.com", "zoom.us", "teams.microsoft.com", "teams.live.com")
"""Hosts of meetings that the notetaker can join, with their subdomains."""
MIN_DURATION_MIN, MAX_DURATION_MIN = 15, 120
"""Shortest and longest duration that an invitation may name, in minutes."""
MAX_ARGUMENT_CHARS = 256
"""Maximum length of a title or an e-mail address."""


class GraphqlResolvers:
    """Answers the fields of `Query` and `Mutation`.

    Args:
        meetings: the meetings by their ids.
        plan: the plan of the API key's owner.
        invite: called with the link and the title of a meeting that the notetaker is invited to. It adds the meeting.
        resegment: whether transcripts of past meetings have whole sentences.
    """

    def __init__(
        self,
        meetings: dict[str, SimulatedMeeting],
        plan: PlanName,
        invite: Callable[[str, str | None], SimulatedMeeting],
        *,
        resegment: bool,
    ) -> None:
        self._meetings = meetings
        self._plan: PlanName = plan
        self._invite = invite
        self._resegment = resegment
        self._invitations = SlidingWindow(INVITATION_LIMIT)
        self._state_changes = SlidingWindow(STATE_CHANGE_LIMIT)

    def root(self) -> dict[str, Any]:
        """Return the resolvers by the names of their fields."""
        return {
            "active_meetings": self._active_meetings,
            "transcript": self._transcript,
            "transcripts": self._transcripts,
            "user": self._user,
            "addToLiveMeeting": self._add_to_live_meeting,
            "updateMeetingState": self._update_meeting_state,
        }

    def _active_meetings(self, _info: Any, input: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        email = (input or {}).get("email") or ORGANIZER_EMAIL
        states = (input or {}).get("states") or [SimulatedMeetingState.ACTIVE, SimulatedMeetingState.PAUSED]
        own = self._meetings.values() if email == ORGANIZER_EMAIL else ()
        return [active_meeting_fields(meeting) for meeting in own if meeting.state in states]

    def _transcript(self, _info: Any, id: str) -> dict[str, Any]:
        meeting = self._meetings.get(id)
        if meeting is None:
            raise service_errors.not_found("Transcript")
        return self._fields(meeting)

    def _transcripts(self, _info: Any, **arguments: Any) -> list[dict[str, Any]]:
        limit = _require_count("limit", arguments.get("limit"), 1, MAX_PAGE_COUNT, MAX_PAGE_COUNT)
        skip = _require_count("skip", arguments.get("skip"), 0, MAX_SKIP_COUNT, 0)
        if arguments.get("keyword") and arguments.get("title"):
            raise service_errors.invalid_argument("title", "title and keyword exclude each other", "mutuallyExclusive")
        earliest_ms = _epoch_ms("fromDate", arguments.get("fromDate"))
        latest_ms = _epoch_ms("toDate", arguments.get("toDate"))
        found = [
            meeting
            for meeting in self._meetings.values()
            if not meeting.is_live
            and (earliest_ms is None or meeting.began_at >= earliest_ms)
            and (latest_ms is None or meeting.began_at <= latest_ms)
            and _matches(meeting, arguments)
        ]
        found.sort(key=lambda meeting: meeting.began_at, reverse=True)
        return [self._fields(meeting) for meeting in found[skip : skip + limit]]

    def _user(self, _info: Any, id: str | None = None) -> dict[str, Any]:
        if id not in (None, USER["user_id"]):
            raise service_errors.not_found("User")
        past = [meeting for meeting in self._meetings.values() if not meeting.is_live]
        newest = max(past, key=lambda meeting: meeting.began_at, default=None)
        newest_id = None if newest is None else newest.id
        minutes = round(sum(meeting.position_s() for meeting in past) / 60)
        counts = {"num_transcripts": len(past), "minutes_consumed": minutes}
        return {**USER, **counts, "recent_transcript": newest_id, "recent_meeting": newest_id}

    def _add_to_live_meeting(self, _info: Any, meeting_link: str, **arguments: Any) -> dict[str, Any]:
        _admit(self._invitations)
        title, duration = arguments.get("title"), arguments.get("duration")
        if len(title or "") > MAX_ARGUMENT_CHARS:
            raise service_errors.invalid_argument("title", "title must have at most 256 characters", "maxLength")
        if duration is not None:
            _require_count("duration", duration, MIN_DURATION_MIN, MAX_DURATION_MIN, MIN_DURATION_MIN)
        if not _is_supported(meeting_link):
            raise service_errors.unsupported_platform()
        self._invite(meeting_link, title)
        return {"success": True, "message": "The notetaker joins the meeting"}

    def _update_meeting_state(self, _info: Any, input: dict[str, Any]) -> dict[str, Any]:
        _admit(self._state_changes)
        meeting = self._meetings.get(input["meeting_id"])
        if meeting is None or not meeting.is_live:
            raise service_errors.not_found("Meeting")
        meeting.state = (
            SimulatedMeetingState.PAUSED if input["action"] == "pause_recording" else SimulatedMeetingState.ACTIVE
        )
        return {"success": True, "action": input["action"]}

    def _fields(self, meeting: SimulatedMeeting) -> dict[str, Any]:
        return transcript_fields(meeting, self._plan, resegment=self._resegment)


def _admit(window: SlidingWindow) -> None:
    if retry_after_s := window.admit(time.monotonic()):
        raise service_errors.too_many_requests(retry_after_s, time.time_ns() // 1_000_000)


def _require_count(name: str, value: int | None, minimum: int, maximum: int, default: int) -> int:
    if value is None:
        return default
    if value < minimum:
        raise service_errors.invalid_argument(name, f"{name} must not be less than {minimum}", "min")
    if value > maximum:
        raise service_errors.invalid_argument(name, f"{name} must not be greater than {maximum}", "max")
    return value


def _epoch_ms(name: str, value: str | None) -> int | None:
    if value is None:
        return None
    try:
        return round(datetime.fromisoformat(value).timestamp() * 1000)
    except (TypeError, ValueError):
        raise service_errors.invalid_argument(name, f"{name} must be a Date instance", "isDate") from None


def _matches(meeting: SimulatedMeeting, arguments: dict[str, Any]) -> bool:
    """Whether a meeting has the title or keyword, the organizers and the participants that a query asks for."""
    captions = meeting.captions()
    if keyword := (arguments.get("keyword") or arguments.get("title") or "").casefold():
        scope = arguments.get("scope") or "title"
        in_title = scope != "sentences" and keyword in meeting.title.casefold()
        in_speech = scope != "title" and any(keyword in caption.text.casefold() for caption in captions)
        if not (in_title or in_speech):
            return False
    organizers = _emails(arguments, "organizers", "organizer_email", "host_email")
    participants = _emails(arguments, "participants", "participant_email")
    present = {speaker_email(name) for name in speaker_names(captions)}
    return (not organizers or ORGANIZER_EMAIL in organizers) and (not participants or bool(present & participants))


def _emails(arguments: dict[str, Any], many: str, *single: str) -> set[str]:
    named: Sequence[str | None] = [*(arguments.get(many) or ()), *(arguments.get(name) for name in single)]
    return {email for email in named if email}


def _is_supported(link: str) -> bool:
    try:
        parts = urlsplit(link)
    except ValueError:  # Unmatched brackets.
        return False
    host = parts.hostname or ""
    return parts.scheme in ("http", "https") and any(
        host == platform or host.endswith(f".{platform}") for platform in PLATFORM_HOSTS
    )
