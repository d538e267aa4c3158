"""serve/dashboard: the insights of a meeting."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import Browser
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.jobs import InsightWriter
from operators.insight_requests import Insight, InsightRequest
from tests.harness.api.intelligence_engines import serve_intelligence
from tests.harness.api.page_reader import open_reader
from tests.harness.lane.fake_lane_writer import create_written_meeting, make_sentence

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness", "tests.harness.api.page_reader"]

SENTENCES = [make_sentence(f"{n}.0", f"Sentence number {n}.", 3.0 * n) for n in range(1, 61)]


async def answer(request: InsightRequest) -> Insight:
    if request.schema is None:
        return Insight(f"It went well.\n{request.task.splitlines()[-1]}", None, "scripted 1", 1, 1, 1, "length")
    rows = [
        {"task": "Send the budget.", "owner": "Ann", "due": "Friday", "sentences": [40]},
        {"task": "Made up.", "owner": None, "due": None, "sentences": [99]},
    ]
    return Insight("", {"items": rows}, "scripted 1", 1, 1, 1, "stop")


@pytest.mark.main_path
async def test_insights_are_generated_and_lead_to_their_sentences(
    stage: ApiHarness, browser: Browser, aengine: AsyncEngine
) -> None:
    meeting, writer = await create_written_meeting(stage)
    serve_intelligence(stage.engine)
    writer.write_sentences(*SENTENCES)
    stopping = asyncio.Event()
    writing = asyncio.create_task(InsightWriter(aengine, answer).run(stopping))
    async with open_reader(browser, str(stage.http.base_url)) as reader:
        page = reader.page
        await reader.open_live_meeting(meeting)
        await page.click(".insights summary")
        await reader.wait_for("document.querySelectorAll('.generate option').length === 6")
        await page.fill(".generate input", "Only the budget.")
        await page.click(".generate button")
        await reader.wait_for_text("Only the budget.")
        await reader.wait_for_text("The answer was cut off")
        assert await page.inner_text(".insight h3") == "Meeting summary"
        await page.select_option(".generate select", "action_items")
        await page.click(".generate button")
        await reader.wait_for_text("Send the budget. · Friday · Ann")
        assert "1 left out: they name no sentence" in await page.inner_text(".insights")
        assert "Made up." not in await page.inner_text(".insights")
        await page.click(".insight li button")
        await page.wait_for_selector('.row.highlighted[data-id="40.0"]')
        await page.reload()
        await page.click(".insights summary")
        await reader.wait_for_text("Send the budget. · Friday · Ann")
        assert await page.inner_text(".insights summary") == "Insights 2"
    stopping.set()
    await writing
