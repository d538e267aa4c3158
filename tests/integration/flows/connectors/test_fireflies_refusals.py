"""What Fireflies refuses: by the account's plan, for one meeting, for the whole account, or for a moment."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from operators.errors import InvalidInputError, MisconfiguredError, NotFoundError, UnavailableError
from operators.sources.fireflies_transcripts import parse_transcript
from storage.ingest.request_budget import RequestBudget
from storage.source_apis.fireflies import PLANS, FirefliesApi

pytestmark = pytest.mark.usefixtures("clean_database")

SENTENCE = {"index": 0, "text": "Hello all.", "start_time": 0, "end_time": 1, "speaker_name": "Ana"}
TRANSCRIPT: dict[str, Any] = {"id": "a", "title": "A", "is_live": False, "sentences": [SENTENCE]}
Answer = Callable[[str], tuple[int, Any]]


def error(code: str, status: int, *path: str | int, **metadata: Any) -> dict[str, Any]:
    """Return an error in the documented form."""
    extensions = {"code": code, "status": status, "metadata": metadata}
    where = {"path": list(path)} if path else {}
    return {"message": f"a message about {code}", "code": code, "friendly": True, "extensions": extensions} | where


def always(status: int, body: Any) -> Answer:
    """Return a function that answers each query the same."""

    def answer(_query: str) -> tuple[int, Any]:
        return status, body

    return answer


@pytest.fixture
def open_api(redis_async: Any) -> Callable[..., FirefliesApi]:
    """Return a function that returns the client of an API with these answers to queries."""

    def build(answer: Answer, plan: str = "business") -> FirefliesApi:
        def respond(request: httpx.Request) -> httpx.Response:
            status, body = answer(request.content.decode())
            return httpx.Response(status, json=body)

        http = httpx.AsyncClient(transport=httpx.MockTransport(respond))
        budget = RequestBudget(redis_async, "fireflies", "a-key", PLANS[plan])
        return FirefliesApi(http, "http://127.0.0.1", "a-key", budget)

    return build


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        ("free", set[str]()),
        ("pro", {"audio_url", "analytics"}),
        ("business", {"audio_url", "video_url", "analytics"}),
        ("enterprise", {"audio_url", "video_url", "analytics"}),
    ],
)
async def test_the_plan_decides_the_fields(
    open_api: Callable[..., FirefliesApi], plan: str, expected: set[str]
) -> None:
    queries: list[str] = []

    def answer(query: str) -> tuple[int, Any]:
        queries.append(query)
        return 200, {"data": {"transcript": TRANSCRIPT}}

    await open_api(answer, plan).read_transcript("a")
    [query] = queries
    assert set(re.findall("audio_url|video_url|analytics", query)) == expected


async def test_a_field_that_the_plan_lacks_is_left_out(open_api: Callable[..., FirefliesApi]) -> None:
    errors = [
        error("paid_required", 403, "transcript", "video_url"),
        error("forbidden", 403, "transcript", "sentences", 0, "ai_filters"),
        error("INTERNAL_SERVER_ERROR", 500, "transcript", "summary"),
    ]
    data = {"transcript": TRANSCRIPT | {"video_url": None, "audio_url": "https://example.com/a.mp3"}}
    api = open_api(always(200, {"data": data, "errors": errors}))
    transcript = parse_transcript(await api.read_transcript("a"))
    assert [chunk.text for chunk in transcript.chunks] == ["Hello all."]
    assert transcript.metadata == {"audio_url": "https://example.com/a.mp3"}
    assert len(await api.read_sentences("a")) == 1


@pytest.mark.parametrize("status", [200, 403])
@pytest.mark.parametrize("data", [{"transcript": None}, {}, None])
async def test_a_refusal_of_the_whole_query_is_followed_by_a_minimal_one(
    open_api: Callable[..., FirefliesApi], status: int, data: Any
) -> None:
    queries: list[str] = []

    def answer(query: str) -> tuple[int, Any]:
        queries.append(query)
        if "summary {" in query:
            return status, {"data": data, "errors": [error("paid_required", 403, "transcript")]}
        return 200, {"data": {"transcript": TRANSCRIPT}}

    assert (await open_api(answer).read_transcript("a"))["sentences"] == [SENTENCE]
    assert len(queries) == 2


async def test_a_plan_without_transcripts_is_named_after_two_requests(open_api: Callable[..., FirefliesApi]) -> None:
    api = open_api(always(200, {"data": None, "errors": [error("paid_required", 403)]}))
    with pytest.raises(InvalidInputError, match=r"^plan: the account's plan at Fireflies does not include"):
        await api.read_transcript("a")
    assert (await api.budget.read()).remaining == 58


async def test_a_transcript_without_its_sentences_is_not_taken_for_an_empty_one(
    open_api: Callable[..., FirefliesApi],
) -> None:
    data = {"transcript": TRANSCRIPT | {"sentences": None}}
    errors = [error("INTERNAL_SERVER_ERROR", 500, "transcript", "sentences")]
    api = open_api(always(200, {"data": data, "errors": errors}))
    with pytest.raises(UnavailableError):
        await api.read_transcript("a")
    with pytest.raises(UnavailableError):
        await api.read_sentences("a")


@pytest.mark.parametrize(
    ("status", "problem", "expected", "words"),
    [
        (200, error("request_timeout", 408), UnavailableError, "status 408"),
        (200, error("invariant_violation", 500), UnavailableError, "status 500"),
        (200, {"message": "x", "code": "INTERNAL_SERVER_ERROR"}, UnavailableError, "internal_server_error"),
        (200, {"message": "x", "extensions": {"status": 503}}, UnavailableError, "status 503"),
        (408, {"message": "x"}, UnavailableError, "status 408"),
        (200, error("forbidden", 403), InvalidInputError, "transcript_id: this account may not read"),
        (403, error("forbidden", 403), InvalidInputError, "transcript_id: this account may not read"),
        (403, {"message": "x"}, MisconfiguredError, "check it at"),
        (200, error("auth_failed", 401), MisconfiguredError, "check it at"),
        (200, error("account_cancelled", 403), MisconfiguredError, "cancelled: renew its subscription"),
        (403, error("account_cancelled", 403), MisconfiguredError, "cancelled: renew its subscription"),
        (200, error("object_not_found", 404), NotFoundError, "does not have"),
        (200, error("something_new", 400), InvalidInputError, "transcript_id: .*something_new.*a message about"),
        (200, 7, InvalidInputError, "no code given"),
    ],
)
async def test_a_refusal_says_what_it_is(
    open_api: Callable[..., FirefliesApi], status: int, problem: Any, expected: type[Exception], words: str
) -> None:
    api = open_api(always(status, {"data": None, "errors": [problem]}))
    with pytest.raises(expected, match=words) as caught:
        await api.read_sentences("a")
    assert isinstance(caught.value, MisconfiguredError) == (expected is MisconfiguredError)


@pytest.mark.parametrize(
    ("problem", "field"),
    [
        (error("invalid_arguments", 400, fields=[{"name": "duration", "message": "too long"}]), "duration_min"),
        (error("invalid_arguments", 400, fields=[{"name": "language", "message": "unknown"}]), "language"),
        (error("invalid_language_code", 400), "language"),
        (error("unsupported_platform", 400), "meeting_link"),
        (error("invalid_arguments", 400, fields=["x"]), "meeting_link"),
    ],
)
async def test_a_refused_invitation_names_the_field_of_the_request(
    open_api: Callable[..., FirefliesApi], problem: Any, field: str
) -> None:
    api = open_api(always(200, {"data": None, "errors": [problem]}))
    with pytest.raises(InvalidInputError) as caught:
        await api.invite_notetaker("https://example.com/a", duration_min=500, language="xx")
    assert caught.value.field == field


async def test_a_limit_beside_other_errors_blocks_further_requests(open_api: Callable[..., FirefliesApi]) -> None:
    errors = [error("paid_required", 403, "transcript", "summary"), error("too_many_requests", 429, "transcript", "x")]
    api = open_api(always(200, {"data": {"transcript": TRANSCRIPT}, "errors": errors}))
    with pytest.raises(UnavailableError, match="too many requests"):
        await api.read_transcript("a")
    assert (await api.budget.read()).remaining == 0
