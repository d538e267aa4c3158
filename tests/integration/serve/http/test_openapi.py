"""The OpenAPI description has exactly the problems that each route can answer with; the tests provoke each problem."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from jsonschema import Draft202012Validator

from cluster.fireflies_sim.simulator import DEFAULT_API_KEY, FirefliesSimulator
from operators.engine_config import EnginesConfig
from operators.insight_requests import InsightRole
from serve.app_options import ApiOptions
from serve.http.problems import Problem
from storage import redis_keys
from storage.glossaries import glossary_queries
from storage.notes import note_queries
from storage.postgres import transcript_imports
from storage.postgres.engine_config_versions import save_settings_config
from storage.postgres.token_usage import add_usage
from tests.harness.api.fireflies_account import sign, store_account, store_session
from tests.harness.api.intelligence_engines import serve_intelligence
from tests.harness.api.server_thread import run_api
from tests.harness.lane.fake_lane_writer import FakeLaneWriter, make_sentence
from tests.harness.processes.parley_command import run_parley
from tests.integration.serve.http.test_dead_letter_routes import store_dead_letter
from tests.integration.serve.http.test_webhook_routes import store_disabled_webhook

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness", "tests.harness.api.fireflies_account"]

CHUNK = {"chunk_id": "1", "speaker": "Ann", "text": "Good morning.", "start": 0, "end": 1}
EVENTS = "post /api/meetings/{meeting_id}/events"
TEMPLATE = {
    "system_prompt": "You list risks.",
    "prompt_template": "List the risks in $transcript. $instructions",
    "expected_output_format": "markdown",
}
SESSION = "/api/intelligence/sessions/{meeting_id}"
WEBHOOK = "post /api/fireflies/webhook"
BODIES: dict[str, Any] = {
    "post /api/meetings": {},
    "patch /api/meetings/{meeting_id}/config": {"style": "formal"},
    "post /api/meetings/{meeting_id}/end": {},
    "post /api/imports": {
        "at": 1,
        "payload": {"chunk_id": "1", "speaker_name": "Ann", "text": "Hi.", "start_time": 0, "end_time": 1},
    },
    EVENTS: {"events": [{"payload": CHUNK}]},
    "post /api/meetings/{meeting_id}/move": {"lane": "live-1"},
    "patch /api/meetings/{meeting_id}/sentences/{sentence_id}": {"text": "Good evening.", "revision": 7},
    "post /api/meetings/{meeting_id}/speakers/rename": {"speaker": "Ann", "name": "Anna"},
    "post /api/lanes": {},
    "put /api/engine-config": {"config": {}, "expected_version": 7},
    "post /api/engine-config/rollback": {},
    "post /api/webhooks": {"url": "https://1.1.1.1/hook"},
    "patch /api/webhooks/{webhook_id}": {"enabled": False},
    "post /api/webhooks/{webhook_id}/replay": {"since": "2026-11-30T00:00:00Z"},
    "put /api/sources/{source}": {"target_languages": ["de"]},
    "post /api/sources/{source}/events": {
        "trigger": "transcript.update",
        "bot_id": "bot_1",
        "data": {"speaker_uuid": "1", "timestamp_ms": 0, "transcription": {"transcript": "Good morning."}},
    },
    "put /api/fireflies/config": {"api_key": "key-without-a-cipher"},
    "put /api/fireflies/config/translation": {},
    "post /api/fireflies/validate-key": {},
    "post /api/fireflies/connect": {"transcript_id": "none"},
    "post /api/fireflies/disconnect": {"transcript_id": "nowhere"},
    "post /api/fireflies/sessions/{session_id}/pause": {"recording": True},
    "post /api/fireflies/sessions/{session_id}/resume": {"recording": True},
    "put /api/fireflies/sessions/{session_id}/target-languages": {"target_languages": ["pt"]},
    "put /api/fireflies/sessions/{session_id}/display-mode": {"display_mode": "both"},
    "post /api/fireflies/meetings": {},
    "post /api/fireflies/transcripts": {},
    "post /api/fireflies/transcript/{transcript_id}": {},
    "post /api/fireflies/invite-bot": {"meeting_link": "https://meet.google.com/abc-defg-hij"},
    "post /api/fireflies/import/{transcript_id}": {},
    "post /api/fireflies/sync-all": {"since": "2026-11-01"},
    WEBHOOK: {"event": "meeting.transcribed", "meeting_id": "none"},
    "post /api/captions/{session_id}": {"text": "Good morning.", "start_time": 1},
    "post /api/glossaries": {"name": "Products"},
    "post /api/glossaries/lookup": {"text": "Good morning.", "language": "de"},
    "patch /api/glossaries/{glossary_id}": {"name": "Products"},
    "post /api/glossaries/{glossary_id}/entries": {"term": "Parley"},
    "patch /api/glossaries/{glossary_id}/entries/{entry_id}": {"term": "Parley"},
    "post /api/glossaries/{glossary_id}/import": "term,de\nsprint,Sprint\n",
    "post /api/glossaries/{glossary_id}/lookup": {"text": "Good morning.", "language": "de"},
    f"post {SESSION}/agent/conversations": {},
    "post /api/intelligence/agent/conversations": {},
    "post /api/intelligence/agent/conversations/{conversation_id}/messages": {"question": "Who?"},
    "post /api/intelligence/agent/conversations/{conversation_id}/messages/stream": {"question": "Who?"},
    f"post {SESSION}/insights/generate": {"templates": ["key_decisions"]},
    f"post {SESSION}/notes": {"text": "Ann pays."},
    f"post {SESSION}/notes/analyze": {"sentences": ["1.0"], "task": "List the questions."},
    "patch /api/intelligence/notes/{note_id}": {"pinned": True, "revision": 7},
    "post /api/intelligence/templates": {"name": "risks", **TEMPLATE},
    "put /api/intelligence/templates/{name}": TEMPLATE,
}
"""A valid body for each route that takes one."""
WITH_ANSWER_EXAMPLES = ("/api/webhooks", "/api/fireflies", "/api/sources", "/api/imports")
"""Paths whose routes have examples of their answers, too."""
PARAMETERS = {"get /api/search": {"q": "budget", "meeting": str(uuid4())}}
"""The query of each route that needs one."""
ID_PARAMETERS = ("glossary_id", "entry_id", "conversation_id", "message_id", "insight_id", "note_id")
MOST = 500
"""The most bytes of a body."""


class DescribedApi:
    """A running API with its OpenAPI description."""

    def __init__(self, client: httpx.AsyncClient, description: dict[str, Any]) -> None:
        self._client = client
        self.routes: dict[str, dict[str, Any]] = {
            f"{method} {path}": operation
            for path, operations in description["paths"].items()
            for method, operation in operations.items()
        }

        self.get_routes = {route for route in self.routes if route.startswith("get ")}

    def documented_routes(self, status: int) -> set[str]:
        """Return the routes that are described with a problem of this status."""
        return {
            route
            for route, operation in self.routes.items()
            if "application/problem+json" in operation["responses"].get(str(status), {}).get("content", {})
        }

    async def request_route(self, route: str, **options: Any) -> httpx.Response:
        """Send a route a request for something that doesn't exist."""
        method, path = route.split(" ")
        path_parameters = {"meeting_id": str(uuid4()), "letter_id": "1", "lane_id": "none", "source": "none"}
        path_parameters["sentence_id"] = "1.0"
        path_parameters |= {"webhook_id": str(uuid4()), "delivery_id": "1", "import_id": str(uuid4())}
        path_parameters |= {name: str(uuid4()) for name in ID_PARAMETERS} | {"language": "de", "name": "none"}
        path_parameters |= {"session_id": str(uuid4()), "transcript_id": uuid4().hex} | options.pop("places", {})
        options["params"] = PARAMETERS.get(route, {}) | options.get("params", {})
        if not options.keys() & {"content", "json"} and route in BODIES:
            options |= {"content": BODIES[route]} if isinstance(BODIES[route], str) else {"json": BODIES[route]}
        if route == WEBHOOK:
            body = options["content"] if "content" in options else json.dumps(options.pop("json")).encode()
            options |= {"content": body, "headers": options.get("headers", {}) | {"x-hub-signature": sign(body)}}
        async with self._client.stream(method, path.format(**path_parameters), **options) as answer:
            # A stream of live events doesn't end.
            if answer.status_code >= 400:
                await answer.aread()
        return answer

    async def routes_answering(self, status: int, **options: Any) -> set[str]:
        """Return the routes that answer a request with a problem of this status."""
        routes: set[str] = set()
        # GET requests have no body.
        for route in self.routes if "content" not in options else self.routes.keys() - self.get_routes:
            answer = await self.request_route(route, **options)
            if answer.status_code == status and answer.headers["content-type"] == "application/problem+json":
                assert Problem.model_validate_json(answer.content).status == status
                routes.add(route)
        return routes


@asynccontextmanager
async def run_described_api(postgres_url: str, redis_url: str, **options: Any) -> AsyncIterator[DescribedApi]:
    """Run an API on these stores."""
    limits = ApiOptions(postgres_url, redis_url, max_body=MOST, max_import=MOST, loopback_allowed=True, **options)
    with run_api(limits) as address:
        async with httpx.AsyncClient(base_url=address, timeout=60) as client:
            yield DescribedApi(client, (await client.get("/openapi.json")).json())


async def test_errors_of_a_request_are_described(
    stage: ApiHarness, postgres_url: str, redis_url: str, fireflies_secrets: None
) -> None:
    with FirefliesSimulator() as simulator:
        store_account(stage.engine, simulator.url)
        await check_errors_of_requests(postgres_url, redis_url)


async def check_errors_of_requests(postgres_url: str, redis_url: str) -> None:
    async with run_described_api(postgres_url, redis_url) as running:
        assert BODIES.keys() == {route for route, each in running.routes.items() if "requestBody" in each}
        as_json = {"content-type": "application/json"}
        assert await running.routes_answering(400, content=b"\xff", headers=as_json) == running.documented_routes(400)
        assert await running.routes_answering(403, headers={"host": "other.example"}) == running.documented_routes(403)
        assert await running.routes_answering(404) == running.documented_routes(404)
        assert await running.routes_answering(413, content=b" " * (MOST + 1)) == running.documented_routes(413)
        wrong = {
            "meeting_id": "x",
            "sentence_id": "x",
            "letter_id": "x",
            "lane_id": "%00",
            "source": "%00",
            "webhook_id": "x",
            "delivery_id": "x",
            "import_id": "x",
            "session_id": "x",
            "transcript_id": "%00",
            "language": "%00",
            "name": "%00",
            **dict.fromkeys(ID_PARAMETERS, "x"),
        }
        invalid = await running.routes_answering(422, places=wrong, params={"limit": "x", "days": "x"}, json=[])
        invalid |= await running.routes_answering(422, headers={"idempotency-key": "two words"})
        assert invalid == running.documented_routes(422)


async def test_every_schema_reference_is_defined(stage: ApiHarness) -> None:
    answer = await stage.http.get("/openapi.json")
    references = set(re.findall(r'"\$ref": ?"#/components/schemas/(\w+)"', answer.text))
    schemas = answer.json()["components"]["schemas"]
    assert {"Problem", "FieldError"} <= references <= schemas.keys()
    # FastAPI's own error, which this API never returns.
    assert "HTTPValidationError" not in schemas


async def test_the_command_prints_the_description_of_the_running_api(stage: ApiHarness, tmp_path: Path) -> None:
    served = (await stage.http.get("/openapi.json")).json()
    printed = run_parley("openapi")
    assert (printed.returncode, json.loads(printed.stdout)) == (0, served)
    path = tmp_path / "openapi.json"
    assert run_parley("openapi", "--output", path).returncode == 0
    assert path.read_text(encoding="utf-8") == printed.stdout


async def test_operation_ids_are_the_names_of_the_routes(stage: ApiHarness) -> None:
    paths = (await stage.http.get("/openapi.json")).json()["paths"]
    operation_ids = [operation["operationId"] for operations in paths.values() for operation in operations.values()]
    assert len(operation_ids) == len(set(operation_ids))
    assert paths["/api/meetings"]["post"]["operationId"] == "create_meeting"
    assert paths["/api/meetings"]["post"]["summary"] == "Create Meeting"
    assert {operation_id.partition("_")[0] for operation_id in operation_ids} <= {
        *(
            "add",
            "append",
            "change",
            "configure",
            "connect",
            "correct",
            "create",
            "delete",
            "disconnect",
            "drain",
            "end",
            "export",
        ),
        *("get", "import", "invite", "list", "move", "pause", "receive", "rename", "replay", "reset", "resubmit"),
        *("analyze", "ask", "generate", "look"),
        *("resume", "retry", "roll", "rotate", "search", "send", "start", "stop", "stream", "update", "validate"),
    }


async def test_unavailable_stores_are_described() -> None:
    async with run_described_api("postgresql://parley@127.0.0.1:1/parley", "redis://127.0.0.1:1/0") as running:
        places = {"source": "attendee"}
        assert await running.routes_answering(503, places=places) == running.documented_routes(503)
        assert "503" in running.routes["get /ready"]["responses"]
        assert (await running.request_route("get /ready")).status_code == 503


async def create_intelligence(stage: ApiHarness, meeting: str) -> dict[str, str]:
    """Create what the routes of glossaries and intelligence can have conflicts with, and return the ids."""

    async def create(path: str, body: dict[str, Any]) -> str:
        answer = await stage.http.post(path, json=body)
        assert answer.status_code == 201, answer.text
        return answer.json().get("id", "")

    await create("/api/glossaries", {"name": "Products"})
    glossary = await create("/api/glossaries", {"name": "Names"})
    await create(f"/api/glossaries/{glossary}/entries", {"term": "Parley"})
    entry = await create(f"/api/glossaries/{glossary}/entries", {"term": "road map"})
    await create("/api/intelligence/templates", {"name": "risks", **TEMPLATE})
    session = SESSION.format(meeting_id=meeting)
    return {
        "glossary_id": glossary,
        "entry_id": entry,
        "name": "key_decisions",
        "note_id": await create(f"{session}/notes", {"text": "Ann pays."}),
        "conversation_id": await create(f"{session}/agent/conversations", {}),
    }


async def test_conflicts_are_described(
    stage: ApiHarness, postgres_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = await stage.create_meeting()
    FakeLaneWriter(stage, ended).write_sentences(make_sentence("1.0", "Good morning.", 0.0))
    intelligence = await create_intelligence(stage, ended)
    # The API runs in a thread of this process.
    monkeypatch.setattr(glossary_queries, "MAX_ENTRIES", 2)
    monkeypatch.setattr(note_queries, "MAX_NOTES", 1)
    assert (await stage.http.post(f"/api/meetings/{ended}/end")).is_success
    stage.set_status(ended, "ended")
    stage.redis.flushdb()
    with stage.engine.begin() as conn:
        save_settings_config(conn, EnginesConfig())
    session = str(store_session(stage.engine, ended))
    places = {
        "meeting_id": ended,
        "letter_id": str(store_dead_letter(stage, ended)),
        "lane_id": "live-1",
        "session_id": session,
        **intelligence,
    }
    # A webhook that is disabled, in an API without a key for secrets.
    places["webhook_id"] = store_disabled_webhook(stage)
    async with run_described_api(postgres_url, redis_url) as running:
        # With a second lane, draining the first would succeed.
        tried = running.routes.keys() - {"post /api/lanes", "delete /api/webhooks/{webhook_id}"}
        # What a route deletes, no other finds. Only an unchanged default template can't be deleted.
        last = {"put /api/intelligence/templates/{name}"}
        tried = sorted(tried, key=lambda route: (route in last, route.startswith("delete")))
        found = {route for route in tried if (await running.request_route(route, places=places)).status_code == 409}
        assert found == running.documented_routes(409)


async def test_overload_is_described(
    stage: ApiHarness,
    postgres_url: str,
    redis_url: str,
    fireflies_secrets: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage.add_uncommitted_entry()
    # The API runs in a thread of this process.
    monkeypatch.setattr(transcript_imports, "MAX_UNFINISHED", 0)
    store_account(stage.engine, "http://127.0.0.1:9")
    # Fireflies refused requests for an hour.
    account = f"fireflies:{sha256(DEFAULT_API_KEY.encode()).hexdigest()[:16]}"
    stage.redis.set(redis_keys.request_block(account), "1", ex=3600)

    # The team has used its tokens of the day.
    serve_intelligence(stage.engine)
    with stage.engine.begin() as connection:
        add_usage(connection, "default", InsightRole.NOTE, 1)

    async def places() -> dict[str, str]:
        meeting = await stage.create_meeting()
        letter, session = store_dead_letter(stage, meeting), store_session(stage.engine, meeting)
        conversation = await stage.http.post(f"/api/intelligence/sessions/{meeting}/agent/conversations", json={})
        return {
            "meeting_id": meeting,
            "letter_id": str(letter),
            "lane_id": "live-1",
            "source": "attendee",
            "session_id": str(session),
            "conversation_id": conversation.json()["id"],
        }

    async with run_described_api(postgres_url, redis_url, max_live=1, lag_limit=1, daily_tokens=1) as running:
        # The API reads the lag of lanes once a second.
        while (await running.request_route(EVENTS, places=await places())).status_code != 429:
            pass
        tried = running.routes.keys() - {"post /api/lanes"}
        found: set[str] = set()
        for route in tried:
            where = await places()
            if (await running.request_route(route, places=where)).status_code == 429:
                found.add(route)
            # The team may have a limited number of live meetings.
            stage.set_status(where["meeting_id"], "ended")
        assert found == running.documented_routes(429)


def examples_of(media: dict[str, Any], schemas: dict[str, Any]) -> list[Any]:
    """Return the examples of a body: its own, or those of the schemas that it names."""
    if "example" in media:
        return [media["example"]]
    if "examples" in media:
        return [example["value"] for example in media["examples"].values()]
    alternatives = [media["schema"], *media["schema"].get("anyOf", [])]
    references = [each["$ref"].rpartition("/")[2] for each in alternatives if "$ref" in each]
    return [example for name in references for example in schemas[name].get("examples", [])]


async def test_every_request_and_each_answer_of_a_source_has_a_valid_example(stage: ApiHarness) -> None:
    description = (await stage.http.get("/openapi.json")).json()
    components = description["components"]
    for schema in components["schemas"].values():
        # FastAPI leaves nulls out of examples.
        nullable = {
            name for name, each in schema.get("properties", {}).items() if {"type": "null"} in each.get("anyOf", [])
        }
        schema["required"] = [name for name in schema.get("required", []) if name not in nullable]
    for path, operations in description["paths"].items():
        for operation in operations.values():
            bodies = [operation["requestBody"]] if "requestBody" in operation else []
            if path.startswith(WITH_ANSWER_EXAMPLES):
                bodies += [answer for status, answer in operation["responses"].items() if status.startswith("2")]
            for media in (media for body in bodies for media in body.get("content", {}).values()):
                examples = examples_of(media, components["schemas"])
                assert examples, f"{operation['operationId']} lacks an example"
                for example in examples:
                    Draft202012Validator({**media["schema"], "components": components}).validate(example)
