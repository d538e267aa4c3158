"""Tests serve/http/sentence_routes.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from sqlalchemy import text

from operators.entries import SentenceCorrected, parse_entry
from operators.translation_requests import CaptionStatus
from storage import redis_keys
from storage.batch_commit.pending_captions import read_due_requests
from tests.harness.lane.fake_lane_writer import create_written_meeting, make_sentence
from tests.harness.processes.parley_command import run_parley

if TYPE_CHECKING:
    import httpx

    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]

GREETING = make_sentence("1.0", "Good mourning.", 0.0)
ANSWER = make_sentence("2.0", "Yes.", 2.0, "Bob")


async def correct(stage: ApiHarness, meeting: str, words: str, revision: Any = 1, id: str = "1.0") -> httpx.Response:
    path = f"/api/meetings/{meeting}/sentences/{id}"
    return await stage.http.patch(path, json={"text": words, "revision": revision})


async def delete_correction(stage: ApiHarness, meeting: str) -> httpx.Response:
    return await stage.http.delete(f"/api/meetings/{meeting}/sentences/1.0/correction")


async def first_sentence(stage: ApiHarness, meeting: str) -> dict[str, Any]:
    return (await stage.http.get(f"/api/meetings/{meeting}/sentences")).json()["sentences"][0]


def log_entries(stage: ApiHarness, meeting: str) -> list[SentenceCorrected]:
    entries = [parse_entry(fields) for _, fields in stage.redis.xrange(redis_keys.lane_log("live-1"))]  # type: ignore[union-attr]
    return [
        entry.payload
        for entry in entries
        if entry.meeting_id == meeting and isinstance(entry.payload, SentenceCorrected)
    ]


async def test_a_correction_is_an_entry_of_the_log(stage: ApiHarness) -> None:
    meeting, writer = await create_written_meeting(stage)
    writer.write_sentences(GREETING, ANSWER)
    answer = await correct(stage, meeting, " Good \n morning. ")
    assert (answer.status_code, answer.json()) == (202, {"ordinal": 2, "text": "Good morning."})
    same = await correct(stage, meeting, "Good mourning.")
    assert (same.status_code, same.json()["ordinal"]) == (202, None)
    assert log_entries(stage, meeting) == [
        SentenceCorrected(sentence_id="1.0", previous_text="Good mourning.", text="Good morning.")
    ]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"text": "", "revision": 1}, "text"),
        ({"text": "\u200b ", "revision": 1}, "text"),
        ({"text": "a\x00b", "revision": 1}, "text"),
        ({"text": "a\x1b[2J", "revision": 1}, "text"),
        ({"text": "x" * 20_001, "revision": 1}, "text"),
        ({"text": "Hi.", "revision": 0}, "revision"),
        ({"text": "Hi."}, "revision"),
        ({"text": "Hi.", "revision": 1, "speaker": "Ann"}, "speaker"),
    ],
)
async def test_an_invalid_correction_is_refused_with_the_field(
    stage: ApiHarness, fields: dict[str, Any], field: str
) -> None:
    meeting, writer = await create_written_meeting(stage)
    writer.write_sentences(GREETING)
    answer = await stage.http.patch(f"/api/meetings/{meeting}/sentences/1.0", json=fields)
    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, [field])
    assert log_entries(stage, meeting) == []


async def test_what_no_longer_exists_is_not_corrected(stage: ApiHarness) -> None:
    meeting, writer = await create_written_meeting(stage)
    writer.write_sentences(GREETING, ANSWER)
    writer.retract(GREETING)
    assert (await correct(stage, meeting, "Hi.")).status_code == 404
    assert (await correct(stage, meeting, "Hi.", id="9.0")).status_code == 404
    assert (await correct(stage, str(UUID(int=1)), "Hi.")).status_code == 404
    assert (await delete_correction(stage, meeting)).status_code == 404


async def test_an_ended_meeting_is_corrected_at_once(stage: ApiHarness) -> None:
    meeting, writer = await create_written_meeting(stage)
    writer.write_sentences(GREETING, ANSWER)
    writer.write_caption(GREETING, "Bom luto.")
    writer.write_caption(ANSWER, "Sim.")
    writer.write_note(writer.request_note(GREETING), "A greeting.")
    writer.end()
    answer = await correct(stage, meeting, "Good morning.")
    assert (answer.status_code, answer.json()) == (202, {"ordinal": None, "text": "Good morning."})
    stored = await first_sentence(stage, meeting)
    assert (stored["text"], stored["original_text"]) == ("Good morning.", "Good mourning.")
    assert (stored["corrected"], stored["revision"]) == (True, 2)
    captions = (await stage.http.get(f"/api/meetings/{meeting}/captions")).json()["captions"]
    assert [(c["status"], c["revision"]) for c in captions] == [("pending", 2), ("translated", 1)]
    with stage.engine.begin() as conn:
        (request,) = read_due_requests(conn, 10)
        query = "select seq, kind, payload from outbox where meeting_id = :id order by seq"
        events = conn.execute(text(query), {"id": UUID(meeting)}).all()
    assert (request.text, request.previous_translation) == ("Good morning.", "Bom luto.")
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [(event.kind, event.payload["revision"]) for event in events[-2:]] == [("sentence", 2), ("note", 1)]
    (note,) = (await stage.http.get(f"/api/intelligence/sessions/{meeting}/notes")).json()["notes"]
    assert note["outdated"] is True
    exported = (await stage.http.get(f"/api/meetings/{meeting}/export", params={"format": "jsonl"})).text
    assert '"text": "Good morning."' in exported
    assert '"original_text": "Good mourning.", "corrected": true' in exported
    assert "mourning" not in (await stage.http.get(f"/api/meetings/{meeting}/export?format=srt&text=both")).text


async def test_an_edit_of_another_user_is_not_lost(stage: ApiHarness) -> None:
    meeting, writer = await create_written_meeting(stage)
    writer.write_sentences(GREETING)
    writer.end()
    for _ in range(2):  # A request that is sent again is no conflict.
        assert (await correct(stage, meeting, "Good morning.")).status_code == 202
    late = await correct(stage, meeting, "Good evening.")
    assert (late.status_code, late.json()["reason"]) == (409, "changed")
    assert late.json()["sentence"] == await first_sentence(stage, meeting)
    assert (await correct(stage, meeting, "Good evening.", late.json()["sentence"]["revision"])).status_code == 202
    assert (await first_sentence(stage, meeting))["original_text"] == "Good mourning."


async def test_a_correction_is_deleted(stage: ApiHarness) -> None:
    meeting, writer = await create_written_meeting(stage)
    writer.write_sentences(GREETING)
    writer.write_caption(GREETING, None, CaptionStatus.UNTRANSLATED, "too long")
    writer.end()
    assert (await delete_correction(stage, meeting)).status_code == 409
    await correct(stage, meeting, "Good morning.")
    answer = await delete_correction(stage, meeting)
    assert (answer.status_code, answer.json()) == (202, {"ordinal": None, "text": "Good mourning."})
    stored = await first_sentence(stage, meeting)
    assert (stored["text"], stored["original_text"], stored["revision"]) == ("Good mourning.", None, 3)
    # The source's text as a user's text is no correction.
    await correct(stage, meeting, "Good morning.", 3)
    await correct(stage, meeting, "Good mourning.", 4)
    assert (await first_sentence(stage, meeting))["corrected"] is False


async def test_the_command_corrects_a_sentence(stage: ApiHarness) -> None:
    meeting, writer = await create_written_meeting(stage)
    writer.write_sentences(GREETING)
    writer.end()
    server = f"http://{stage.address}"
    done = run_parley("meetings", "correct", meeting, "1.0", "Good morning.", "--server", server)
    assert (done.returncode, done.stderr) == (0, "The sentence is now: Good morning.\n")
    unknown = run_parley("meetings", "correct", meeting, "7.0", "Good morning.", "--server", server)
    assert unknown.returncode == 1
    assert "no such sentence" in unknown.stderr
