"""Hostile requests: each is accepted, or rejected with its fields; none causes a server error or harms another meeting."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import settings

from operators.engine_config import EnginesConfig, FirefoxConfig
from storage.postgres.engine_config_versions import save_config
from tests.harness.data import hostile_input

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]

REQUEST_COUNT = 10 * settings().max_examples
"""Generated requests: 2,000 with the long profile, each with several values."""
NEIGHBOUR_INTERVAL = 50
"""Requests between two events of the other meeting."""
CHUNK = {"chunk_id": "1", "speaker": "Ann", "text": "Hello.", "start": 1.0, "end": 2.0}
CONFIG = {"target_languages": ["pt"], "source_language": "en", "style": "", "glossary": [], "context_sentences": 3}


@dataclass
class HostileRequest:
    """A request. Python writes its JSON, so that NaN, surrogates and deep nesting are sent as they are."""

    method: str
    path: str
    body: Any = None


RequestFactory = Callable[[random.Random, str], HostileRequest]


def hostile_events(rng: random.Random, meeting: str) -> HostileRequest:
    batch = [
        {
            "event_id": hostile_input.hostile_text(rng, 300) if rng.random() < 0.2 else str(rng.random()),
            "payload": hostile_input.corrupt_fields(rng, CHUNK | {"chunk_id": str(rng.random())}, [*CHUNK, "language"]),
        }
        for _ in range(5)
    ]
    if rng.random() < 0.3:
        batch.append(
            hostile_input.corrupt_fields(
                rng, {"event_id": "x", "kind": "config"}, ["event_id", "kind", "at", "payload"]
            )
        )
    return HostileRequest("POST", f"/api/meetings/{meeting}/events", {"events": batch})


def hostile_config(rng: random.Random, meeting: str) -> HostileRequest:
    change = hostile_input.corrupt_fields(rng, {}, [*CONFIG, "drafts"])
    if rng.random() < 0.4:
        change = {
            "glossary": [
                {
                    "term": hostile_input.hostile_text(rng, 300),
                    "translations": {"pt": hostile_input.hostile_text(rng, 300)},
                }
            ]
        }
    return HostileRequest("PATCH", f"/api/meetings/{meeting}/config", change)


def hostile_meeting(rng: random.Random, meeting: str) -> HostileRequest:
    return HostileRequest(
        "POST", "/api/meetings", hostile_input.corrupt_fields(rng, {"title": "a"}, ["title", "external_id", "config"])
    )


def hostile_engines(rng: random.Random, meeting: str) -> HostileRequest:
    engine = {
        "kind": "openai",
        "url": "http://h/v1",
        "model": "m",
        "body": {hostile_input.hostile_text(rng, 99): hostile_input.hostile_value(rng)},
    }
    if rng.random() < 0.5:
        engine = hostile_input.corrupt_fields(rng, engine | {"body": {}}, ["url", "model", "replicas", "cpus", "key"])
    return HostileRequest(
        "PUT",
        "/api/engine-config",
        {"config": {"engines": {"a": engine}}, "note": hostile_input.hostile_text(rng, 600)},
    )


def hostile_rollback(rng: random.Random, meeting: str) -> HostileRequest:
    return HostileRequest("POST", "/api/engine-config/rollback", {"version": hostile_input.hostile_number(rng)})


def hostile_lanes(rng: random.Random, meeting: str) -> HostileRequest:
    lane = hostile_input.hostile_text(rng, 300)
    if rng.random() < 0.5:
        return HostileRequest("POST", f"/api/meetings/{meeting}/move", {"lane": lane})
    return HostileRequest("POST", f"/api/lanes/{quote(lane[:200], safe='', errors='replace')}/drain")


def hostile_paths(rng: random.Random, meeting: str) -> HostileRequest:
    word = quote(str(hostile_input.hostile_value(rng))[:500], safe="", errors="replace")
    path = rng.choice(
        [
            f"/api/meetings/{meeting}/captions?language={word}",
            f"/api/meetings/{meeting}/export?format=md&language={word}",
            f"/api/meetings/{meeting}/events?after=9{word}",
            f"/api/meetings?limit={word}",
            f"/api/meetings?before={word}",
            f"/api/dead-letters?before={word}",
            f"/api/dead-letters/{word}",
            f"/api/meetings/{word}",
            f"/{word}",
        ]
    )
    return HostileRequest("GET", path)


def hostile_bodies(rng: random.Random, meeting: str) -> HostileRequest:
    body = rng.choice(
        [
            hostile_input.hostile_value(rng),
            {"events": hostile_input.hostile_value(rng)},
            {"events": [hostile_input.hostile_value(rng)]},
        ]
    )
    return HostileRequest("POST", f"/api/meetings/{meeting}/events", body)


MADE: list[RequestFactory] = [
    hostile_events,
    hostile_events,
    hostile_config,
    hostile_meeting,
    hostile_engines,
    hostile_rollback,
    hostile_lanes,
    hostile_paths,
    hostile_bodies,
]


async def test_any_request_is_answered_without_harm_to_other_meetings(stage: ApiHarness) -> None:
    with stage.engine.begin() as connection:
        save_config(
            connection, EnginesConfig(engines={"firefox": FirefoxConfig()}, translation=("firefox",)), "settings"
        )
    bad, good = await stage.create_meeting(), await stage.create_meeting()
    rng = random.Random(14)
    outcomes = Counter[str]()
    for k in range(REQUEST_COUNT):
        made = rng.choice(MADE)
        sent = made(rng, bad)
        content = None if sent.body is None else json.dumps(sent.body).encode()
        answer = await stage.http.request(
            sent.method, sent.path, content=content, headers={"content-type": "application/json"}
        )
        outcomes[f"{made.__name__} {answer.status_code}"] += 1
        outcomes["accepted"] += answer.json().get("accepted", 0) if made is hostile_events else 0
        assert answer.status_code < 500, f"request {k} of {made.__name__}: {ascii(sent)[:600]}"
        if answer.status_code >= 400:
            check_problem(answer)
        if k % NEIGHBOUR_INTERVAL == 0:
            event = {"event_id": str(k), "payload": CHUNK | {"chunk_id": str(k)}}
            answer = await stage.http.post(f"/api/meetings/{good}/events", json={"events": [event]})
            assert answer.json()["accepted"] == 1
    print(dict(sorted(outcomes.items())))
    for path in (
        "/api/meetings?limit=200",
        "/api/engine-config/versions?limit=200",
        f"/api/meetings/{bad}",
        "/api/dead-letters",
    ):
        assert (await stage.http.get(path)).status_code == 200
    taken = {name.partition(" ")[0] for name in outcomes if name.endswith(("200", "201", "202"))}
    assert {"hostile_config", "hostile_meeting", "hostile_engines"} <= taken
    assert outcomes["accepted"] > 0


def check_problem(answer: httpx.Response) -> None:
    """Check that a rejection is a problem, and names the invalid fields."""
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert len(problem["detail"]) < 1_000
    if answer.status_code == 422:
        assert all(error["field"] and len(error["field"]) < 500 for error in problem["errors"])
        assert problem["errors"]


async def test_accepted_fields_of_a_meeting_read_back_unchanged(stage: ApiHarness) -> None:
    rng = random.Random(15)
    taken = 0
    for _ in range(4 * settings().max_examples):
        title, external_id = hostile_input.hostile_text(rng, 600), hostile_input.hostile_text(rng, 300)
        recorded = {"clock": "recorded", "began_at": 0}
        body = json.dumps({"title": title, "external_id": external_id} | recorded).encode()
        answer = await stage.http.post("/api/meetings", content=body, headers={"content-type": "application/json"})
        if answer.status_code == 422:
            assert {error["field"] for error in answer.json()["errors"]} <= {"title", "external_id"}
            continue
        taken += 1
        assert answer.status_code in (200, 201)
        meeting = (await stage.http.get(f"/api/meetings/{answer.json()['id']}")).json()
        assert meeting["external_id"] == external_id
        assert meeting["title"] == title or answer.status_code == 200
        exported = await stage.http.get(f"/api/meetings/{meeting['id']}/export")
        assert exported.status_code == 200
        assert exported.headers["content-disposition"].isascii()
    assert taken


@pytest.mark.parametrize("key", ["\ud800", "\x00", "k" * 5_000], ids=lambda key: ascii(key)[:10])
async def test_unknown_fields_with_any_name_are_rejected(stage: ApiHarness, key: str) -> None:
    body = json.dumps({"events": [{"payload": CHUNK | {key: 1}}], key: 1}).encode()
    path = f"/api/meetings/{await stage.create_meeting()}/events"
    for sent in (body, json.dumps({"events": [{"payload": CHUNK | {key: 1}}]}).encode()):
        answer = await stage.http.post(path, content=sent, headers={"content-type": "application/json"})
        assert answer.status_code == 422
        check_problem(answer)
