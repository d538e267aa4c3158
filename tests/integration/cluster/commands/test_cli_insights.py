"""`parley insights`."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from sqlalchemy.ext.asyncio import AsyncEngine

from flows.jobs import InsightWriter
from operators.insight_requests import Insight, InsightRequest
from tests.harness.api.intelligence_engines import serve_intelligence
from tests.harness.lane.fake_lane_writer import create_written_meeting, make_sentence
from tests.harness.processes.parley_command import run_parley

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]


async def answer(request: InsightRequest) -> Insight:
    if request.schema is None:
        return Insight("Ann sends it.\x1b[2J", None, "scripted 1", 1, 1, 1, "length")
    row = {"task": "Send it.", "owner": "Ann", "due": None, "sentences": [1]}
    return Insight("", {"items": [row]}, "scripted 1", 1, 1, 1, "stop")


async def test_insights_are_generated_and_shown(stage: ApiHarness, aengine: AsyncEngine) -> None:
    meeting, writer = await create_written_meeting(stage)
    serve_intelligence(stage.engine)
    writer.write_sentences(make_sentence("1.0", "I will send it.", 0.0, "Ann"))
    server = ("--server", f"http://{stage.address}")
    assert run_parley("insights", meeting, *server).stdout.startswith("The meeting has no insights.")
    stopping = asyncio.Event()
    writing = asyncio.create_task(InsightWriter(aengine, answer).run(stopping))
    command = ("--generate", "meeting_summary", "--generate", "action_items", "--language", "de")
    done = await asyncio.to_thread(run_parley, "insights", meeting, *command, *server)
    stopping.set()
    await writing
    assert done.returncode == 0, done.stderr
    assert "meeting_summary 1 (de)\nAnn sends it.[2J\n(the answer was cut off)" in done.stdout
    assert "action_items 1 (de)\n- Send it. (Ann, sentences 1.0)" in done.stdout
    listed = json.loads(run_parley("insights", meeting, "--json", *server).stdout)
    assert [each["status"] for each in listed] == ["ready", "ready"]
    refused = run_parley("insights", meeting, "--generate", "none", *server)
    assert refused.returncode == 1
    assert "templates.0: must be the name of an active template: meeting_summary" in refused.stderr
