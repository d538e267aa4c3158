"""Whatever a client sends to the API is taken or refused by its field: never an error of ours, never at a neighbour's cost."""

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

from operators.models import Firefox, ModelsConfig
from storage.configs import save
from tests.harness import hostile

if TYPE_CHECKING:
    from tests.harness.api_server import Stage

pytest_plugins = ["tests.harness.api_server"]

REQUESTS = 10 * settings().max_examples
"""2,000 with the long profile, each with several values."""
A_WHILE = 50
"""Requests between two events of the neighbour."""
CHUNK = {"chunk_id": "1", "speaker": "Ann", "text": "Hello.", "start": 1.0, "end": 2.0}
CONFIG = {"target_languages": ["pt"], "source_language": "en", "style": "", "glossary": [], "context_sentences": 3}


@dataclass
class Sent:
    """A request: its JSON is written by Python, so that NaN, halves of characters and deep nesting go out as they are."""

    method: str
    path: str
    body: Any = None


Made = Callable[[random.Random, str], Sent]


def events(chance: random.Random, meeting: str) -> Sent:
    several = [
        {
            "event_id": hostile.text(chance, 300) if chance.random() < 0.2 else str(chance.random()),
            "payload": hostile.changed(chance, CHUNK | {"chunk_id": str(chance.random())}, [*CHUNK, "language"]),
        }
        for _ in range(5)
    ]
    if chance.random() < 0.3:
        several.append(
            hostile.changed(chance, {"event_id": "x", "kind": "config"}, ["event_id", "kind", "at", "payload"])
        )
    return Sent("POST", f"/api/meetings/{meeting}/events", {"events": several})


def config(chance: random.Random, meeting: str) -> Sent:
    change = hostile.changed(chance, {}, [*CONFIG, "drafts"])
    if chance.random() < 0.4:
        change = {"glossary": [{"term": hostile.text(chance, 300), "translations": {"pt": hostile.text(chance, 300)}}]}
    return Sent("PATCH", f"/api/meetings/{meeting}/config", change)


def beginning(chance: random.Random, meeting: str) -> Sent:
    return Sent("POST", "/api/meetings", hostile.changed(chance, {"title": "a"}, ["title", "external_id", "config"]))


def models(chance: random.Random, meeting: str) -> Sent:
    engine = {
        "kind": "openai",
        "url": "http://h/v1",
        "model": "m",
        "body": {hostile.text(chance, 99): hostile.value(chance)},
    }
    if chance.random() < 0.5:
        engine = hostile.changed(chance, engine | {"body": {}}, ["url", "model", "replicas", "cpus", "key"])
    return Sent("PUT", "/api/models", {"config": {"engines": {"a": engine}}, "note": hostile.text(chance, 600)})


def rollback(chance: random.Random, meeting: str) -> Sent:
    return Sent("POST", "/api/models/rollback", {"version": hostile.number(chance)})


def lanes(chance: random.Random, meeting: str) -> Sent:
    lane = hostile.text(chance, 300)
    if chance.random() < 0.5:
        return Sent("POST", f"/api/meetings/{meeting}/move", {"lane": lane})
    return Sent("POST", f"/api/lanes/{quote(lane[:200], safe='', errors='replace')}/drain")


def addresses(chance: random.Random, meeting: str) -> Sent:
    word = quote(str(hostile.value(chance))[:500], safe="", errors="replace")
    path = chance.choice(
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
    return Sent("GET", path)


def strange_bodies(chance: random.Random, meeting: str) -> Sent:
    body = chance.choice(
        [hostile.value(chance), {"events": hostile.value(chance)}, {"events": [hostile.value(chance)]}]
    )
    return Sent("POST", f"/api/meetings/{meeting}/events", body)


MADE: list[Made] = [events, events, config, beginning, models, rollback, lanes, addresses, strange_bodies]


async def test_any_request_is_answered_and_the_neighbour_goes_on(stage: Stage) -> None:
    with stage.engine.begin() as connection:
        save(connection, ModelsConfig(engines={"firefox": Firefox()}, translation=("firefox",)), "settings")
    bad, good = await stage.begin(), await stage.begin()
    chance = random.Random(14)
    outcomes = Counter[str]()
    for k in range(REQUESTS):
        made = chance.choice(MADE)
        sent = made(chance, bad)
        content = None if sent.body is None else json.dumps(sent.body).encode()
        answer = await stage.http.request(
            sent.method, sent.path, content=content, headers={"content-type": "application/json"}
        )
        outcomes[f"{made.__name__} {answer.status_code}"] += 1
        outcomes["accepted"] += answer.json().get("accepted", 0) if made is events else 0
        assert answer.status_code < 500, f"request {k} of {made.__name__}: {ascii(sent)[:600]}"
        if answer.status_code >= 400:
            check_problem(answer)
        if k % A_WHILE == 0:
            event = {"event_id": str(k), "payload": CHUNK | {"chunk_id": str(k)}}
            answer = await stage.http.post(f"/api/meetings/{good}/events", json={"events": [event]})
            assert answer.json()["accepted"] == 1
    print(dict(sorted(outcomes.items())))
    for path in (
        "/api/meetings?limit=200",
        "/api/models/versions?limit=200",
        f"/api/meetings/{bad}",
        "/api/dead-letters",
    ):
        assert (await stage.http.get(path)).status_code == 200
    taken = {name.partition(" ")[0] for name in outcomes if name.endswith(("200", "201", "202"))}
    assert {"config", "beginning", "models"} <= taken
    assert outcomes["accepted"] > 0


def check_problem(answer: httpx.Response) -> None:
    """A refusal is a problem; where a value is wrong, it names the fields."""
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert len(problem["detail"]) < 1_000
    if answer.status_code == 422:
        assert all(error["field"] and len(error["field"]) < 500 for error in problem["errors"])
        assert problem["errors"]


async def test_what_is_taken_of_a_meeting_reads_back_as_it_was_sent(stage: Stage) -> None:
    chance = random.Random(15)
    taken = 0
    for _ in range(4 * settings().max_examples):
        title, external_id = hostile.text(chance, 600), hostile.text(chance, 300)
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
async def test_a_field_that_nobody_knows_may_have_any_name(stage: Stage, key: str) -> None:
    body = json.dumps({"events": [{"payload": CHUNK | {key: 1}}], key: 1}).encode()
    path = f"/api/meetings/{await stage.begin()}/events"
    for sent in (body, json.dumps({"events": [{"payload": CHUNK | {key: 1}}]}).encode()):
        answer = await stage.http.post(path, content=sent, headers={"content-type": "application/json"})
        assert answer.status_code == 422
        check_problem(answer)
