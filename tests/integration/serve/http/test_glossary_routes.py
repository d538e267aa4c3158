"""Tests serve/http/glossary_routes.py."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.jobs import refresh_glossaries
from operators.entries import ConfigChanged, parse_entry
from storage import redis_keys
from storage.connections import async_redis
from storage.ingest.meeting_configs import MeetingConfigs
from storage.ingest.meeting_service import MeetingService
from storage.redis_log.event_log import LogWriter
from tests.harness.lane.fake_lane_writer import create_written_meeting, make_sentence

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]

PATH = "/api/glossaries"
ROAD_MAP = {"term": "road map", "translations": {"pt": "roteiro"}}


async def create(stage: ApiHarness, name: str = "Products", *terms: dict[str, Any]) -> str:
    glossary = (await stage.http.post(PATH, json={"name": name})).json()["id"]
    for term in terms:
        assert (await stage.http.post(f"{PATH}/{glossary}/entries", json=term)).status_code == 201
    return glossary


async def import_csv(stage: ApiHarness, glossary: str, text: str | bytes, **params: Any) -> Any:
    headers = {"content-type": "text/csv"}
    return await stage.http.post(f"{PATH}/{glossary}/import", content=text, headers=headers, params=params)


Refresh = Callable[[], Awaitable[int]]


@pytest.fixture
async def refresh(aengine: AsyncEngine, redis_url: str) -> AsyncIterator[Refresh]:
    """Return a function that brings changed glossaries to the open meetings, as the maintenance actor does."""
    client = async_redis(redis_url)
    log = LogWriter(client)
    configs = MeetingConfigs(aengine, log, MeetingService(aengine, log))
    yield lambda: refresh_glossaries(aengine, configs)
    await client.aclose()


async def terms_of(stage: ApiHarness, meeting: str) -> list[str]:
    """Return the shared terms of a meeting's config: the last one in the log, or else the stored one."""
    entries = [parse_entry(fields) for _, fields in stage.redis.xrange(redis_keys.lane_log("live-1"))]  # type: ignore[union-attr]
    changed = [e.payload.config for e in entries if e.meeting_id == meeting and isinstance(e.payload, ConfigChanged)]
    if changed:
        return [term.term for term in changed[-1].shared_glossary]
    config = (await stage.http.get(f"/api/meetings/{meeting}")).json()["config"]
    return [term["term"] for term in config["shared_glossary"]]


async def test_a_glossary_is_created_changed_and_deleted(stage: ApiHarness) -> None:
    created = await stage.http.post(PATH, json={"name": "Products", "description": "Ours"})
    glossary = created.json()
    assert (created.status_code, glossary["name"], glossary["entries"]) == (201, "Products", 0)
    assert (await stage.http.post(PATH, json={"name": "Products"})).status_code == 409
    other = await create(stage, "Names")
    path = f"{PATH}/{glossary['id']}"
    assert (await stage.http.patch(path, json={"name": "Names"})).status_code == 409
    changed = (await stage.http.patch(path, json={"name": "Goods"})).json()
    assert (changed["name"], changed["description"]) == ("Goods", "Ours")
    listed = (await stage.http.get(PATH)).json()["glossaries"]
    assert [each["name"] for each in listed] == ["Goods", "Names"]
    assert (await stage.http.delete(f"{PATH}/{other}")).status_code == 204
    assert (await stage.http.get(f"{PATH}/{other}")).status_code == 404


async def test_entries_are_created_changed_listed_and_deleted(stage: ApiHarness) -> None:
    glossary = await create(stage)
    path = f"{PATH}/{glossary}/entries"
    entry = (await stage.http.post(path, json=ROAD_MAP | {"notes": "the plan", "priority": 5})).json()
    assert (entry["term"], entry["whole_word"], entry["priority"]) == ("road map", True, 5)
    assert (await stage.http.post(path, json={"term": "Road  MAP"})).status_code == 409
    other = (await stage.http.post(path, json={"term": "Ana", "do_not_translate": True})).json()
    assert (await stage.http.patch(f"{path}/{other['id']}", json={"term": "road map"})).status_code == 409
    changed = await stage.http.patch(f"{path}/{entry['id']}", json={"translations": {"de": "Fahrplan"}})
    assert changed.json() == entry | {"translations": {"de": "Fahrplan"}}
    first = (await stage.http.get(path, params={"limit": 1})).json()
    second = (await stage.http.get(path, params={"limit": 1, "after": first["after"]})).json()
    assert [each["term"] for page in (first, second) for each in page["entries"]] == ["Ana", "road map"]
    assert second["after"] is None
    assert (await stage.http.delete(f"{path}/{other['id']}")).status_code == 204
    assert (await stage.http.delete(f"{path}/{other['id']}")).status_code == 404
    assert (await stage.http.get(f"{PATH}/{glossary}")).json()["entries"] == 1


async def test_an_import_lists_invalid_lines_and_takes_the_others(stage: ApiHarness) -> None:
    glossary = await create(stage, "Products", ROAD_MAP)
    text = "term,pt,priority,notes\nroad map,mapa,3,new\nplan,plano,high,\nAna,,,\nAna,,,\n"
    result = (await import_csv(stage, glossary, text)).json()
    assert (result["added"], result["replaced"], result["invalid"]) == (1, 1, 2)
    assert [(each["line"], each["field"]) for each in result["errors"]] == [
        (3, "the CSV text:3, column priority"),
        (5, "the CSV text:5, column term"),
    ]
    entries = (await stage.http.get(f"{PATH}/{glossary}/entries")).json()["entries"]
    assert [(each["term"], each["translations"], each["priority"]) for each in entries] == [
        ("Ana", {}, 0),
        ("road map", {"pt": "mapa"}, 3),
    ]
    assert (await import_csv(stage, glossary, "term\nBob\n", replace=True)).json()["added"] == 1
    entries = (await stage.http.get(f"{PATH}/{glossary}/entries")).json()["entries"]
    assert [each["term"] for each in entries] == ["Bob"]


@pytest.mark.parametrize("text", ["", "klingon!\n", b"\xff", '"term\nAna'])
async def test_what_is_no_csv_changes_nothing(stage: ApiHarness, text: str | bytes) -> None:
    glossary = await create(stage, "Products", ROAD_MAP)
    answer = await import_csv(stage, glossary, text, replace=True)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith("the CSV text")
    assert (await stage.http.get(f"{PATH}/{glossary}")).json()["entries"] == 1


async def test_a_change_reaches_the_open_meetings(stage: ApiHarness, refresh: Refresh) -> None:
    glossary, other = await create(stage, "Products", ROAD_MAP), await create(stage, "Names", {"term": "Ana"})
    config = {"target_languages": ["pt"], "glossary": [{"term": "plan"}], "glossary_ids": [other, glossary]}
    meeting = await stage.create_meeting(config=config)
    unattached = await stage.create_meeting(config={"target_languages": ["pt"]})
    assert await terms_of(stage, meeting) == ["Ana", "road map"]
    assert (await stage.http.get(f"{PATH}/{glossary}/stats")).json()["meetings"] == 1
    await stage.http.post(f"{PATH}/{glossary}/entries", json={"term": "budget", "priority": 9})
    assert await refresh() == 1
    # The lane has not committed the change yet, so it is compared with the log.
    assert await refresh() == 0
    assert await terms_of(stage, meeting) == ["budget", "Ana", "road map"]
    # The meeting's own term counts.
    await import_csv(stage, glossary, "term\nplan\nroad map\n", replace=True)
    assert await refresh() == 1
    assert await terms_of(stage, meeting) == ["Ana", "road map"]
    await stage.http.delete(f"{PATH}/{glossary}")
    # Another change must not wait for the refresh.
    changed = await stage.http.patch(f"/api/meetings/{meeting}/config", json={"style": "formal"})
    assert (changed.status_code, changed.json()["config"]["glossary_ids"]) == (202, [other])
    assert await terms_of(stage, meeting) == ["Ana"]
    await stage.http.patch(f"/api/meetings/{meeting}/config", json={"glossary_ids": []})
    assert await terms_of(stage, meeting) == []
    assert await terms_of(stage, unattached) == []


async def test_an_unknown_glossary_is_refused_and_shared_terms_are_parleys_own(stage: ApiHarness) -> None:
    unknown = str(uuid4())
    answer = await stage.http.post("/api/meetings", json={"config": {"glossary_ids": [unknown]}})
    assert answer.json()["errors"][0]["field"] == "config.glossary_ids.0"
    meeting = await stage.create_meeting(config={"shared_glossary": [ROAD_MAP]})
    assert await terms_of(stage, meeting) == []
    changed = await stage.http.patch(f"/api/meetings/{meeting}/config", json={"glossary_ids": [unknown]})
    assert changed.json()["errors"][0]["field"] == "glossary_ids.0"


async def test_terms_are_looked_up_in_one_glossary_or_all(stage: ApiHarness) -> None:
    glossary = await create(stage, "Products", ROAD_MAP)
    await create(stage, "Names", {"term": "Ana", "do_not_translate": True, "translations": {"de": "Anna"}})
    request = {"text": "Ana has the road map.", "language": "pt"}
    in_one = (await stage.http.post(f"{PATH}/{glossary}/lookup", json=request)).json()["terms"]
    in_all = (await stage.http.post(f"{PATH}/lookup", json=request)).json()["terms"]
    assert [each["term"] for each in in_one] == ["road map"]
    assert [each["term"] for each in in_all] == ["Ana", "road map"]
    german = (await stage.http.get(f"{PATH}/terms/de")).json()["terms"]
    assert [each["term"] for each in german] == ["Ana"]


async def test_hits_are_counted_for_a_meeting(stage: ApiHarness) -> None:
    glossary = await create(stage, "Products", ROAD_MAP, {"term": "budget", "translations": {"pt": "orçamento"}})
    meeting, writer = await create_written_meeting(stage)
    sentences = [
        make_sentence("1.0", "The road map is done.", 0.0),
        make_sentence("2.0", "The road maps and the road map.", 2.0),
        make_sentence("3.0", "No budget.", 4.0),
    ]
    writer.write_sentences(*sentences)
    for sentence, text in zip(sentences, ["O roteiro está pronto.", "Os mapas.", "Sem orçamentos."], strict=True):
        writer.write_caption(sentence, text)
    stats = (await stage.http.get(f"{PATH}/{glossary}/stats", params={"meeting_id": meeting})).json()
    assert stats["hits"] == [
        {"term": "road map", "said": 2, "hits": 1},
        {"term": "budget", "said": 1, "hits": 1},
    ]
    assert (stats["hit_rate"], stats["entries"], stats["translations"]) == (0.6667, 2, {"pt": 2})
    assert (await stage.http.get(f"{PATH}/{glossary}/stats")).json()["hits"] is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"term": " "}, "term"),
        ({"term": "a", "priority": 5_000}, "priority"),
        ({"term": "a", "translations": {"?": "b"}}, "translations.?"),
        ({"term": "a", "notes": "x" * 501}, "notes"),
        ({}, "term"),
    ],
)
async def test_an_invalid_entry_names_its_field(stage: ApiHarness, body: dict[str, Any], field: str) -> None:
    glossary = await create(stage)
    answer = await stage.http.post(f"{PATH}/{glossary}/entries", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith(field)


async def test_unknown_glossaries_and_entries_are_not_found(stage: ApiHarness) -> None:
    glossary, unknown = await create(stage), uuid4()
    requests: list[tuple[str, str, Any]] = [
        ("GET", f"{unknown}", None),
        ("PATCH", f"{unknown}", {"name": "x"}),
        ("DELETE", f"{unknown}", None),
        ("GET", f"{unknown}/stats", None),
        ("GET", f"{glossary}/stats?meeting_id={unknown}", None),
        ("GET", f"{unknown}/entries", None),
        ("GET", f"{glossary}/entries?after={unknown}", None),
        ("POST", f"{unknown}/entries", ROAD_MAP),
        ("PATCH", f"{glossary}/entries/{unknown}", {"term": "x"}),
        ("DELETE", f"{unknown}/entries/{unknown}", None),
        ("POST", f"{unknown}/lookup", {"text": "x", "language": "pt"}),
    ]
    for method, path, body in requests:
        assert (await stage.http.request(method, f"{PATH}/{path}", json=body)).status_code == 404, path
    assert (await import_csv(stage, str(unknown), "term\nAna\n")).status_code == 404
