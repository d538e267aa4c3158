"""Answers of a GraphQL API that are too large, partly unreadable, or never come: what is bad fails alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import redis
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from operators.address_check import AddressRule
from operators.errors import MalformedResponseError
from operators.meeting_config import MeetingConfig
from storage.ingest.request_budget import RequestBudget
from storage.outbound_connections import RefusedAddressError, open_http_client
from storage.postgres import source_import_runs, source_imports
from storage.postgres.lane_registry import ensure_lane
from storage.postgres.source_accounts import StoredSecret
from storage.source_apis.fireflies import PLANS, FirefliesApi
from tests.harness.api.server_thread import run_app
from tests.integration.flows.connectors.fireflies_harness import CIPHER, ConnectorHarness, running_connector

pytestmark = pytest.mark.usefixtures("clean_database")

KEY = StoredSecret(encrypted=CIPHER.encrypt("a-key"))
NOON_MS = 1_790_000_000_000
PAGE = [
    {"id": "first", "title": "Readable", "date": NOON_MS},
    None,
    {"id": "half", "title": "half a character: \ud800", "date": NOON_MS},
    {"id": 7, "title": "no text", "date": True},
    {"id": "last", "title": None, "date": "yesterday"},
]
ISSUES = [
    "number 2 of the page: transcript: must be a JSON object",
    "number 3 of the page (half): fields: must not contain a lone surrogate (half a character)",
    "number 4 of the page: id: Input should be a valid string",
]


class HostileApi:
    """A GraphQL API with an endless transcript `endless`, a transcript `silent` without an answer, and a page of `PAGE`."""

    def __init__(self) -> None:
        self.sent_bytes = 0

    async def answer(self, request: Request) -> Response:
        """Answer a request."""
        query = await request.json()
        match query["variables"].get("id"):
            case None:
                errors = [{"message": "forbidden", "code": "forbidden", "path": ["transcripts", 1]}]
                content = json.dumps({"data": {"transcripts": PAGE}, "errors": errors})
                return Response(content, media_type="application/json")
            case "endless":
                return StreamingResponse(self._send_endlessly(), media_type="application/json")
            case "silent":
                while not await request.is_disconnected():
                    await asyncio.sleep(0.1)
                return Response(status_code=503)
            case name:
                sentence = {"index": 0, "text": "Hello all.", "start_time": 0, "end_time": 1, "speaker_name": "Ana"}
                transcript = {"id": name, "title": name, "date": NOON_MS, "sentences": [sentence]}
                return JSONResponse({"data": {"transcript": transcript}})

    async def _send_endlessly(self) -> AsyncIterator[bytes]:
        while True:
            self.sent_bytes += 2**20
            yield b" " * 2**20
            # Else a client that is gone is never noticed.
            await asyncio.sleep(0)


@pytest.fixture
def hostile() -> HostileApi:
    return HostileApi()


@pytest.fixture
def url(hostile: HostileApi) -> Iterator[str]:
    with run_app(Starlette(routes=[Route("/graphql", hostile.answer, methods=["POST"])])) as address:
        yield address


@pytest.fixture
async def harness(aengine: AsyncEngine, redis_async: Any, redis_sync: redis.Redis) -> ConnectorHarness:
    async with aengine.begin() as conn:
        await ensure_lane(conn, "batch-1", "batch")
    return ConnectorHarness(aengine, redis_async, redis_sync)


async def test_no_more_of_a_response_is_read_than_the_limit(hostile: HostileApi, url: str, redis_async: Any) -> None:
    budget = RequestBudget(redis_async, "fireflies", "a-key", PLANS["business"])
    async with httpx.AsyncClient() as http:
        api = FirefliesApi(http, url, "a-key", budget)
        with pytest.raises(MalformedResponseError, match="more than 64 MiB"):
            await api.read_transcript("endless")
    assert hostile.sent_bytes < 100 * 2**20


async def test_a_refused_address_gets_no_request(hostile: HostileApi, url: str, redis_async: Any) -> None:
    budget = RequestBudget(redis_async, "fireflies", "a-key", PLANS["business"])
    for host in ("127.0.0.1", "localhost"):
        async with open_http_client(AddressRule()) as http:
            api = FirefliesApi(http, url.replace("127.0.0.1", host), "a-key", budget)
            with pytest.raises(RefusedAddressError, match="is not public"):
                await api.read_transcript("one")
    async with open_http_client(AddressRule(loopback_allowed=True)) as http:
        assert (await FirefliesApi(http, url, "a-key", budget).read_transcript("one"))["id"] == "one"


async def test_unreadable_transcripts_of_a_page_are_named_and_the_others_imported(
    harness: ConnectorHarness, url: str
) -> None:
    async with harness.database.begin() as conn:
        await source_import_runs.add_run(
            conn,
            team_id="default",
            source="fireflies",
            since=datetime(2020, 1, 1, tzinfo=UTC),
            key=KEY,
            options={"plan": "business", "api_base_url": url},
            config=MeetingConfig(),
        )
    async with running_connector(harness):
        while True:
            async with harness.database.connect() as conn:
                run = await source_import_runs.read_latest_run(conn, "default", "fireflies")
                counts = await source_imports.count_imports(conn, "default", "fireflies")
            assert run is not None
            if run.state in ("done", "failed") and counts["queued"] == counts["running"] == 0:
                break
            await asyncio.sleep(0.05)
    assert (run.state, run.listed_count, run.queued_count, run.issue_count) == ("done", 5, 2, 3)
    assert list(run.issues) == ISSUES
    assert counts == {"queued": 0, "running": 0, "done": 2, "failed": 0}


async def test_a_slow_import_does_not_stop_the_others(harness: ConnectorHarness, url: str) -> None:
    names = ["silent", "one", "two", "three"]
    async with harness.database.begin() as conn:
        for name in names:
            await source_imports.queue_import(
                conn,
                team_id="default",
                source="fireflies",
                external_id=name,
                config=MeetingConfig(),
                key=KEY,
                options={"plan": "business", "api_base_url": url},
            )
    async with running_connector(harness):
        while True:
            async with harness.database.connect() as conn:
                counts = await source_imports.count_imports(conn, "default", "fireflies")
            if counts["done"] == 3:
                break
            await asyncio.sleep(0.05)
        assert counts == {"queued": 0, "running": 1, "done": 3, "failed": 0}
