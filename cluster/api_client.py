"""A client of Parley's HTTP door: opens meetings, sends their events so that none is lost, and reads what became of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from types import TracebackType
from typing import Any, Literal

import httpx
import stamina

from operators.errors import ParleyError, UnavailableError

PROBLEM_MEDIA_TYPE = "application/problem+json"
LAG_PROBLEM_TYPE = "urn:parley:problem:lag"
"""The type of the problem that passes by itself."""
REQUEST_TIMEOUT_S = 30.0
"""Seconds one request may take."""
RETRY_TIMEOUT_S = 120.0
"""Seconds a request is tried again for, where the server can't be reached or is overloaded."""
LAG_TIMEOUT_S = 3600.0
"""Seconds events are sent again for, where their meeting's lane is behind: it works off what it has."""
MAX_RETRY_AFTER_S = 60.0
"""Seconds waited at most where an answer asks for it: what stands before the server may say anything."""
IDENTIFY_TIMEOUT_S = 15.0
"""Seconds a server has to say that it is there: on a machine that has much else to do, a Parley may take some."""

ServerKind = Literal["parley", "other", "nobody"]


def identify_server(url: str) -> ServerKind:
    """Who answers at an address, asked once: Parley, something else (or a Parley that is still starting), or nobody."""
    try:
        response = httpx.get(f"{url}/health", timeout=IDENTIFY_TIMEOUT_S, trust_env=not _is_loopback(url))
        return "parley" if response.is_success and response.json() == {"status": "up"} else "other"
    except (httpx.ConnectError, httpx.ConnectTimeout):
        return "nobody"
    except (httpx.TransportError, ValueError):
        return "other"


def _is_loopback(url: str) -> bool:
    """Whether an address is this machine's: a proxy that the environment names is for the world outside."""
    return httpx.URL(url).host in ("127.0.0.1", "localhost", "::1")


class ApiError(ParleyError):
    """The server refused a request. The message is the server's own: what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class SendResult:
    """What became of a batch of events."""

    accepted: int
    repeated: int
    refused: int


@dataclass(frozen=True, slots=True)
class ExportedTranscript:
    """A transcript as a file: the name that the server gives it, if any, and what it holds."""

    name: str | None
    content: bytes


class ApiClient:
    """Talks to one server.

    Args:
        url: `http://127.0.0.1:8000`.
    """

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=REQUEST_TIMEOUT_S, trust_env=not _is_loopback(url))

    async def __aenter__(self) -> ApiClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def open_meeting(self, body: dict[str, Any]) -> dict[str, Any]:
        """Open a meeting; one with the same external id is found again."""
        return await self._request_json("POST", "/api/meetings", body)

    async def meetings(self, statuses: Sequence[str], limit: int) -> list[dict[str, Any]]:
        """The newest meetings, at most `limit` (up to 200); only those of the given statuses, if any are."""
        parameters = {"limit": limit, "status": list(statuses)}
        return (await self._request_json("GET", "/api/meetings", params=parameters))["meetings"]

    async def end_meeting(self, meeting_id: str, reason: str | None) -> dict[str, Any]:
        """End a meeting; one that is over stays so."""
        body = {} if reason is None else {"reason": reason}
        return await self._request_json("POST", f"/api/meetings/{meeting_id}/end", body)

    async def export(self, meeting_id: str, parameters: dict[str, str]) -> ExportedTranscript:
        """A meeting's transcript as a file.

        Args:
            wanted: its `format`, `text` and `language`; the server chooses what is left out.
        """
        response = await self._request("GET", f"/api/meetings/{meeting_id}/export", params=parameters)
        header = EmailMessage()
        header["Content-Disposition"] = response.headers.get("content-disposition", "attachment")
        return ExportedTranscript(header.get_filename(), response.content)

    async def meeting(self, meeting_id: str) -> dict[str, Any]:
        """How a meeting stands."""
        return await self._request_json("GET", f"/api/meetings/{meeting_id}")

    async def send(self, meeting_id: str, events: Sequence[dict[str, Any]]) -> SendResult:
        """Send events. Each has an `event_id`, so that sending a batch again does not double any.

        Where the meeting's lane is too far behind it waits as it is told to.

        Raises:
            Rejected: an event was refused; those before it in the batch may have been accepted.
        """
        result = await self._request_json("POST", f"/api/meetings/{meeting_id}/events", {"events": list(events)})
        return SendResult(result["accepted"], result["repeated"], result["refused"])

    async def sentences(self, meeting_id: str) -> list[dict[str, Any]]:
        """The meeting's sentences, last revisions, in reading order."""
        return (await self._request_json("GET", f"/api/meetings/{meeting_id}/sentences"))["sentences"]

    async def captions(self, meeting_id: str) -> list[dict[str, Any]]:
        """The meeting's captions in all languages, in reading order."""
        return (await self._request_json("GET", f"/api/meetings/{meeting_id}/captions"))["captions"]

    async def lanes(self) -> list[dict[str, Any]]:
        """All lanes, and how they do."""
        return (await self._request_json("GET", "/api/lanes"))["lanes"]

    async def models(self) -> dict[str, Any]:
        """The models' configuration in force, and how its engines stand."""
        return await self._request_json("GET", "/api/models")

    async def model_versions(self, limit: int) -> dict[str, Any]:
        """The last `versions` of it, the newest first, and the numbers of those that are `unreadable` there."""
        return await self._request_json("GET", "/api/models/versions", params={"limit": limit})

    async def change_models(self, config: dict[str, Any], note: str, expected_version: int | None) -> dict[str, Any]:
        """Put a configuration in force, unless another one than `expected_version` is, where that is given."""
        return await self._request_json(
            "PUT", "/api/models", {"config": config, "note": note, "expected_version": expected_version}
        )

    async def roll_back_models(self, version: int | None) -> dict[str, Any]:
        """Put an older version in force again; the one before, where none is named."""
        return await self._request_json("POST", "/api/models/rollback", {"version": version})

    async def add_lane(self, kind: str) -> dict[str, Any]:
        """Add a lane."""
        return await self._request_json("POST", "/api/lanes", {"kind": kind})

    async def drain_lane(self, lane_id: str) -> dict[str, Any]:
        """Have a lane give its meetings to others, and stop."""
        return await self._request_json("POST", f"/api/lanes/{lane_id}/drain")

    async def move_meeting(self, meeting_id: str, lane_id: str) -> dict[str, Any]:
        """Have a meeting go on in another lane."""
        return await self._request_json("POST", f"/api/meetings/{meeting_id}/move", {"lane": lane_id})

    async def dead_letters(self, meeting_id: str | None, limit: int, before: int | None = None) -> dict[str, Any]:
        """A page of dead letters, newest first, at most `limit` (up to 200); only a meeting's, if one is named."""
        parameters = {"limit": limit, "meeting": meeting_id, "before": before}
        set_parameters = {name: value for name, value in parameters.items() if value is not None}
        return await self._request_json("GET", "/api/dead-letters", params=set_parameters)

    async def dead_letter(self, dead_letter_id: int) -> dict[str, Any]:
        """A dead letter, whole."""
        return await self._request_json("GET", f"/api/dead-letters/{dead_letter_id}")

    async def resubmit(self, dead_letter_id: int) -> dict[str, Any]:
        """Put what a dead letter holds in again.

        Raises:
            Rejected: it can't be.
        """
        return await self._request_json("POST", f"/api/dead-letters/{dead_letter_id}/resubmit")

    async def _request_json(
        self, method: str, path: str, body: dict[str, Any] | None = None, params: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        return (await self._request(method, path, body, params)).json()

    async def _request(
        self, method: str, path: str, body: dict[str, Any] | None = None, params: dict[str, Any] | None = None
    ) -> httpx.Response:
        deadline = asyncio.get_running_loop().time() + LAG_TIMEOUT_S
        while True:
            response = await self._send_with_retries(method, path, body, params)
            if response.is_success:
                return response
            if response.json()["type"] != LAG_PROBLEM_TYPE or asyncio.get_running_loop().time() > deadline:
                raise ApiError(_problem_summary(response))
            await asyncio.sleep(_retry_after_s(response))

    async def _send_with_retries(
        self, method: str, path: str, body: dict[str, Any] | None, params: dict[str, Any] | None
    ) -> httpx.Response:
        """What the server has to say, be it a problem. One that can't be reached, or can't answer yet, is asked again."""
        async for attempt in stamina.retry_context(
            on=UnavailableError, attempts=None, timeout=RETRY_TIMEOUT_S, wait_max=5.0
        ):
            with attempt:
                try:
                    response = await self._http.request(method, path, json=body, params=params)
                except httpx.TransportError as error:
                    raise UnavailableError(f"{self._http.base_url} can't be reached: {type(error).__name__}") from error
                is_api_response = response.is_success or response.headers.get("content-type", "").startswith(
                    PROBLEM_MEDIA_TYPE
                )
                if response.status_code == int(httpx.codes.SERVICE_UNAVAILABLE) or not is_api_response:
                    # Words that aren't our API's: it is still starting, or something before it can't reach it.
                    await asyncio.sleep(_retry_after_s(response))
                    raise UnavailableError(f"{path}: {response.status_code}")
                return response
        raise AssertionError("retries end with an answer or an error")


def _retry_after_s(response: httpx.Response) -> float:
    """Seconds for which an answer asks to wait. A date counts as none: a retry pauses by itself."""
    try:
        seconds = float(response.headers.get("Retry-After", 0))
    except ValueError:
        return 0.0
    return min(seconds, MAX_RETRY_AFTER_S) if seconds > 0 else 0.0


def _problem_summary(response: httpx.Response) -> str:
    """The server's problem (RFC 9457) in one line."""
    problem = response.json()
    fields = "; ".join(f"{e['field']}: {e['detail']}" for e in problem.get("errors", []))
    return f"{problem.get('title', response.status_code)}: {fields or problem.get('detail', '')}"
