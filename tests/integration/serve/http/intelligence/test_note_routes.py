"""Tests serve/http/intelligence/note_routes.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from flows.jobs import NoteWriter
from operators.insight_requests import Insight
from operators.note_requests import NoteRequest
from tests.harness.api.intelligence_engines import serve_intelligence
from tests.harness.lane.fake_lane_writer import create_written_meeting, make_sentence

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]

API = "/api/intelligence"
SENTENCES = [make_sentence("1.0", "Good morning.", 0.0, "Ann"), make_sentence("2.0", "Is it done?", 2.0, "Bob")]


async def post(stage: ApiHarness, path: str, **body: Any) -> Any:
    return await stage.http.post(f"{API}/{path}", json=body)


async def test_a_user_writes_edits_pins_and_deletes_a_note(stage: ApiHarness) -> None:
    meeting, writer = await create_written_meeting(stage)
    serve_intelligence(stage.engine)
    writer.write_sentences(*SENTENCES)
    answer = await post(stage, f"sessions/{meeting}/notes", text="Ask again.", sentences=["2.0"], language="de")
    note = answer.json()
    assert answer.status_code == 201
    assert (note["kind"], note["status"], note["revision"], note["edited"]) == ("manual", "ready", 1, True)
    assert (note["sentences"], note["start"], note["end"], note["language"]) == (["2.0"], 2.0, 3.0, "de")
    changed = await stage.http.patch(f"{API}/notes/{note['id']}", json={"text": "Ask Bob again.", "pinned": True})
    assert changed.json() == note | {"text": "Ask Bob again.", "pinned": True, "revision": 2}
    assert (await stage.http.get(f"{API}/sessions/{meeting}/notes")).json()["notes"] == [changed.json()]
    revisions = (await stage.http.get(f"{API}/notes/{note['id']}/revisions")).json()["revisions"]
    assert [(each["revision"], each["text"], each["engine"]) for each in revisions] == [
        (1, "Ask again.", None),
        (2, "Ask Bob again.", None),
    ]
    assert (await stage.http.delete(f"{API}/notes/{note['id']}")).status_code == 204
    assert (await stage.http.get(f"{API}/sessions/{meeting}/notes")).json()["notes"] == []
    assert (await stage.http.delete(f"{API}/notes/{note['id']}")).status_code == 404


async def test_a_change_that_is_based_on_an_older_text_is_refused(stage: ApiHarness) -> None:
    meeting, writer = await create_written_meeting(stage)
    writer.write_sentences(*SENTENCES)
    note = (await post(stage, f"sessions/{meeting}/notes", text="Ask again.")).json()
    path = f"{API}/notes/{note['id']}"
    assert (await stage.http.patch(path, json={"text": "First.", "revision": 1})).status_code == 200
    refused = await stage.http.patch(path, json={"text": "Second.", "revision": 1})
    assert (refused.status_code, refused.json()["reason"]) == (409, "revision")
    assert (await stage.http.get(f"{API}/sessions/{meeting}/notes")).json()["notes"][0]["text"] == "First."


async def test_a_note_of_a_user_is_marked_when_its_sentence_changes(stage: ApiHarness) -> None:
    meeting, writer = await create_written_meeting(stage)
    writer.write_sentences(*SENTENCES)
    note = (await post(stage, f"sessions/{meeting}/notes", text="Ask again.", sentences=["2.0"])).json()
    writer.write_sentences(make_sentence("2.0", "Is it Dunn?", 2.0, "Bob", revision=2))
    [stored] = (await stage.http.get(f"{API}/sessions/{meeting}/notes")).json()["notes"]
    assert stored == note | {"outdated": True}
    edited = await stage.http.patch(f"{API}/notes/{note['id']}", json={"text": "Ask Dunn."})
    assert edited.json()["outdated"] is False


async def test_a_selection_is_analyzed(stage: ApiHarness) -> None:
    async def answer(request: NoteRequest) -> Insight:
        lines = " ".join(sentence.text for sentence in request.sentences)
        return Insight(f"{request.task} {lines}", None, "notes 1", 10, 5, 1, "stop")

    meeting, writer = await create_written_meeting(stage)
    serve_intelligence(stage.engine)
    writer.write_sentences(*SENTENCES)
    task = {"sentences": ["2.0", "1.0"], "task": "List the questions."}
    requested = await post(stage, f"sessions/{meeting}/notes/analyze", **task)
    assert requested.status_code == 202
    assert (requested.json()["kind"], requested.json()["status"]) == ("analysis", "pending")
    note_writer = NoteWriter(stage.engine, stage.redis, answer)
    assert await note_writer.start_due() == 1
    await note_writer.finish_running()
    [note] = (await stage.http.get(f"{API}/sessions/{meeting}/notes")).json()["notes"]
    assert (note["status"], note["text"]) == ("ready", "List the questions. Good morning. Is it done?")
    assert (note["task"], note["engine"], note["sentences"]) == (task["task"], "notes 1", ["1.0", "2.0"])


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("notes", {"text": " "}, "text"),
        ("notes", {"text": "x" * 20_001}, "text"),
        ("notes", {"text": "Note", "sentences": ["1.0", "9.9"]}, "sentences.1"),
        ("notes", {"text": "Note", "language": "?"}, "language"),
        ("notes/analyze", {"sentences": [], "task": "Sum up."}, "sentences"),
        ("notes/analyze", {"sentences": ["1.0"], "task": ""}, "task"),
        ("notes/analyze", {"sentences": ["1.0"]}, "task"),
    ],
)
async def test_an_invalid_request_names_its_field(
    stage: ApiHarness, path: str, body: dict[str, Any], field: str
) -> None:
    meeting, writer = await create_written_meeting(stage)
    writer.write_sentences(*SENTENCES)
    answer = await post(stage, f"sessions/{meeting}/{path}", **body)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert (await stage.http.get(f"{API}/sessions/{meeting}/notes")).json()["notes"] == []


async def test_unknown_meetings_and_notes_are_not_found(stage: ApiHarness) -> None:
    for method, path, body in (
        ("GET", f"sessions/{uuid4()}/notes", None),
        ("POST", f"sessions/{uuid4()}/notes", {"text": "Note"}),
        ("POST", f"sessions/{uuid4()}/notes/analyze", {"sentences": ["1.0"], "task": "Sum up."}),
        ("PATCH", f"notes/{uuid4()}", {"pinned": True}),
        ("GET", f"notes/{uuid4()}/revisions", None),
    ):
        answer = await stage.http.request(method, f"{API}/{path}", json=body)
        assert answer.status_code == 404, path
    assert (await stage.http.patch(f"{API}/notes/{uuid4()}", json={})).status_code == 422
