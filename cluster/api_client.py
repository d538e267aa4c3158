"""Client of Parley's HTTP API, with retries. Resending events is safe, because each has an id."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from types import TracebackType
from typing import Any, Literal
from urllib.parse import quote
from uuid import uuid4

import httpx
import stamina

from operators.errors import ParleyError, UnavailableError

PROBLEM_MEDIA_TYPE = "application/problem+json"
LAG_PROBLEM_TYPE = "urn:parley:problem:lag"
"""Type of the problem that a request gets while the meeting's lane is behind. It passes without intervention."""
REQUEST_TIMEOUT_S = 30.0
"""Timeout of one request, in seconds."""
RETRY_TIMEOUT_S = 120.0
"""Seconds for which a request is retried if the server can't be reached or is overloaded."""
LAG_TIMEOUT_S = 3600.0
"""Seconds for which events are resent while their meeting's lane is behind. The lane catches up meanwhile."""
MAX_RETRY_AFTER_S = 60.0
"""Maximum seconds that a `Retry-After` header can delay a retry. A proxy in front of the server may send any value."""
IDENTIFY_TIMEOUT_S = 15.0
"""Seconds that a server has to identify itself. Parley may respond slowly on a busy machine."""

ServerKind = Literal["parley", "other", "nobody"]


def identify_server(url: str) -> ServerKind:
    """Identify the server at a URL with one request.

    Returns:
        `parley`, `nobody` if no server accepts connections, or `other`. A Parley that is still starting is `other` too.
    """
    try:
        response = httpx.get(f"{url}/health", timeout=IDENTIFY_TIMEOUT_S, trust_env=not is_loopback(url))
        return "parley" if response.is_success and response.json() == {"status": "up"} else "other"
    except (httpx.ConnectError, httpx.ConnectTimeout):
        return "nobody"
    except (httpx.TransportError, ValueError):
        return "other"


def is_loopback(url: str) -> bool:
    """Return whether a URL is on this machine, in which case a proxy of the environment is bypassed."""
    return httpx.URL(url).host in ("127.0.0.1", "localhost", "::1")


class ApiError(ParleyError):
    """The server rejected a request. The message comes from the server: the problem and what to do."""


@dataclass(frozen=True, slots=True)
class SendResult:
    """The result of sending events: the number of accepted, repeated and refused ones."""

    accepted: int
    repeated: int
    refused: int


@dataclass(frozen=True, slots=True)
class ExportedTranscript:
    """A transcript as a file.

    Attributes:
        name: the file name that the server suggests, if any.
        content: the file's content.
    """

    name: str | None
    content: bytes


class ApiClient:
    """An asynchronous client of one server. Use it as a context manager.

    Each method raises `ApiError` if the server rejects the request, and `UnavailableError` if it can't be reached.

    Args:
        url: base URL of the server, such as `http://127.0.0.1:8000`.
    """

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=REQUEST_TIMEOUT_S, trust_env=not is_loopback(url))

    async def __aenter__(self) -> ApiClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def open_meeting(self, body: dict[str, Any]) -> dict[str, Any]:
        """Open a meeting, or return the existing one with the same external id."""
        return await self._request_json("POST", "/api/meetings", body)

    async def meetings(self, statuses: Sequence[str], limit: int) -> list[dict[str, Any]]:
        """Return the newest meetings.

        Args:
            statuses: the wanted statuses; all if it is empty.
            limit: maximum number of meetings, up to 200.
        """
        parameters = {"limit": limit, "status": list(statuses)}
        return (await self._request_json("GET", "/api/meetings", params=parameters))["meetings"]

    async def end_meeting(self, meeting_id: str, reason: str | None) -> dict[str, Any]:
        """End a meeting. A meeting that is over does not change."""
        body = {} if reason is None else {"reason": reason}
        return await self._request_json("POST", f"/api/meetings/{meeting_id}/end", body)

    async def rename_speaker(self, meeting_id: str, speaker: str, name: str, speaker_id: str | None) -> dict[str, Any]:
        """Rename a speaker of a meeting.

        Args:
            meeting_id: the meeting's id.
            speaker: the present name.
            name: the new name.
            speaker_id: the speaker's id, if several speakers have the name.
        """
        body = {"speaker": speaker, "name": name} | ({} if speaker_id is None else {"speaker_id": speaker_id})
        return await self._request_json("POST", f"/api/meetings/{meeting_id}/speakers/rename", body)

    async def correct_sentence(self, meeting_id: str, sentence_id: str, text: str) -> dict[str, Any]:
        """Correct the text of a sentence, as it is at this moment."""
        revisions = {sentence["id"]: sentence["revision"] for sentence in await self.sentences(meeting_id)}
        body = {"text": text, "revision": revisions.get(sentence_id, 1)}
        path = f"/api/meetings/{meeting_id}/sentences/{quote(sentence_id, safe='')}"
        return await self._request_json("PATCH", path, body)

    async def export(self, meeting_id: str, parameters: Mapping[str, str | Sequence[str]]) -> ExportedTranscript:
        """Return a meeting's transcript as a file.

        Args:
            meeting_id: the meeting's id.
            parameters: its `format`, `text`, `language` and `include`. The server has a default for each.
        """
        response = await self._request("GET", f"/api/meetings/{meeting_id}/export", params=dict(parameters))
        header = EmailMessage()
        header["Content-Disposition"] = response.headers.get("content-disposition", "attachment")
        return ExportedTranscript(header.get_filename(), response.content)

    async def meeting(self, meeting_id: str) -> dict[str, Any]:
        """Return a meeting with its current state."""
        return await self._request_json("GET", f"/api/meetings/{meeting_id}")

    async def send(self, meeting_id: str, events: Sequence[dict[str, Any]]) -> SendResult:
        """Send events. Each has an `event_id`, so that a batch can be resent without duplicates.

        While the meeting's lane is too far behind, the request is retried after the delay that the server names.

        Raises:
            ApiError: an event was rejected. Earlier events of the batch may have been accepted.
            UnavailableError: the server could not be reached.
        """
        result = await self._request_json("POST", f"/api/meetings/{meeting_id}/events", {"events": list(events)})
        return SendResult(result["accepted"], result["repeated"], result["refused"])

    async def sentences(self, meeting_id: str) -> list[dict[str, Any]]:
        """Return the last revisions of the meeting's sentences, in reading order."""
        return (await self._request_json("GET", f"/api/meetings/{meeting_id}/sentences"))["sentences"]

    async def captions(self, meeting_id: str) -> list[dict[str, Any]]:
        """Return the meeting's captions in all languages, in reading order."""
        return (await self._request_json("GET", f"/api/meetings/{meeting_id}/captions"))["captions"]

    async def notes(self, meeting_id: str) -> list[dict[str, Any]]:
        """List a meeting's notes, in the order of the speech."""
        return (await self._request_json("GET", f"/api/intelligence/sessions/{meeting_id}/notes"))["notes"]

    async def add_note(self, meeting_id: str, text: str, *, pinned: bool) -> dict[str, Any]:
        """Add a note of a user to a meeting."""
        body = {"text": text, "pinned": pinned}
        return await self._request_json("POST", f"/api/intelligence/sessions/{meeting_id}/notes", body)

    async def search(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Search all meetings.

        Args:
            parameters: `q`, and perhaps `meeting`, `language` and `limit`; None for those that aren't set.
        """
        set_parameters = {name: value for name, value in parameters.items() if value is not None}
        return await self._request_json("GET", "/api/search", None, set_parameters)

    async def token_usage(self, days: int) -> dict[str, Any]:
        """Return the tokens that notes, insights and answers used today and on the days before it."""
        return await self._request_json("GET", "/api/intelligence/usage", None, {"days": days})

    async def insights(self, meeting_id: str) -> list[dict[str, Any]]:
        """List a meeting's insights, newest first."""
        return (await self._request_json("GET", f"/api/intelligence/sessions/{meeting_id}/insights"))["insights"]

    async def insight(self, insight_id: str, wait_s: float) -> dict[str, Any]:
        """Return an insight, once it isn't pending or after `wait_s` seconds."""
        return await self._request_json("GET", f"/api/intelligence/insights/{insight_id}", None, {"wait_s": wait_s})

    async def generate_insights(self, meeting_id: str, body: dict[str, Any], wait_s: float) -> list[dict[str, Any]]:
        """Generate insights, and return them as they are after the wait.

        Args:
            meeting_id: the meeting.
            body: the request's body.
            wait_s: seconds to wait for them.
        """
        path = f"/api/intelligence/sessions/{meeting_id}/insights/generate"
        return (await self._request_json("POST", path, body, {"wait_s": wait_s}))["insights"]

    async def begin_conversation(self, meeting_id: str | None, body: dict[str, Any]) -> dict[str, Any]:
        """Begin a conversation about a meeting, or about all meetings if `meeting_id` is None."""
        about = "" if meeting_id is None else f"sessions/{meeting_id}/"
        return await self._request_json("POST", f"/api/intelligence/{about}agent/conversations", body or None)

    async def ask(self, conversation_id: str, body: dict[str, Any], wait_s: float) -> dict[str, Any]:
        """Ask a question, and return it with its answer, as far as there is one after `wait_s` seconds."""
        path = f"/api/intelligence/agent/conversations/{conversation_id}/messages"
        return await self._request_json("POST", path, body, {"wait_s": wait_s})

    async def answer(self, message_id: str, wait_s: float) -> dict[str, Any]:
        """Return a question with its answer, once it is answered or after `wait_s` seconds."""
        return await self._request_json(
            "GET", f"/api/intelligence/agent/messages/{message_id}", None, {"wait_s": wait_s}
        )

    async def lanes(self) -> list[dict[str, Any]]:
        """Return all lanes with their state."""
        return (await self._request_json("GET", "/api/lanes"))["lanes"]

    async def models(self) -> dict[str, Any]:
        """Return the current engine configuration, and the state of its engines."""
        return await self._request_json("GET", "/api/engine-config")

    async def model_versions(self, limit: int) -> dict[str, Any]:
        """Return the newest `versions` of the configuration, and the numbers of those that the server finds `unreadable`."""
        return await self._request_json("GET", "/api/engine-config/versions", params={"limit": limit})

    async def change_models(self, config: dict[str, Any], note: str, expected_version: int | None) -> dict[str, Any]:
        """Activate an engine configuration.

        Args:
            config: the configuration.
            note: a remark for the history.
            expected_version: the request fails unless this is the current version; None skips the check.
        """
        return await self._request_json(
            "PUT", "/api/engine-config", {"config": config, "note": note, "expected_version": expected_version}
        )

    async def roll_back_models(self, version: int | None) -> dict[str, Any]:
        """Activate an older version again, by default the previous one."""
        return await self._request_json("POST", "/api/engine-config/rollback", {"version": version})

    async def sources(self) -> dict[str, Any]:
        """Return the configured `sources`, and the names of all `known` ones."""
        return await self._request_json("GET", "/api/sources")

    async def source(self, name: str) -> dict[str, Any]:
        """Return a source's configuration."""
        return await self._request_json("GET", f"/api/sources/{quote(name, safe='')}")

    async def configure_source(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """Configure a source, or replace its configuration."""
        return await self._request_json("PUT", f"/api/sources/{quote(name, safe='')}", body)

    async def remove_source(self, name: str) -> None:
        """Remove a source's configuration."""
        await self._request("DELETE", f"/api/sources/{quote(name, safe='')}")

    async def add_lane(self, kind: str) -> dict[str, Any]:
        """Add a lane."""
        return await self._request_json("POST", "/api/lanes", {"kind": kind})

    async def drain_lane(self, lane_id: str) -> dict[str, Any]:
        """Drain a lane: its meetings move to other lanes, and it stops."""
        return await self._request_json("POST", f"/api/lanes/{lane_id}/drain")

    async def move_meeting(self, meeting_id: str, lane_id: str) -> dict[str, Any]:
        """Move a meeting to another lane."""
        return await self._request_json("POST", f"/api/meetings/{meeting_id}/move", {"lane": lane_id})

    async def dead_letters(self, meeting_id: str | None, limit: int, before: int | None = None) -> dict[str, Any]:
        """Return a page of dead letters, newest first.

        Args:
            meeting_id: the meeting whose dead letters to return; None for all meetings.
            limit: maximum number of dead letters, up to 200.
            before: the `before` of the previous page; None for the first page.
        """
        parameters = {"limit": limit, "meeting": meeting_id, "before": before}
        set_parameters = {name: value for name, value in parameters.items() if value is not None}
        return await self._request_json("GET", "/api/dead-letters", params=set_parameters)

    async def dead_letter(self, dead_letter_id: int) -> dict[str, Any]:
        """Return a dead letter with all its fields."""
        return await self._request_json("GET", f"/api/dead-letters/{dead_letter_id}")

    async def resubmit(self, dead_letter_id: int) -> dict[str, Any]:
        """Resubmit the content of a dead letter.

        Raises:
            ApiError: the dead letter can't be resubmitted.
            UnavailableError: the server could not be reached.
        """
        return await self._request_json("POST", f"/api/dead-letters/{dead_letter_id}/resubmit")

    async def webhooks(self) -> list[dict[str, Any]]:
        """Return all webhooks, oldest first."""
        return (await self._request_json("GET", "/api/webhooks"))["webhooks"]

    async def add_webhook(self, url: str, event_types: Sequence[str]) -> dict[str, Any]:
        """Add a webhook, and return it with its secret.

        Args:
            url: the receiver's URL.
            event_types: the event types that it gets; all if it is empty.
        """
        body: dict[str, Any] = {"url": url}
        return await self._request_json(
            "POST", "/api/webhooks", body | ({"event_types": list(event_types)} if event_types else {})
        )

    async def enable_webhook(self, webhook_id: str, enabled: bool) -> dict[str, Any]:
        """Enable or disable a webhook."""
        return await self._request_json("PATCH", f"/api/webhooks/{webhook_id}", {"enabled": enabled})

    async def remove_webhook(self, webhook_id: str) -> None:
        """Remove a webhook with its deliveries."""
        await self._request("DELETE", f"/api/webhooks/{webhook_id}")

    async def rotate_webhook_secret(self, webhook_id: str) -> dict[str, Any]:
        """Replace a webhook's secret, and return the webhook with the new one."""
        return await self._request_json("POST", f"/api/webhooks/{webhook_id}/rotate-secret")

    async def webhook_deliveries(
        self, webhook_id: str, status: str | None, limit: int, before: int | None = None
    ) -> dict[str, Any]:
        """Return a page of a webhook's deliveries, newest first.

        Args:
            webhook_id: the webhook's id.
            status: the wanted status; None for all.
            limit: maximum number of deliveries, up to 200.
            before: the `before` of the previous page; None for the first page.
        """
        parameters = {"limit": limit, "status": status, "before": before}
        set_parameters = {name: value for name, value in parameters.items() if value is not None}
        return await self._request_json("GET", f"/api/webhooks/{webhook_id}/deliveries", params=set_parameters)

    async def replay_webhook_delivery(self, webhook_id: str, delivery_id: int) -> dict[str, Any]:
        """Deliver an event to a webhook again."""
        return await self._request_json("POST", f"/api/webhooks/{webhook_id}/deliveries/{delivery_id}/replay")

    async def replay_failed_webhooks(self, webhook_id: str, since: str) -> int:
        """Deliver all failed events again that were created since a time (ISO 8601), and return their number."""
        result = await self._request_json("POST", f"/api/webhooks/{webhook_id}/replay", {"since": since})
        return result["replayed"]

    async def test_webhook(self, webhook_id: str) -> dict[str, Any]:
        """Send a test to a webhook, and return its delivery."""
        return await self._request_json("POST", f"/api/webhooks/{webhook_id}/test")

    async def call_fireflies(
        self,
        method: Literal["GET", "POST"],
        path: str,
        body: dict[str, Any] | None = None,
        params: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Call a route of `/api/fireflies`.

        Args:
            method: the HTTP method.
            path: the path below `/api/fireflies`.
            body: the JSON body, if any.
            params: the query parameters, if any.
        """
        return await self._request_json(method, f"/api/fireflies/{path}", body, params)

    async def _request_json(
        self, method: str, path: str, body: dict[str, Any] | None = None, params: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        return (await self._request(method, path, body, params)).json()

    async def _request(
        self, method: str, path: str, body: dict[str, Any] | None = None, params: dict[str, Any] | None = None
    ) -> httpx.Response:
        deadline = asyncio.get_running_loop().time() + LAG_TIMEOUT_S
        # So that a retry of a write whose answer was lost doesn't write twice.
        headers = {} if method == "GET" else {"Idempotency-Key": str(uuid4())}
        while True:
            response = await self._send_with_retries(method, path, body, params, headers)
            if response.is_success:
                return response
            if response.json()["type"] != LAG_PROBLEM_TYPE or asyncio.get_running_loop().time() > deadline:
                raise ApiError(_problem_summary(response))
            await asyncio.sleep(_retry_after_s(response))

    async def _send_with_retries(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        params: dict[str, Any] | None,
        headers: dict[str, str],
    ) -> httpx.Response:
        """Send a request, and retry while the server can't be reached or is not ready.

        Returns:
            The response of the API, which may be a problem.
        """
        async for attempt in stamina.retry_context(
            on=UnavailableError, attempts=None, timeout=RETRY_TIMEOUT_S, wait_max=5.0
        ):
            with attempt:
                try:
                    response = await self._http.request(method, path, json=body, params=params, headers=headers)
                except httpx.TransportError as error:
                    raise UnavailableError(f"{self._http.base_url} can't be reached: {type(error).__name__}") from error
                is_api_response = response.is_success or response.headers.get("content-type", "").startswith(
                    PROBLEM_MEDIA_TYPE
                )
                if response.status_code == int(httpx.codes.SERVICE_UNAVAILABLE) or not is_api_response:
                    # The response is not from the API: the server is still starting, or a proxy can't reach it.
                    await asyncio.sleep(_retry_after_s(response))
                    raise UnavailableError(f"{path}: {response.status_code}")
                return response
        raise AssertionError("retries end with an answer or an error")


def _retry_after_s(response: httpx.Response) -> float:
    """Return the delay of a `Retry-After` header in seconds. A date counts as 0, because retries have their own pauses."""
    try:
        seconds = float(response.headers.get("Retry-After", 0))
    except ValueError:
        return 0.0
    return min(seconds, MAX_RETRY_AFTER_S) if seconds > 0 else 0.0


def _problem_summary(response: httpx.Response) -> str:
    """Format the server's problem (RFC 9457) as one line."""
    problem = response.json()
    fields = "; ".join(f"{e['field']}: {e['detail']}" for e in problem.get("errors", []))
    return f"{problem.get('title', response.status_code)}: {fields or problem.get('detail', '')}"
