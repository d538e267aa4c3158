"""Tests serve/http/meeting_routes.py."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx

from serve.app_options import ApiOptions
from tests.harness.api.fireflies_account import change_session, store_session
from tests.harness.api.server_thread import run_api
from tests.harness.lane.fake_lane_writer import create_written_meeting, make_sentence

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness", "tests.harness.api.fireflies_account"]

CONFIG = {"source_language": "en", "target_languages": ["pt-br"]}


async def test_a_meeting_begins_once_for_an_external_id(stage: ApiHarness) -> None:
    first = await stage.http.post("/api/meetings", json={"external_id": "x-1", "title": "Standup", "config": CONFIG})
    again = await stage.http.post("/api/meetings", json={"external_id": "x-1"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert first.json()["config"]["target_languages"] == ["pt-BR"]
    assert first.json()["lane_id"] == "live-1"


async def test_the_limit_of_live_meetings(stage: ApiHarness, postgres_url: str, redis_url: str) -> None:
    with run_api(ApiOptions(postgres_url, redis_url, max_live=2)) as address:
        async with httpx.AsyncClient(base_url=address, timeout=60) as client:
            for name in ("a", "b"):
                assert (await client.post("/api/meetings", json={"external_id": name})).status_code == 201
            refused = await client.post("/api/meetings", json={"external_id": "c"})
            assert (refused.status_code, refused.json()["type"]) == (429, "urn:parley:problem:limit")
            assert refused.headers["retry-after"] == str(refused.json()["retry_after"])
            assert "2 live meetings" in refused.json()["detail"]
            assert (await client.post("/api/meetings", json={"external_id": "a"})).status_code == 200
            recorded = {"clock": "recorded", "began_at": 1_700_000_000_000}
            assert (await client.post("/api/meetings", json=recorded)).status_code == 201
            metrics = (await client.get("/metrics")).text.splitlines()
    assert 'parley_events_total{kind="refused:limit"} 1.0' in metrics
    assert 'parley_live_meetings{team="default"} 2.0' in metrics
    assert 'parley_live_meetings_limit{team="default"} 2.0' in metrics


async def test_a_recorded_meeting_requires_its_start(stage: ApiHarness) -> None:
    answer = await stage.http.post("/api/meetings", json={"clock": "recorded"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "began_at"
    recorded = await stage.http.post("/api/meetings", json={"clock": "recorded", "began_at": 1_700_000_000_000})
    assert recorded.json()["lane_id"] == "batch-1"
    live = await stage.http.post("/api/meetings", json={"began_at": 1_700_000_000_000})
    assert live.status_code == 422


async def test_meetings_are_listed_by_page_and_status(stage: ApiHarness) -> None:
    ids = [await stage.create_meeting(title=str(number)) for number in range(5)]
    stage.set_status(ids[0], "ended")
    first = (await stage.http.get("/api/meetings", params={"limit": 3})).json()
    second = (await stage.http.get("/api/meetings", params={"limit": 3, "before": first["before"]})).json()
    assert [m["id"] for m in first["meetings"] + second["meetings"]] == ids[::-1]
    assert second["before"] is None
    ended = (await stage.http.get("/api/meetings?status=ended&status=timed_out")).json()
    assert [m["id"] for m in ended["meetings"]] == [ids[0]]
    assert ended["before"] is None
    all_of_them = (await stage.http.get("/api/meetings", params={"limit": 5})).json()
    assert (len(all_of_them["meetings"]), all_of_them["before"]) == (5, None)


async def test_each_listed_meeting_has_its_pending_captions(stage: ApiHarness) -> None:
    two, lane = await create_written_meeting(stage)
    lane.write_sentences(
        make_sentence("1.0", "One.", 1), make_sentence("2.0", "Two.", 2), make_sentence("3.0", "Taken back.", 3)
    )
    lane.retract(make_sentence("3.0", "Taken back.", 3))
    one, lane = await create_written_meeting(stage)
    lane.write_sentences(make_sentence("1.0", "One.", 1), make_sentence("2.0", "Two.", 2))
    lane.write_caption(make_sentence("2.0", "Two.", 2), "Dois.")
    none = await stage.create_meeting()
    listed = (await stage.http.get("/api/meetings")).json()["meetings"]
    assert {m["id"]: m["pending_captions"] for m in listed} == {two: 2, one: 1, none: 0}


async def test_a_meeting_has_its_latest_connector(stage: ApiHarness, fireflies_secrets: None) -> None:
    meeting, other = await stage.create_meeting(), await stage.create_meeting()

    async def connectors() -> tuple[Any, Any]:
        listed = (await stage.http.get("/api/meetings")).json()["meetings"]
        assert next(one for one in listed if one["id"] == other)["connector"] is None
        shown = (await stage.http.get(f"/api/meetings/{meeting}")).json()["connector"]
        return shown, next(one for one in listed if one["id"] == meeting)["connector"]

    assert await connectors() == (None, None)
    failed = store_session(stage.engine, meeting)
    change_session(stage.engine, failed, status="failed", last_error="check the key", ended_at=datetime.now(UTC))
    shown, listed = await connectors()
    assert listed == {"source": "fireflies", "status": "failed"}
    assert (shown["last_error"], shown["budget"], shown["ended_at"] is None) == ("check the key", None, False)
    current = store_session(stage.engine, meeting)
    options = {"plan": "business", "display_mode": "translation"}
    change_session(stage.engine, current, gaps=[[1.5, None]], counters={"filled": 3}, options=options)
    shown, listed = await connectors()
    assert listed == {"source": "fireflies", "status": "connecting"}
    assert shown["budget"] | {"resets_in_s": 0} == {"plan": "business", "limit": 60, "remaining": 60, "resets_in_s": 0}
    assert shown | {"budget": None, "created_at": ""} == {
        "source": "fireflies",
        "status": "connecting",
        "external_id": f"of {meeting}",
        "is_disconnecting": False,
        "display_mode": "translation",
        "last_error": None,
        "gaps": [{"start": 1.5, "end": None}],
        "filled": 3,
        "budget": None,
        "connected_at": None,
        "last_message_at": None,
        "ended_at": None,
        "created_at": "",
    }


async def test_a_connector_without_its_key_has_no_budget(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    change_session(stage.engine, store_session(stage.engine, meeting), desired="disconnected")
    shown = (await stage.http.get(f"/api/meetings/{meeting}")).json()["connector"]
    assert (shown["budget"], shown["is_disconnecting"]) == (None, True)


async def test_a_glossary_is_shown_with_its_meeting_and_not_in_the_list(stage: ApiHarness) -> None:
    term = {"term": "road map", "translations": {"pt": "roteiro"}, "do_not_translate": False}
    term |= {"case_sensitive": False, "whole_word": True}
    meeting = await stage.create_meeting(config=CONFIG | {"glossary": [term], "style": "formal"})
    shown = (await stage.http.get(f"/api/meetings/{meeting}")).json()["config"]
    assert shown["glossary"] == [term]
    (listed,) = (await stage.http.get("/api/meetings")).json()["meetings"]
    assert listed["config"] == {
        name: value for name, value in shown.items() if "glossary" not in name or name == "glossary_ids"
    }


async def test_accepted_and_refused_events_are_shown_at_once(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    stage.set_status(meeting, "live")
    await stage.http.post(f"/api/meetings/{meeting}/pause")
    chunk = {"chunk_id": "1", "speaker": "A", "text": "Hi.", "start": 0, "end": 1}
    await stage.http.post(f"/api/meetings/{meeting}/events", json={"events": [{"payload": chunk}]})
    shown = (await stage.http.get(f"/api/meetings/{meeting}")).json()
    assert shown["status"] == "paused"
    assert (shown["last_accepted"], shown["last_committed"], shown["pending_captions"]) == (1, 0, 0)
    # The count may be missing for a moment, while it is being stored.
    async with asyncio.timeout(60):
        while shown["counters"].get("refused:paused") != 1:
            shown = (await stage.http.get(f"/api/meetings/{meeting}")).json()


async def test_a_change_of_config_is_an_entry_and_keeps_the_rest(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting(config=CONFIG)
    answer = await stage.http.patch(f"/api/meetings/{meeting}/config", json={"context_sentences": 5})
    assert answer.status_code == 202
    assert answer.json()["ordinal"] == 2
    assert answer.json()["config"] == {
        "source_language": "en",
        "target_languages": ["pt-BR"],
        "context_sentences": 5,
        "context_of_speaker": 2,
        "glossary": [],
        "style": "",
        "drafts": True,
        "glossary_ids": [],
        "shared_glossary": [],
        "glossary_versions": {},
        "notes": False,
        "note_sentences": 10,
        "note_seconds": 120,
        "note_language": None,
    }
    empty = await stage.http.patch(f"/api/meetings/{meeting}/config", json={})
    assert empty.status_code == 422
    twice = await stage.http.patch(f"/api/meetings/{meeting}/config", json={"target_languages": ["pt", "pt"]})
    assert twice.status_code == 422


async def test_terms_and_style_can_be_set_at_the_start_and_later(stage: ApiHarness) -> None:
    term = {"term": "road map", "translations": {"pt": "roteiro"}, "do_not_translate": False}
    term |= {"case_sensitive": False, "whole_word": True}
    meeting = await stage.create_meeting(config=CONFIG | {"glossary": [term], "style": "formal"})
    path = f"/api/meetings/{meeting}/config"
    kept = (await stage.http.patch(path, json={"context_of_speaker": 4})).json()["config"]
    assert (kept["glossary"], kept["style"], kept["context_of_speaker"]) == ([term], "formal", 4)
    other = term | {"term": "IT", "translations": {}, "do_not_translate": True, "case_sensitive": True}
    changed = (await stage.http.patch(path, json={"glossary": [other], "style": ""})).json()["config"]
    assert (changed["glossary"], changed["style"], changed["context_of_speaker"]) == ([other], "", 4)
    twice = await stage.http.patch(path, json={"glossary": [term, term | {"term": "Road  Map"}]})
    assert twice.status_code == 422
    assert "number 2 repeats number 1" in twice.text
    assert "glossary" in twice.text


async def test_the_config_of_a_recorded_meeting_can_be_changed(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting(clock="recorded", began_at=1_700_000_000_000)
    answer = await stage.http.patch(f"/api/meetings/{meeting}/config", json={"target_languages": ["pt"]})
    assert answer.json()["ordinal"] == 2


async def test_the_config_of_an_ended_meeting_can_not_be_changed(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    ended = await stage.http.post(f"/api/meetings/{meeting}/end", json={"reason": "done"})
    assert ended.status_code == 202
    assert ended.json()["last_accepted"] == 2
    again = await stage.http.post(f"/api/meetings/{meeting}/end")
    assert again.status_code == 202
    for request in (
        stage.http.patch(f"/api/meetings/{meeting}/config", json={"context_sentences": 5}),
        stage.http.post(f"/api/meetings/{meeting}/pause"),
        stage.http.post(f"/api/meetings/{meeting}/resume"),
    ):
        answer = await request
        assert answer.status_code == 409
        assert answer.json()["reason"] == "ended"


async def test_a_paused_meeting_resumes(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    stage.set_status(meeting, "live")
    assert (await stage.http.post(f"/api/meetings/{meeting}/pause")).json()["status"] == "paused"
    assert (await stage.http.post(f"/api/meetings/{meeting}/resume")).json()["status"] == "live"


async def test_an_unknown_meeting_is_404_on_every_route(stage: ApiHarness) -> None:
    path = f"/api/meetings/{uuid4()}"
    for method, tail in [
        ("GET", ""),
        ("POST", "/pause"),
        ("POST", "/resume"),
        ("POST", "/end"),
        ("GET", "/sentences"),
        ("GET", "/captions"),
        ("GET", "/events"),
    ]:
        answer = await stage.http.request(method, path + tail)
        assert answer.status_code == 404, tail
        assert answer.json()["type"] == "urn:parley:problem:unknown"
    answer = await stage.http.patch(path + "/config", json={"context_sentences": 1})
    assert answer.status_code == 404
    answer = await stage.http.post(path + "/events", json={"events": []})
    assert answer.status_code == 404
