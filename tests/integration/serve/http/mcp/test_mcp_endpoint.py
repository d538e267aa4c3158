"""Tests serve/http/mcp with the SDK's own client, against the running API."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from mcp import Client, MCPError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.jobs import QuestionAnswerer
from operators.translation_requests import CaptionStatus
from serve.http.mcp import meeting_resources
from storage.chat import due_questions
from tests.harness.api.intelligence_engines import embed_no_question, serve_intelligence
from tests.harness.lane.fake_lane_writer import FakeLaneWriter, create_written_meeting, make_sentence
from tests.integration.serve.http.intelligence.test_chat_routes import ScriptedChat

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]

SENTENCES = [
    make_sentence("1.0", "The budget is 12,000 euros for the second quarter.", 0.0, "Ann"),
    make_sentence("2.0", "I will send the contract to the customer on Friday.", 60.0, "Bob"),
    make_sentence("3.0", "And the contract needs a budget line.", 300.0, "Ann"),
    make_sentence("10.0", "Good.", 300.0, "Bob"),
]
TOOLS = {"list_meetings", "search_transcripts", "read_transcript", "read_captions", "read_notes", "read_insights"}


def connect(stage: ApiHarness, mode: str = "auto") -> Client:
    return Client(f"http://{stage.address}/mcp", mode=mode)


async def call(client: Client, name: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(name, arguments)
    assert not result.is_error, result.content
    return result.structured_content


async def fail(client: Client, name: str, **arguments: Any) -> str:
    result = await client.call_tool(name, arguments)
    assert result.is_error
    assert result.structured_content is None
    return result.content[0].text  # type: ignore[union-attr]


@pytest.fixture
async def written(stage: ApiHarness) -> tuple[str, FakeLaneWriter]:
    serve_intelligence(stage.engine)
    meeting, writer = await create_written_meeting(stage)
    writer.write_sentences(*SENTENCES)
    return meeting, writer


@pytest.fixture
def meeting(written: tuple[str, FakeLaneWriter]) -> str:
    return written[0]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_tools_describe_themselves(stage: ApiHarness, mode: str) -> None:
    async with connect(stage, mode) as client:
        assert client.server_info.name == "parley"
        assert "never instructions" in (client.instructions or "")
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert tools.keys() == TOOLS | {"ask", "read_answer"}
    for name, tool in tools.items():
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint == (name != "ask")
        assert not tool.annotations.destructive_hint
        assert tool.description
        assert tool.output_schema
        assert [field for field, schema in tool.input_schema["properties"].items() if "description" not in schema] in (
            [],
            ["question", "language"],
        )


async def test_meetings_are_listed_in_pages(stage: ApiHarness, meeting: str) -> None:
    ended = await stage.create_meeting(title="Tuesday")
    stage.set_status(ended, "ended")
    async with connect(stage) as client:
        first = await call(client, "list_meetings", limit=1)
        assert [each["title"] for each in first["meetings"]] == ["Tuesday"]
        second = await call(client, "list_meetings", limit=1, before=first["before"])
        assert (await call(client, "list_meetings", status=["ended"]))["meetings"] == first["meetings"]
    assert second["before"] is None
    [listed] = second["meetings"]
    assert (listed["id"], listed["status"], listed["target_languages"]) == (meeting, "live", ["pt"])


async def test_a_search_finds_rare_words_first(stage: ApiHarness, meeting: str) -> None:
    async with connect(stage) as client:
        found = await call(client, "search_transcripts", query="the customer, the contract")
        assert [hit["sentence"]["id"] for hit in found["hits"]] == ["2.0", "3.0", "1.0"]
        assert found["hits"][0]["meeting_id"] == meeting
        assert found["hits"][0]["meeting_title"] == "Monday"
        assert not found["has_more"]
        assert (await call(client, "search_transcripts", query="contract", limit=1))["has_more"]
        assert (await call(client, "search_transcripts", query="elephant"))["hits"] == []


async def test_a_transcript_is_read_in_pages_by_time_and_by_ids(
    stage: ApiHarness, written: tuple[str, FakeLaneWriter]
) -> None:
    meeting, writer = written
    async with connect(stage) as client:
        first = await call(client, "read_transcript", meeting_id=meeting, limit=3)
        assert [line["id"] for line in first["sentences"]] == ["1.0", "2.0", "3.0"]
        # The last sentence of a page may be retracted before the next page is read.
        writer.retract(SENTENCES[2])
        rest = await call(client, "read_transcript", meeting_id=meeting, limit=3, after=first["after"])
        assert (rest["sentences"], rest["after"]) == (
            [{"id": "10.0", "speaker": "Bob", "start": 300.0, "end": 301.0, "text": "Good."}],
            None,
        )
        span = await call(client, "read_transcript", meeting_id=meeting, from_s=1.5, until_s=60)
        assert [line["id"] for line in span["sentences"]] == ["2.0"]
        named = await call(client, "read_transcript", meeting_id=meeting, sentences=["10.0", "1.0"])
        assert [line["id"] for line in named["sentences"]] == ["1.0", "10.0"]


async def test_captions_are_read_in_one_language(stage: ApiHarness, written: tuple[str, FakeLaneWriter]) -> None:
    meeting, writer = written
    writer.write_caption(SENTENCES[0], "O orçamento é de 12.000 euros.", warnings=("name: Q2",))
    writer.write_caption(SENTENCES[1], None, CaptionStatus.UNTRANSLATED, reason="refused")
    async with connect(stage) as client:
        page = await call(client, "read_captions", meeting_id=meeting, language="pt", limit=3)
        assert [(line["status"], line["text"], line["reason"]) for line in page["captions"]] == [
            ("translated", "O orçamento é de 12.000 euros.", None),
            ("untranslated", None, "refused"),
            ("pending", None, None),
        ]
        assert page["captions"][0]["warnings"] == ["name: Q2"]
        assert page["after"] == "3.0"
        reason = await fail(client, "read_captions", meeting_id=meeting, language="de")
    assert reason == "language: must be one of pt"


async def test_notes_and_insights_are_read_in_pages(stage: ApiHarness, written: tuple[str, FakeLaneWriter]) -> None:
    meeting, writer = written
    for sentence in SENTENCES[:2]:
        writer.write_note(writer.request_note(sentence), f"Note on {sentence.id}.")
    session = f"/api/intelligence/sessions/{meeting}"
    for template in ("meeting_summary", "action_items"):
        answer = await stage.http.post(f"{session}/insights/generate", json={"templates": [template]})
        assert answer.status_code == 202
    async with connect(stage) as client:
        last = await call(client, "read_notes", meeting_id=meeting, limit=1)
        assert [(note["text"], note["sentences"]) for note in last["notes"]] == [("Note on 2.0.", ["2.0"])]
        first = await call(client, "read_notes", meeting_id=meeting, limit=1, before=last["before"])
        assert [note["text"] for note in first["notes"]] == ["Note on 1.0."]
        assert first["before"] is None
        newest = await call(client, "read_insights", meeting_id=meeting, limit=1)
        older = await call(client, "read_insights", meeting_id=meeting, before=newest["before"])
    assert [each["template"] for each in (*newest["insights"], *older["insights"])] == [
        "action_items",
        "meeting_summary",
    ]


async def test_a_question_is_answered_or_says_what_it_waits_for(
    stage: ApiHarness, meeting: str, aengine: AsyncEngine
) -> None:
    async with connect(stage) as client:
        asked = await call(client, "ask", question="How large is the budget?", meeting_id=meeting, wait_s=0)
        assert asked["message"]["status"] == "pending"
        assert "`read_answer`" in asked["waiting_for"]
        later = asyncio.create_task(call(client, "read_answer", message_id=asked["message"]["id"], wait_s=60))
        answerer = QuestionAnswerer(aengine, ScriptedChat(("The budget is 12,000 euros.", [1])), embed_no_question)
        while await answerer.start_due():
            await answerer.finish_running()
        answer = await later
    assert answer["waiting_for"] is None
    message = answer["message"]
    assert (message["status"], message["outcome"]) == ("ready", "answered")
    assert message["claims"][0]["sentences"][0]["sentence_id"] == "1.0"
    # People find the question on the meeting's page.
    listed = await stage.http.get(f"/api/intelligence/sessions/{meeting}/agent/conversations")
    assert [each["id"] for each in listed.json()["conversations"]] == [message["conversation_id"]]


async def test_without_an_engine_a_question_leaves_no_conversation(stage: ApiHarness) -> None:
    async with connect(stage) as client:
        assert "no engine serves chat" in await fail(client, "ask", question="Who pays?")
    listed = await stage.http.get("/api/intelligence/agent/conversations")
    assert listed.json()["conversations"] == []


async def test_transcripts_are_resources(stage: ApiHarness, meeting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The API runs in a thread of this process.
    monkeypatch.setattr(meeting_resources, "PAGE_SIZE", 1)
    await stage.create_meeting(title="Tuesday")
    async with connect(stage) as client:
        first = await client.list_resources()
        assert first.resources[0].name.startswith("Tuesday (")
        [resource] = (await client.list_resources(cursor=first.next_cursor)).resources
        [template] = (await client.list_resource_templates()).resource_templates
        assert template.uri_template.format(meeting_id=meeting) == resource.uri
        [content] = (await client.read_resource(resource.uri)).contents
        assert "# Monday" in content.text  # type: ignore[union-attr]
        assert "**Bob** [00:01:00]" in content.text  # type: ignore[union-attr]
        for uri in ("parley://meetings/none", template.uri_template.format(meeting_id="-" * 36), "file:///etc/passwd"):
            with pytest.raises(MCPError, match=r"parley://meetings/\{meeting_id\}/transcript"):
                await client.read_resource(uri)
        with pytest.raises(MCPError, match="there is no meeting"):
            await client.read_resource(template.uri_template.format(meeting_id=uuid4()))
        with pytest.raises(MCPError, match="cursor: must be"):
            await client.list_resources(cursor="'; drop table meetings")
        monkeypatch.setattr(meeting_resources, "MAX_CHARS", 10)
        with pytest.raises(MCPError, match="read_transcript"):
            await client.read_resource(resource.uri)


SECRET = "the-secret-words"


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("list_meetings", {"limit": 10**30}, "limit: "),
    ("list_meetings", {"status": [SECRET]}, "status.0: "),
    ("list_meetings", {"before": SECRET}, "before: "),
    ("list_meetings", {"team_id": SECRET}, "team_id: "),
    ("search_transcripts", {}, "query: "),
    ("search_transcripts", {"query": "  "}, "query: must not be blank"),
    ("search_transcripts", {"query": SECRET * 100}, "query: "),
    ("search_transcripts", {"query": "a\x00b"}, "query: must not contain the character NUL"),
    ("read_transcript", {}, "meeting_id: "),
    ("read_transcript", {"meeting_id": str(uuid4())}, "there is no meeting"),
    ("read_transcript", {"from_s": -1}, "from_s: must be seconds"),
    ("read_transcript", {"until_s": "NaN"}, "until_s: must be seconds"),
    ("read_transcript", {"from_s": 5, "until_s": 4}, "until_s must not be before from_s"),
    ("read_transcript", {"after": SECRET}, "after: must be"),
    ("read_transcript", {"sentences": ["1.0", SECRET]}, "sentences.1: must be"),
    ("read_transcript", {"sentences": ["\x00"]}, "sentences.0: must not contain the character NUL"),
    ("read_transcript", {"sentences": ["1.0"], "from_s": 3}, "leave out from_s"),
    ("read_captions", {"language": SECRET + "!"}, "language: "),
    ("read_notes", {"before": str(uuid4())}, "before: must be the id of a note"),
    ("read_insights", {"limit": 0}, "limit: "),
    ("ask", {"question": "Who?", "meeting_id": None, "last_minutes": 5}, "last_minutes needs meeting_id"),
    ("ask", {"question": "Who?", "wait_s": 1e9}, "wait_s: "),
    ("read_answer", {"message_id": str(uuid4())}, "there is no such question"),
]
"""Tools, each with wrong arguments and what the reason must say."""
OF_A_MEETING = {"read_transcript", "read_captions", "read_notes", "read_insights"}


async def test_wrong_arguments_are_named_with_the_fix(stage: ApiHarness, meeting: str) -> None:
    async with connect(stage) as client:
        for name, arguments, words in WRONG:
            about = {"meeting_id": meeting} if name in OF_A_MEETING and words != "meeting_id: " else {}
            reason = await fail(client, name, **about | arguments)
            assert words in reason
            assert SECRET not in reason


async def test_an_unknown_tool_is_refused(stage: ApiHarness) -> None:
    async with connect(stage) as client:
        with pytest.raises(MCPError, match="name: must be one of list_meetings"):
            await client.call_tool("delete_meeting", {})


async def test_a_search_that_takes_too_long_says_so(
    stage: ApiHarness, meeting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due_questions, "SEARCH_TIMEOUT_MS", 1)
    _, writer = await create_written_meeting(stage)
    writer.write_sentences(*(make_sentence(f"{n}.0", f"The budget {n}. " * 40, n, "Cy") for n in range(1, 1500)))
    async with connect(stage) as client:
        assert await fail(client, "search_transcripts", query="budget") == (
            "query: the search took too long; use fewer words"
        )


async def test_meetings_of_other_teams_are_not_found(stage: ApiHarness, meeting: str) -> None:
    with stage.engine.begin() as conn:
        conn.execute(text("insert into teams (id, name) values ('other', 'Other')"))
        for table, key in (("meetings", "id"), ("sentences", "meeting_id")):
            conn.execute(text(f"update {table} set team_id = 'other' where {key} = :id"), {"id": meeting})
    async with connect(stage) as client:
        assert (await call(client, "list_meetings"))["meetings"] == []
        assert (await call(client, "search_transcripts", query="budget"))["hits"] == []
        assert (await client.list_resources()).resources == []
        for name in ("read_transcript", "read_notes", "read_insights"):
            assert "there is no meeting" in await fail(client, name, meeting_id=meeting)
        assert "there is no meeting" in await fail(client, "ask", question="Who?", meeting_id=meeting)


async def post(stage: ApiHarness, path: str = "/mcp", **headers: str) -> httpx.Response:
    """List the tools as a client without a session does."""
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    accepted = {"accept": "application/json, text/event-stream"}
    return await stage.http.post(path, json=message, headers=accepted | headers)


async def test_other_sites_and_methods_are_refused(stage: ApiHarness) -> None:
    answer = await post(stage)
    assert {tool["name"] for tool in answer.json()["result"]["tools"]} > TOOLS
    for headers in ({"host": "evil.example"}, {"origin": "http://evil.example"}, {"origin": "null"}):
        for path in ("/mcp", "/mcp/"):
            refused = await post(stage, path, **headers)
            assert (refused.status_code, refused.headers["content-type"]) == (403, "application/problem+json")
            assert "location" not in refused.headers
    for method in ("GET", "DELETE"):
        refused = await stage.http.request(method, "/mcp")
        assert (refused.status_code, refused.json()["status"]) == (405, 405)
    refused = await stage.http.post("/mcp", content=b"x" * 1_000_001)
    assert (refused.status_code, refused.json()["type"]) == (413, "urn:parley:problem:too-large")
