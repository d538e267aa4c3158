"""Tests serve/http/dead_letter_routes.py, and how a lane processes a resubmitted letter."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from operators.entries import Chunk
from serve.app_options import ApiOptions
from storage.redis_log.lane_stream import LaneStream
from tests.harness.api.server_thread import run_api
from tests.harness.lane.threaded_lane import query_rows, running_lane, wait_until

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]

LATE = "late: its chunk takes no more revisions"


def make_chunk(words: str = "Good morning.", chunk_id: str = "7") -> dict[str, Any]:
    return {"chunk_id": chunk_id, "speaker": "Ann", "text": words, "start": 1, "end": 2}


def store_dead_letter(
    stage: ApiHarness, meeting: str | None, reason: str = "sentences failed: ValueError", **fields: str
) -> int:
    """Store a dead letter like a lane does."""
    payload = Chunk.model_validate(make_chunk()).model_dump_json()
    with stage.engine.begin() as conn:
        return conn.execute(
            text(
                "insert into dead_letters (team_id, meeting_id, lane_id, log_id, reason, fields) values"
                " ('default', :meeting, 'live-1', :log_id, :reason, cast(:fields as jsonb)) returning id"
            ),
            {
                "meeting": None if meeting is None else UUID(meeting),
                "log_id": uuid4().hex,
                "reason": reason,
                "fields": json.dumps({"kind": "chunk", "n": "2", "payload": payload} | fields),
            },
        ).scalar_one()


def appended_chunks(stage: ApiHarness, lane: str = "live-1") -> list[dict[str, str]]:
    return [fields for _, fields in LaneStream(stage.redis, lane).read("0", 100) if fields.get("kind") == "chunk"]


async def test_dead_letters_are_listed_by_page_and_meeting_without_their_content(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    ids = [store_dead_letter(stage, meeting) for _ in range(3)]
    other = store_dead_letter(stage, None, "schema: must be 1", kind="Good morning.")
    first = await stage.http.get("/api/dead-letters", params={"limit": 2})
    assert "Good morning" not in first.text
    page = first.json()
    assert [each["id"] for each in page["dead_letters"]] == [other, ids[2]]
    assert page["dead_letters"][0] | {"created_at": ""} == {
        "id": other,
        "meeting_id": None,
        "kind": None,
        "ordinal": 2,
        "reason": "schema: must be 1",
        "created_at": "",
        "resubmitted_at": None,
    }
    rest = (await stage.http.get("/api/dead-letters", params={"limit": 2, "before": page["before"]})).json()
    assert ([each["id"] for each in rest["dead_letters"]], rest["before"]) == ([ids[1], ids[0]], None)
    of_it = (await stage.http.get("/api/dead-letters", params={"meeting": meeting})).json()["dead_letters"]
    assert [(each["id"], each["kind"], each["ordinal"]) for each in of_it] == [(each, "chunk", 2) for each in ids[::-1]]


async def test_a_dead_letter_is_shown_with_its_content(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    letter = (await stage.http.get(f"/api/dead-letters/{store_dead_letter(stage, meeting)}")).json()
    assert (letter["meeting_id"], letter["lane_id"]) == (meeting, "live-1")
    assert Chunk.model_validate_json(letter["fields"]["payload"]).text == "Good morning."


@pytest.mark.parametrize(("path", "status"), [("99", 404), ("0", 422), ("x", 422), (str(2**63), 422)])
async def test_an_unknown_dead_letter_is_not_found(stage: ApiHarness, path: str, status: int) -> None:
    assert (await stage.http.get(f"/api/dead-letters/{path}")).status_code == status
    assert (await stage.http.post(f"/api/dead-letters/{path}/resubmit")).status_code == status


@pytest.mark.parametrize("reason", ["dedup failed: KeyError", LATE])
async def test_a_dead_letter_is_resubmitted_once(stage: ApiHarness, reason: str) -> None:
    meeting = await stage.create_meeting()
    letter = store_dead_letter(stage, meeting, reason)
    answers = [await stage.http.post(f"/api/dead-letters/{letter}/resubmit") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    told = answers[0].json()
    assert (told["meeting_id"], told["chunk_id"]) == (meeting, "7")
    (entry,) = appended_chunks(stage)
    assert entry["event_id"] == told["event_id"]
    assert Chunk.model_validate_json(entry["payload"]) == Chunk.model_validate(make_chunk() | {"resubmitted": True})
    listed = (await stage.http.get("/api/dead-letters")).json()["dead_letters"]
    assert listed[0]["resubmitted_at"] == told["resubmitted_at"]


async def test_a_crash_before_the_mark_resubmits_nothing_twice(stage: ApiHarness) -> None:
    letter = store_dead_letter(stage, await stage.create_meeting())
    first = (await stage.http.post(f"/api/dead-letters/{letter}/resubmit")).json()
    with stage.engine.begin() as conn:
        conn.execute(text("update dead_letters set resubmitted_at = null"))
    again = (await stage.http.post(f"/api/dead-letters/{letter}/resubmit")).json()
    assert again["event_id"] == first["event_id"]
    assert len(appended_chunks(stage)) == 1


async def test_a_resubmitted_letter_does_not_advance_a_recorded_clock(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting(clock="recorded", began_at=1_700_000_000_000)
    said = {"event_id": "a", "at": 1_700_000_050_000, "payload": make_chunk("Hello.", "1")}
    await stage.http.post(f"/api/meetings/{meeting}/events", json={"events": [said]})
    assert (await stage.http.post(f"/api/dead-letters/{store_dead_letter(stage, meeting)}/resubmit")).is_success
    assert [entry["arrived_at"] for entry in appended_chunks(stage, "batch-1")] == ["1700000050000"] * 2


async def test_a_letter_that_can_not_be_resubmitted_says_why(stage: ApiHarness) -> None:
    over, paused = await stage.create_meeting(), await stage.create_meeting()
    await stage.http.post(f"/api/meetings/{over}/end")
    stage.set_status(paused, "live")
    await stage.http.post(f"/api/meetings/{paused}/pause")
    letters = {
        store_dead_letter(stage, over): "ended",
        store_dead_letter(stage, paused): "paused",
        store_dead_letter(stage, paused, payload='{"text": "secret"}'): "unreadable",
        store_dead_letter(stage, paused, kind="tick"): "no_chunk",
        store_dead_letter(stage, None): "no_meeting",
    }
    for letter, reason in letters.items():
        answer = await stage.http.post(f"/api/dead-letters/{letter}/resubmit")
        assert (answer.status_code, answer.json()["reason"]) == (409, reason)
        assert "secret" not in answer.text
    listed = (await stage.http.get("/api/dead-letters")).json()["dead_letters"]
    assert {each["resubmitted_at"] for each in listed} == {None}
    assert appended_chunks(stage) == []


async def test_a_resubmission_is_rejected_while_the_lane_lags(
    stage: ApiHarness, postgres_url: str, redis_url: str
) -> None:
    log_id = stage.add_uncommitted_entry()
    meeting = await stage.create_meeting()
    letter = store_dead_letter(stage, meeting)
    config = {"events": [{"kind": "config", "payload": {"config": {}}}]}
    with run_api(ApiOptions(postgres_url, redis_url)) as address:
        async with httpx.AsyncClient(base_url=address, timeout=60) as client, asyncio.timeout(60):
            # The API reads the lag from time to time.
            while (await client.post(f"/api/meetings/{meeting}/events", json=config)).status_code != 429:
                await asyncio.sleep(0.05)
            held = await client.post(f"/api/dead-letters/{letter}/resubmit")
            assert (held.status_code, held.headers["retry-after"]) == (429, "30")
            assert appended_chunks(stage) == []
            stage.set_committed(log_id)
            while (await client.post(f"/api/dead-letters/{letter}/resubmit")).status_code == 429:
                await asyncio.sleep(0.05)
    assert len(appended_chunks(stage)) == 1


async def test_a_late_chunk_is_processed_after_its_resubmission(
    stage: ApiHarness, postgres_url: str, redis_url: str
) -> None:
    meeting = await stage.create_meeting(clock="recorded", began_at=1_700_000_000_000)
    path = f"/api/meetings/{meeting}/events"

    async def say(chunk_id: str, words: str, at: int, start: int = 1, speaker: str = "Ann") -> None:
        payload = make_chunk(words, chunk_id) | {"start": start, "end": start + 1, "speaker": speaker}
        event = {"at": 1_700_000_000_000 + at * 1000, "payload": payload}
        assert (await stage.http.post(path, json={"events": [event]})).is_success

    with running_lane(postgres_url, redis_url, "batch-1"):
        await say("7", "Good morning.", 1)
        await say("8", "And good night.", 300, start=290)
        # Later chunks are closed by now.
        await say("9", "Good night.", 600, start=590)
        await say("7", "Good morning everybody.", 601)
        await wait_until(lambda: query_rows(stage.engine, "select 1 from dead_letters") != [])
        (letter,) = (await stage.http.get("/api/dead-letters")).json()["dead_letters"]
        assert letter["reason"].startswith("late:")
        resubmitted = await stage.http.post(f"/api/dead-letters/{letter['id']}/resubmit")
        assert (resubmitted.status_code, resubmitted.json()["adds_sentences"]) == (200, True)
        # The same text by another speaker would be there twice.
        await say("8", "And good night.", 602, start=290, speaker="Bob")
        await wait_until(lambda: len(query_rows(stage.engine, "select 1 from dead_letters")) == 2)
        (same, _) = (await stage.http.get("/api/dead-letters")).json()["dead_letters"]
        refused = await stage.http.post(f"/api/dead-letters/{same['id']}/resubmit")
        assert (refused.status_code, refused.json()["reason"]) == (409, "closed")
        await stage.http.post(f"/api/meetings/{meeting}/end")
        await wait_until(lambda: query_rows(stage.engine, "select 1 from meetings where status = 'ended'") != [])
    said = (await stage.http.get(f"/api/meetings/{meeting}/sentences")).json()["sentences"]
    assert sorted(sentence["text"] for sentence in said) == [
        "And good night.",
        "Good morning everybody.",
        "Good morning.",
        "Good night.",
    ]
    assert len((await stage.http.get("/api/dead-letters")).json()["dead_letters"]) == 2
