"""Tests serve/http/problems.py."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from redis.exceptions import BusyLoadingError, MasterDownError, ReadOnlyError
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy.exc import OperationalError

from operators.entries import Chunk
from operators.errors import ConflictError, InvalidInputError, NotFoundError, UnavailableError
from serve.http.problems import BatchValidationError, FieldError, install_error_handlers, problem_response


async def get_response(error: Exception | None, method: str = "GET", path: str = "/", **request: Any) -> httpx.Response:
    """Return an application's response if a route raises this error."""
    app = FastAPI()
    install_error_handlers(app)

    @app.get("/")
    async def fail() -> None:
        assert error is not None
        raise error

    @app.post("/chunks/{number}")
    async def take(number: int, chunk: Chunk) -> None:
        pass

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.request(method, path, **request)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidInputError("start", "must be a number"), 422, "invalid"),
        (BatchValidationError([FieldError("events.1.kind", "must be chunk")], {"results": []}), 422, "invalid"),
        (NotFoundError("there is no meeting 1"), 404, "unknown"),
        (ConflictError("ended", "start a new one"), 409, "refused"),
        (UnavailableError("try again"), 503, "unavailable"),
        (RedisConnectionError("redis://user:password@host"), 503, "unavailable"),
        (BusyLoadingError("password"), 503, "unavailable"),
        (ReadOnlyError("password"), 503, "unavailable"),
        (MasterDownError("password"), 503, "unavailable"),
        (OperationalError("select 'speech'", {}, Exception("host=db password=x")), 503, "unavailable"),
        (HTTPException(418, "no coffee"), 418, "i'm-a-teapot"),
        (ZeroDivisionError("speech"), 500, "failed"),
    ],
)
async def test_every_error_is_a_problem(error: Exception, status: int, code: str) -> None:
    response = await get_response(error)
    body = response.json()
    assert response.status_code == body["status"] == status
    assert response.headers["content-type"] == "application/problem+json"
    assert body["type"] == f"urn:parley:problem:{code}"
    assert body["title"]
    assert body["detail"]
    assert "speech" not in response.text
    assert "password" not in response.text


async def test_an_unknown_path_is_a_problem() -> None:
    missing = await get_response(None, path="/nowhere")
    wrong_method = await get_response(None, "DELETE")
    assert (missing.status_code, wrong_method.status_code) == (404, 405)
    assert missing.json()["type"] == "urn:parley:problem:not-found"
    assert wrong_method.headers["allow"] == "GET"


@pytest.mark.parametrize("media", [None, "text/plain", "application/x-www-form-urlencoded"])
async def test_json_without_its_content_type_is_named(media: str | None) -> None:
    chunk = {"chunk_id": "1", "speaker": "A", "text": "speech", "start": 1, "end": 2}
    headers = {} if media is None else {"content-type": media}
    response = await get_response(None, "POST", "/chunks/1", content=json.dumps(chunk), headers=headers)
    assert response.status_code == 422
    assert response.json()["errors"] == [{"field": "content-type", "detail": "must be application/json"}]
    assert "speech" not in response.text
    headers = {"content-type": "application/json; charset=utf-8"}
    assert (
        await get_response(None, "POST", "/chunks/1", content=json.dumps(chunk), headers=headers)
    ).status_code == 200
    response = await get_response(None, "POST", "/chunks/1", content="[]", headers=headers)
    assert response.json()["errors"][0]["field"] == "body"


async def test_a_problem_has_further_members() -> None:
    assert (await get_response(ConflictError("paused", "resume it"))).json()["reason"] == "paused"
    assert (await get_response(InvalidInputError("a.b", "must be c"))).json()["errors"] == [
        {"field": "a.b", "detail": "must be c"}
    ]
    assert (await get_response(UnavailableError("later"))).headers["retry-after"] == "2"


async def test_a_loading_redis_is_not_reported_as_unreachable() -> None:
    assert "is loading its data" in (await get_response(BusyLoadingError())).json()["detail"]


async def test_the_request_is_never_quoted() -> None:
    chunk = {
        "chunk_id": "1",
        "speaker": "A",
        "text": "Hi",
        "start": "speech",
        "end": 2,
        "language": "speech",
        "x": "speech",
    }
    response = await get_response(None, "POST", "/chunks/speech", json=chunk)
    assert response.status_code == 422
    assert {error["field"] for error in response.json()["errors"]} == {"number", "start", "language", "x"}
    assert "speech" not in response.text


def test_a_problem_without_invalid_fields_has_no_errors() -> None:
    assert b"errors" not in bytes(problem_response("x", 404, "gone").body)
