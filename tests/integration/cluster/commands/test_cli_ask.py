"""`parley ask`."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from sqlalchemy.ext.asyncio import AsyncEngine

from flows.jobs import QuestionAnswerer
from operators.insight_requests import Insight, InsightRequest
from tests.harness.api.intelligence_engines import embed_no_question, serve_intelligence
from tests.harness.lane.fake_lane_writer import create_written_meeting, make_sentence
from tests.harness.processes.parley_command import run_parley

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]


async def answer(request: InsightRequest) -> Insight:
    assert request.schema is not None
    if "supported" in request.schema["properties"]:
        return Insight("", {"supported": [True]}, "scripted 1", 1, 1, 1, "stop")
    claim = {"text": "Ann sends the contract.\x1b[2J", "lines": [1]}
    return Insight("", {"claims": [claim]}, "scripted 1", 1, 1, 1, "stop")


async def test_a_question_is_answered_with_its_sentences(stage: ApiHarness, aengine: AsyncEngine) -> None:
    meeting, writer = await create_written_meeting(stage)
    writer.write_sentences(make_sentence("1.0", "I will send the contract.", 0.0, "Ann"))
    server = ("--server", f"http://{stage.address}")
    wrong = run_parley("ask", "Who?", "--last-minutes", "3", *server)
    assert wrong.returncode == 2
    assert "needs --meeting" in wrong.stderr
    refused = run_parley("ask", "Who sends the contract?", *server)
    assert refused.returncode == 1
    assert "no engine serves chat: name one by `parley config`" in refused.stderr
    serve_intelligence(stage.engine)
    stopping = asyncio.Event()
    answering = asyncio.create_task(QuestionAnswerer(aengine, answer, embed_no_question).run(stopping))
    about = await asyncio.to_thread(run_parley, "ask", "Who sends the contract?", "--meeting", meeting, *server)
    everywhere = await asyncio.to_thread(run_parley, "ask", "Who sends the contract?", "--json", *server)
    stopping.set()
    await answering
    assert about.returncode == 0, about.stderr
    assert about.stdout.startswith("Ann sends the contract.[2J [1]\n")
    assert "[1] Ann: I will send the contract." in about.stdout
    assert json.loads(everywhere.stdout)["claims"][0]["sentences"][0]["meeting_id"] == meeting
