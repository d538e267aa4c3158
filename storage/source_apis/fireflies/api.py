"""The queries and mutations of Fireflies' API that Parley uses."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, cast

import httpx

from operators.errors import InvalidInputError, MalformedResponseError, NotFoundError
from storage.ingest.request_budget import RequestBudget
from storage.source_apis.fireflies.graphql import GraphqlClient
from storage.source_apis.fireflies.response_errors import PlanLimitError, ResponseError

MAX_PAGE_COUNT, MAX_SKIP_COUNT = 50, 5_000
"""Maximum number of transcripts in a page, and of those before it."""

RecordingAction = Literal["pause_recording", "resume_recording"]

_SENTENCE_FIELDS = "sentences { index text raw_text start_time end_time speaker_id speaker_name }"
_LISTED_FIELDS = (
    "id title date duration host_email organizer_email participants transcript_url meeting_link is_live"
    " meeting_info { summary_status }"
)
_SENTENCES = f"query Sentences($id: String!) {{ transcript(id: $id) {{ id is_live {_SENTENCE_FIELDS} }} }}"
_MINIMAL_TRANSCRIPT = (
    f"query MinimalTranscript($id: String!) {{ transcript(id: $id) {{ {_LISTED_FIELDS} {_SENTENCE_FIELDS} }} }}"
)
"""What each plan may read of a transcript, as far as is known."""
_TRANSCRIPTS = f"""query Transcripts($limit: Int, $skip: Int, $fromDate: DateTime, $toDate: DateTime, $keyword: String) {{
  transcripts(limit: $limit, skip: $skip, fromDate: $fromDate, toDate: $toDate, keyword: $keyword) {{ {_LISTED_FIELDS} }}
}}"""
_TRANSCRIPT = """query Transcript($id: String!) {
  transcript(id: $id) {
    %s
    sentences { index text raw_text start_time end_time speaker_id speaker_name
      ai_filters { task pricing metric question date_and_time text_cleanup sentiment } }
    summary { keywords action_items outline shorthand_bullet overview bullet_gist gist short_summary short_overview
      meeting_type topics_discussed transcript_chapters }
    meeting_attendees { displayName email phoneNumber name location }
    meeting_attendance { name join_time leave_time }
    %s
  }
}"""
_ANALYTICS_FIELDS = """analytics {
      sentiments { negative_pct neutral_pct positive_pct }
      categories { questions date_times metrics tasks }
      speakers { speaker_id name duration word_count longest_monologue filler_words questions words_per_minute }
    }"""
_PAID_FIELDS = {
    "audio_url": ("pro", "business", "enterprise"),
    "video_url": ("business", "enterprise"),
    _ANALYTICS_FIELDS: ("pro", "business", "enterprise"),
}
"""Fields that only some plans may read, with these plans. For other plans, a query that names them has errors."""
_REQUIRED_FIELDS = ("id", "is_live", "sentences")
"""Fields without which a transcript is none."""
_ACTIVE_MEETINGS = """query ActiveMeetings($input: GetActiveMeetingsInput) {
  active_meetings(input: $input) { id title organizer_email meeting_link start_time end_time privacy state }
}"""
_USER = "query User { user { user_id email name num_transcripts minutes_consumed } }"
_INVITE = """mutation Invite($link: String!, $title: String, $duration: Int, $language: String, $password: String) {
  addToLiveMeeting(
    meeting_link: $link, title: $title, duration: $duration, language: $language, meeting_password: $password
  ) { success message }
}"""
_CHANGE_RECORDING = """mutation ChangeRecording($input: UpdateMeetingStateInput!) {
  updateMeetingState(input: $input) { success action }
}"""


class FirefliesApi:
    """The API of one account. Each method is one request, and raises the errors of `GraphqlClient.request`.

    Args:
        client: the HTTP client.
        base_url: address of the API.
        api_key: the account's key.
        budget: counts the requests.

    Attributes:
        base_url, api_key: as given.
    """

    def __init__(self, client: httpx.AsyncClient, base_url: str, api_key: str, budget: RequestBudget) -> None:
        self.base_url, self.api_key = base_url, api_key
        self._graphql = GraphqlClient(client, base_url, api_key, budget)

    @property
    def budget(self) -> RequestBudget:
        """The account's budget of requests."""
        return self._graphql.budget

    async def read_sentences(self, transcript_id: str) -> list[Mapping[str, Any]]:
        """Return the sentences of a transcript, of a live one the sentences so far.

        Raises:
            NotFoundError: there is no such transcript.
        """
        data = await self._request_transcript(_SENTENCES, transcript_id)
        return _require_objects(_require_transcript(data, transcript_id).get("sentences") or [], "sentences")

    async def read_transcript(self, transcript_id: str) -> Mapping[str, Any]:
        """Return a transcript with its sentences, summary, attendees and attendance, as Fireflies sends them.

        Fields that Fireflies can't give, or not in the account's plan, are missing or null. If it refuses all of the transcript
        because of such fields, a second request asks for the sentences without them.

        Raises:
            NotFoundError: there is no such transcript.
        """
        paid = " ".join(fields for fields, plans in _PAID_FIELDS.items() if self.budget.plan.name in plans)
        try:
            data = await self._request_transcript(_TRANSCRIPT % (_LISTED_FIELDS, paid), transcript_id)
        except PlanLimitError:
            data = await self._request_transcript(_MINIMAL_TRANSCRIPT, transcript_id)
        return _require_transcript(data, transcript_id)

    async def _request_transcript(self, query: str, transcript_id: str) -> Mapping[str, Any]:
        return await self._graphql.request(
            query, {"id": transcript_id}, subject="transcript_id", is_tolerable=_concerns_optional_field
        )

    async def list_transcripts(
        self,
        *,
        limit: int = MAX_PAGE_COUNT,
        skip: int = 0,
        since: datetime | None = None,
        until: datetime | None = None,
        keyword: str | None = None,
    ) -> list[Any]:
        """Return a page of the transcripts of meetings that are over, newest first.

        An item that Fireflies can't give is null. `operators.sources.fireflies_listing` parses the items.

        Args:
            limit: maximum number of transcripts.
            skip: number of newer transcripts to leave out.
            since: earliest start of a meeting; None for any.
            until: latest start of a meeting; None for any.
            keyword: a word of the title; None for all.
        """
        if not 1 <= limit <= MAX_PAGE_COUNT:
            raise InvalidInputError("limit", f"must be from 1 to {MAX_PAGE_COUNT}")
        if not 0 <= skip <= MAX_SKIP_COUNT:
            raise InvalidInputError("skip", f"must be from 0 to {MAX_SKIP_COUNT}")
        variables = {
            "limit": limit,
            "skip": skip,
            "fromDate": None if since is None else since.isoformat(),
            "toDate": None if until is None else until.isoformat(),
            "keyword": keyword,
        }
        data = await self._graphql.request(_TRANSCRIPTS, _without_nulls(variables), is_tolerable=_concerns_item)
        return _require_list(data.get("transcripts") or [], "transcripts")

    async def list_active_meetings(
        self, email: str | None = None, states: list[str] | None = None
    ) -> list[Mapping[str, Any]]:
        """Return the meetings that run now.

        Args:
            email: e-mail address of the organizer; None for the account's owner.
            states: `active` and `paused`; None for both.
        """
        data = await self._graphql.request(
            _ACTIVE_MEETINGS, {"input": _without_nulls({"email": email, "states": states})}, subject="email"
        )
        return _require_objects(data.get("active_meetings") or [], "active_meetings")

    async def read_user(self) -> Mapping[str, Any]:
        """Return the account's owner."""
        return _require_object(await self._graphql.request(_USER, {}, subject="api_key"), "user")

    async def invite_notetaker(
        self,
        link: str,
        *,
        title: str | None = None,
        duration_min: int | None = None,
        language: str | None = None,
        password: str | None = None,
    ) -> str:
        """Invite Fireflies' notetaker to a live meeting. Fireflies allows three invitations in 20 minutes.

        Args:
            link: the meeting's link.
            title: the meeting's title.
            duration_min: the meeting's duration in minutes.
            language: the language spoken, as Fireflies names it.
            password: the meeting's password.

        Returns:
            Fireflies' message.
        """
        variables = {"link": link, "title": title, "duration": duration_min, "language": language, "password": password}
        data = await self._graphql.request(_INVITE, _without_nulls(variables), subject="meeting_link")
        answer = _require_object(data, "addToLiveMeeting")
        if answer.get("success") is not True:
            raise InvalidInputError("meeting_link", "Fireflies did not accept the invitation")
        return str(answer.get("message") or "")

    async def change_recording(self, meeting_id: str, action: RecordingAction) -> None:
        """Pause or resume Fireflies' recording of a live meeting. Fireflies allows ten changes an hour.

        Raises:
            NotFoundError: the meeting isn't live.
        """
        variables = {"input": {"meeting_id": meeting_id, "action": action}}
        data = await self._graphql.request(_CHANGE_RECORDING, variables, subject="recording")
        if _require_object(data, "updateMeetingState").get("success") is not True:
            raise InvalidInputError("recording", "Fireflies did not change its recording")


def _concerns_optional_field(error: ResponseError) -> bool:
    """Return whether an error concerns a field of a transcript that may be missing."""
    return error.is_below("transcript") and not (len(error.path) == 2 and error.path[1] in _REQUIRED_FIELDS)


def _concerns_item(error: ResponseError) -> bool:
    """Return whether an error concerns a single item of a list of transcripts."""
    return error.is_below("transcripts")


def _require_transcript(data: Mapping[str, Any], transcript_id: str) -> Mapping[str, Any]:
    transcript = data.get("transcript")
    if not isinstance(transcript, Mapping):
        raise NotFoundError(f"Fireflies has no transcript {transcript_id}")
    return cast("Mapping[str, Any]", transcript)


def _require_object(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = data.get(name)
    if not isinstance(value, Mapping):
        raise MalformedResponseError(f"Fireflies' API answers without `{name}`")
    return cast("Mapping[str, Any]", value)


def _require_objects(value: Any, name: str) -> list[Mapping[str, Any]]:
    """Return the objects of a list. Anything else in it is left out."""
    return [cast("Mapping[str, Any]", item) for item in _require_list(value, name) if isinstance(item, Mapping)]


def _require_list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise MalformedResponseError(f"Fireflies' API answers with no list in `{name}`")
    return cast("list[Any]", value)


def _without_nulls(variables: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in variables.items() if value is not None}
