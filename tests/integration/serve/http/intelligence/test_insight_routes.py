"""Tests serve/http/intelligence/insight_routes.py, with the job that generates insights."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.jobs import InsightWriter
from flows.jobs.insight_writer import MAX_CALLS, MAX_FAILURES
from operators.errors import UnavailableError
from operators.insight_requests import Insight, InsightRequest
from operators.insights.templates import AUTO_NOTE, default_templates
from serve.engines.protocol import NonRetryableError
from tests.harness.api.intelligence_engines import serve_intelligence
from tests.harness.lane.fake_lane_writer import create_written_meeting, make_sentence

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]

API = "/api/intelligence"
SENTENCES = [
    make_sentence("1.0", "I will send the budget.", 0.0, "Ann"),
    make_sentence("2.0", "By Friday?", 2.0, "Bob"),
    make_sentence("3.0", "Yes.", 3.0, "Ann"),
]


async def answer_by_format(request: InsightRequest) -> Insight:
    """Answer with the task, or with rows of which some name lines that don't exist."""
    if request.schema is None:
        return Insight(f"{request.language}: {request.task}", None, "scripted 1", 100, 20, 1, "stop")
    field = "task" if "task" in json.dumps(request.schema) else "decision"
    rows = [
        {field: "Send the budget.", "owner": "Ann", "due": "Friday", "sentences": [1, 3, 9]},
        {field: "Made up.", "owner": None, "due": None, "sentences": [4]},
    ]
    return Insight("", {"items": rows}, "scripted 1", 100, 20, 1, "stop")


async def generate(stage: ApiHarness, meeting: str, **body: Any) -> Any:
    return await stage.http.post(f"{API}/sessions/{meeting}/insights/generate", json=body)


async def run_writer(
    aengine: AsyncEngine, answer: Callable[[InsightRequest], Awaitable[Insight]] = answer_by_format
) -> None:
    """Generate due insights until none is left."""
    writer = InsightWriter(aengine, answer)
    while await writer.start_due():
        await writer.finish_running()


def make_due(stage: ApiHarness) -> None:
    """End the pauses after which insights are generated."""
    with stage.engine.begin() as connection:
        connection.exec_driver_sql("update insights set due_at = now() where due_at is not null")


@pytest.fixture
async def meeting(stage: ApiHarness) -> str:
    serve_intelligence(stage.engine)
    meeting, writer = await create_written_meeting(stage)
    writer.write_sentences(*SENTENCES)
    return meeting


async def test_one_insight_has_its_text_and_where_it_comes_from(
    stage: ApiHarness, meeting: str, aengine: AsyncEngine
) -> None:
    requested = await generate(stage, meeting, templates=["meeting_summary"], instructions="Be brief.")
    assert requested.status_code == 202
    [pending] = requested.json()["insights"]
    assert (pending["status"], pending["text"], pending["language"]) == ("pending", None, "pt")
    await run_writer(aengine)
    insight = (await stage.http.get(f"{API}/insights/{pending['id']}")).json()
    assert insight["status"] == "ready"
    assert insight["text"].startswith('pt: Sum up the transcript of a meeting of 4 seconds with "Ann", "Bob".')
    assert insight["text"].endswith("Be brief.")
    assert (insight["template_version"], insight["prompt_version"], insight["number"]) == (1, 1, 1)
    assert (insight["engine"], insight["prompt_tokens"], insight["completion_tokens"]) == ("scripted 1", 100, 20)
    assert insight["transcript_seq"] == (await stage.http.get(f"/api/meetings/{meeting}")).json()["seq"]
    assert (await stage.http.delete(f"{API}/insights/{pending['id']}")).status_code == 204
    assert (await stage.http.get(f"{API}/insights/{pending['id']}")).status_code == 404


async def test_rows_name_existing_sentences(stage: ApiHarness, meeting: str, aengine: AsyncEngine) -> None:
    await generate(stage, meeting, templates=["action_items"])
    await run_writer(aengine)
    [insight] = (await stage.http.get(f"{API}/sessions/{meeting}/insights")).json()["insights"]
    assert insight["rows"] == [
        {"task": "Send the budget.", "owner": "Ann", "due": "Friday", "sentences": ["1.0", "3.0"]}
    ]
    assert (insight["text"], insight["dropped_rows"], insight["dropped_sentences"]) == (None, 1, 1)


async def test_all_insights_are_generated_a_few_at_a_time(
    stage: ApiHarness, meeting: str, aengine: AsyncEngine
) -> None:
    running = most = 0

    async def count(request: InsightRequest) -> Insight:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        if request.task.startswith("Describe"):
            raise NonRetryableError("the model can't")
        return await answer_by_format(request)

    assert len((await generate(stage, meeting, templates=None)).json()["insights"]) == len(default_templates()) - 1
    writer = InsightWriter(aengine, count)
    assert await writer.start_due() == MAX_CALLS
    assert await writer.start_due() == MAX_CALLS
    await writer.finish_running()
    for _ in range(MAX_FAILURES):
        await run_writer(aengine, count)
        make_due(stage)
    assert most <= MAX_CALLS
    insights = (await stage.http.get(f"{API}/sessions/{meeting}/insights")).json()["insights"]
    assert AUTO_NOTE not in {each["template"] for each in insights}
    failed = {each["template"]: each["reason"] for each in insights if each["status"] != "ready"}
    assert failed == {"speaker_analysis": "the model can't"}


async def test_a_regenerated_insight_keeps_the_earlier_one(
    stage: ApiHarness, meeting: str, aengine: AsyncEngine
) -> None:
    await generate(stage, meeting, templates=["key_decisions"])
    await generate(stage, meeting, templates=["key_decisions"], language="de")
    content = {"prompt_template": "What was decided in $transcript?", "expected_output_format": "decisions"}
    await stage.http.put(f"{API}/templates/key_decisions", json=content)
    await generate(stage, meeting, templates=["key_decisions"])
    await run_writer(aengine)
    insights = (await stage.http.get(f"{API}/sessions/{meeting}/insights")).json()["insights"]
    assert [(each["language"], each["number"], each["template_version"]) for each in insights] == [
        ("pt", 2, 2),
        ("de", 1, 1),
        ("pt", 1, 1),
    ]
    assert {each["status"] for each in insights} == {"ready"}


async def test_failures_are_bounded_and_outages_are_not(stage: ApiHarness, meeting: str, aengine: AsyncEngine) -> None:
    error: Exception = UnavailableError("away")

    async def fail(request: InsightRequest) -> Insight:
        raise error

    async def attempt() -> dict[str, Any]:
        make_due(stage)
        writer = InsightWriter(aengine, fail)
        await writer.start_due()
        await writer.finish_running()
        return (await stage.http.get(f"{API}/sessions/{meeting}/insights")).json()["insights"][0]

    await generate(stage, meeting, templates=["meeting_summary"])
    for _ in range(MAX_FAILURES + 1):
        assert (await attempt())["status"] == "pending"
    error = NonRetryableError("the request leaves too little room")
    states = [await attempt() for _ in range(MAX_FAILURES)]
    assert [state["status"] for state in states] == ["pending"] * (MAX_FAILURES - 1) + ["failed"]
    assert states[-1]["reason"] == "the request leaves too little room"


async def test_a_meeting_without_sentences_fails_at_once_with_the_reason(
    stage: ApiHarness, aengine: AsyncEngine
) -> None:
    serve_intelligence(stage.engine)
    meeting, _ = await create_written_meeting(stage)
    await generate(stage, meeting, templates=["meeting_summary"])
    await run_writer(aengine)
    [insight] = (await stage.http.get(f"{API}/sessions/{meeting}/insights")).json()["insights"]
    assert (insight["status"], insight["reason"]) == ("failed", "the meeting: has no sentence yet")


async def test_a_request_can_wait_for_its_insights(stage: ApiHarness, meeting: str, aengine: AsyncEngine) -> None:
    stopping = asyncio.Event()
    writing = asyncio.create_task(InsightWriter(aengine, answer_by_format).run(stopping))
    path = f"{API}/sessions/{meeting}/insights/generate"
    answer = await stage.http.post(path, json={"templates": ["meeting_summary"]}, params={"wait_s": 60})
    stopping.set()
    await writing
    assert [each["status"] for each in answer.json()["insights"]] == ["ready"]


async def test_an_insight_that_was_interrupted_is_generated_again(
    stage: ApiHarness, meeting: str, aengine: AsyncEngine
) -> None:
    began, stopping = asyncio.Event(), asyncio.Event()

    async def hang(request: InsightRequest) -> Insight:
        began.set()
        await asyncio.Event().wait()
        raise AssertionError

    await generate(stage, meeting, templates=["meeting_summary"])
    writing = asyncio.create_task(InsightWriter(aengine, hang).run(stopping))
    await began.wait()
    stopping.set()
    await writing
    await run_writer(aengine)
    [insight] = (await stage.http.get(f"{API}/sessions/{meeting}/insights")).json()["insights"]
    assert insight["status"] == "ready"


async def test_statistics_need_no_model(stage: ApiHarness, meeting: str) -> None:
    speakers = (await stage.http.get(f"{API}/sessions/{meeting}/speakers/statistics")).json()["speakers"]
    assert [(each["speaker"], each["turns"], each["questions"]) for each in speakers] == [("Ann", 2, 0), ("Bob", 1, 1)]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"templates": ["meeting_summary", "none"]}, "templates.1"),
        ({"templates": []}, "templates"),
        ({"templates": "all"}, "templates"),
        ({"templates": ["meeting_summary"], "language": "?"}, "language"),
        ({"templates": ["meeting_summary"], "instructions": "x" * 2_001}, "instructions"),
        ({"template": "meeting_summary"}, "template"),
    ],
)
async def test_an_invalid_request_names_its_field(
    stage: ApiHarness, meeting: str, body: dict[str, Any], field: str
) -> None:
    answer = await generate(stage, meeting, **body)
    assert answer.status_code == 422
    assert field in {error["field"] for error in answer.json()["errors"]}, answer.json()
    assert (await stage.http.get(f"{API}/sessions/{meeting}/insights")).json()["insights"] == []


async def test_without_an_engine_a_request_says_so(stage: ApiHarness) -> None:
    meeting, _ = await create_written_meeting(stage)
    answer = await generate(stage, meeting, templates=["meeting_summary"])
    assert (answer.status_code, answer.json()["reason"]) == (409, "no_engine")
    assert (await stage.http.get(f"{API}/sessions/{meeting}/insights")).json()["insights"] == []


async def test_unknown_meetings_and_insights_are_not_found(stage: ApiHarness) -> None:
    assert (await generate(stage, str(uuid4()), templates=None)).status_code == 404
    for path in (f"sessions/{uuid4()}/insights", f"insights/{uuid4()}", f"sessions/{uuid4()}/speakers/statistics"):
        assert (await stage.http.get(f"{API}/{path}")).status_code == 404
    assert (await stage.http.delete(f"{API}/insights/{uuid4()}")).status_code == 404
