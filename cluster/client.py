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

from operators.errors import ParleyError, Unavailable

PROBLEM = "application/problem+json"
LAG = "urn:parley:problem:lag"
"""The type of the problem that passes by itself."""
TIMEOUT = 30.0
"""Seconds one request may take."""
RETRY_FOR = 120.0
"""Seconds a request is tried again for, where the server can't be reached or is overloaded."""
CATCH_UP_FOR = 3600.0
"""Seconds events are sent again for, where their meeting's lane is behind: it works off what it has."""
LONGEST_WAIT = 60.0
"""Seconds waited at most where an answer asks for it: what stands before the server may say anything."""
PATIENCE = 15.0
"""Seconds a server has to say that it is there: on a machine that has much else to do, a Parley may take some."""

Answering = Literal["parley", "other", "nobody"]


def who_answers(url: str) -> Answering:
    """Who answers at an address, asked once: Parley, something else (or a Parley that is still starting), or nobody."""
    try:
        answer = httpx.get(f"{url}/health", timeout=PATIENCE, trust_env=not _is_here(url))
        return "parley" if answer.is_success and answer.json() == {"status": "up"} else "other"
    except (httpx.ConnectError, httpx.ConnectTimeout):
        return "nobody"
    except (httpx.TransportError, ValueError):
        return "other"


def _is_here(url: str) -> bool:
    """Whether an address is this machine's: a proxy that the environment names is for the world outside."""
    return httpx.URL(url).host in ("127.0.0.1", "localhost", "::1")


class Rejected(ParleyError):
    """The server refused a request. The message is the server's own: what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a batch of events."""

    accepted: int
    repeated: int
    refused: int


@dataclass(frozen=True, slots=True)
class Export:
    """A transcript as a file: the name that the server gives it, if any, and what it holds."""

    name: str | None
    content: bytes


class Client:
    """Talks to one server.

    Args:
        url: `http://127.0.0.1:8000`.
    """

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=TIMEOUT, trust_env=not _is_here(url))

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def open_meeting(self, body: dict[str, Any]) -> dict[str, Any]:
        """Open a meeting; one with the same external id is found again."""
        return await self._call("POST", "/api/meetings", body)

    async def meetings(self, statuses: Sequence[str], limit: int) -> list[dict[str, Any]]:
        """The newest meetings, at most `limit` (up to 200); only those of the given statuses, if any are."""
        wanted = {"limit": limit, "status": list(statuses)}
        return (await self._call("GET", "/api/meetings", params=wanted))["meetings"]

    async def end_meeting(self, meeting_id: str, reason: str | None) -> dict[str, Any]:
        """End a meeting; one that is over stays so."""
        body = {} if reason is None else {"reason": reason}
        return await self._call("POST", f"/api/meetings/{meeting_id}/end", body)

    async def export(self, meeting_id: str, wanted: dict[str, str]) -> Export:
        """A meeting's transcript as a file.

        Args:
            wanted: its `format`, `text` and `language`; the server chooses what is left out.
        """
        response = await self._request("GET", f"/api/meetings/{meeting_id}/export", params=wanted)
        header = EmailMessage()
        header["Content-Disposition"] = response.headers.get("content-disposition", "attachment")
        return Export(header.get_filename(), response.content)

    async def meeting(self, meeting_id: str) -> dict[str, Any]:
        """How a meeting stands."""
        return await self._call("GET", f"/api/meetings/{meeting_id}")

    async def send(self, meeting_id: str, events: Sequence[dict[str, Any]]) -> Sent:
        """Send events. Each has an `event_id`, so that sending a batch again does not double any.

        Where the meeting's lane is too far behind it waits as it is told to.

        Raises:
            Rejected: an event was refused; those before it in the batch may have been accepted.
        """
        answer = await self._call("POST", f"/api/meetings/{meeting_id}/events", {"events": list(events)})
        return Sent(answer["accepted"], answer["repeated"], answer["refused"])

    async def sentences(self, meeting_id: str) -> list[dict[str, Any]]:
        """The meeting's sentences, last revisions, in reading order."""
        return (await self._call("GET", f"/api/meetings/{meeting_id}/sentences"))["sentences"]

    async def captions(self, meeting_id: str) -> list[dict[str, Any]]:
        """The meeting's captions in all languages, in reading order."""
        return (await self._call("GET", f"/api/meetings/{meeting_id}/captions"))["captions"]

    async def lanes(self) -> list[dict[str, Any]]:
        """All lanes, and how they do."""
        return (await self._call("GET", "/api/lanes"))["lanes"]

    async def models(self) -> dict[str, Any]:
        """The models' configuration in force, and how its engines stand."""
        return await self._call("GET", "/api/models")

    async def model_versions(self, limit: int) -> dict[str, Any]:
        """The last `versions` of it, the newest first, and the numbers of those that are `unreadable` there."""
        return await self._call("GET", "/api/models/versions", params={"limit": limit})

    async def change_models(self, config: dict[str, Any], note: str, expected_version: int | None) -> dict[str, Any]:
        """Put a configuration in force, unless another one than `expected_version` is, where that is given."""
        return await self._call(
            "PUT", "/api/models", {"config": config, "note": note, "expected_version": expected_version}
        )

    async def roll_back_models(self, version: int | None) -> dict[str, Any]:
        """Put an older version in force again; the one before, where none is named."""
        return await self._call("POST", "/api/models/rollback", {"version": version})

    async def add_lane(self, kind: str) -> dict[str, Any]:
        """Add a lane."""
        return await self._call("POST", "/api/lanes", {"kind": kind})

    async def drain_lane(self, lane_id: str) -> dict[str, Any]:
        """Have a lane give its meetings to others, and stop."""
        return await self._call("POST", f"/api/lanes/{lane_id}/drain")

    async def move_meeting(self, meeting_id: str, lane_id: str) -> dict[str, Any]:
        """Have a meeting go on in another lane."""
        return await self._call("POST", f"/api/meetings/{meeting_id}/move", {"lane": lane_id})

    async def dead_letters(self, meeting_id: str | None, limit: int, before: int | None = None) -> dict[str, Any]:
        """A page of dead letters, newest first, at most `limit` (up to 200); only a meeting's, if one is named."""
        wanted = {"limit": limit, "meeting": meeting_id, "before": before}
        known = {name: value for name, value in wanted.items() if value is not None}
        return await self._call("GET", "/api/dead-letters", params=known)

    async def dead_letter(self, letter_id: int) -> dict[str, Any]:
        """A dead letter, whole."""
        return await self._call("GET", f"/api/dead-letters/{letter_id}")

    async def resubmit(self, letter_id: int) -> dict[str, Any]:
        """Put what a dead letter holds in again.

        Raises:
            Rejected: it can't be.
        """
        return await self._call("POST", f"/api/dead-letters/{letter_id}/resubmit")

    async def _call(
        self, method: str, path: str, body: dict[str, Any] | None = None, params: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        return (await self._request(method, path, body, params)).json()

    async def _request(
        self, method: str, path: str, body: dict[str, Any] | None = None, params: dict[str, Any] | None = None
    ) -> httpx.Response:
        until = asyncio.get_running_loop().time() + CATCH_UP_FOR
        while True:
            response = await self._answer(method, path, body, params)
            if response.is_success:
                return response
            if response.json()["type"] != LAG or asyncio.get_running_loop().time() > until:
                raise Rejected(_explain(response))
            await asyncio.sleep(_told_to_wait(response))

    async def _answer(
        self, method: str, path: str, body: dict[str, Any] | None, params: dict[str, Any] | None
    ) -> httpx.Response:
        """What the server has to say, be it a problem. One that can't be reached, or can't answer yet, is asked again."""
        async for attempt in stamina.retry_context(on=Unavailable, attempts=None, timeout=RETRY_FOR, wait_max=5.0):
            with attempt:
                try:
                    response = await self._http.request(method, path, json=body, params=params)
                except httpx.TransportError as error:
                    raise Unavailable(f"{self._http.base_url} can't be reached: {type(error).__name__}") from error
                ours = response.is_success or response.headers.get("content-type", "").startswith(PROBLEM)
                if response.status_code == int(httpx.codes.SERVICE_UNAVAILABLE) or not ours:
                    # Words that aren't our API's: it is still starting, or something before it can't reach it.
                    await asyncio.sleep(_told_to_wait(response))
                    raise Unavailable(f"{path}: {response.status_code}")
                return response
        raise AssertionError("retries end with an answer or an error")


def _told_to_wait(response: httpx.Response) -> float:
    """Seconds for which an answer asks to wait. A date counts as none: a retry pauses by itself."""
    try:
        seconds = float(response.headers.get("Retry-After", 0))
    except ValueError:
        return 0.0
    return min(seconds, LONGEST_WAIT) if seconds > 0 else 0.0


def _explain(response: httpx.Response) -> str:
    """The server's problem (RFC 9457) in one line."""
    problem = response.json()
    fields = "; ".join(f"{e['field']}: {e['detail']}" for e in problem.get("errors", []))
    return f"{problem.get('title', response.status_code)}: {fields or problem.get('detail', '')}"
