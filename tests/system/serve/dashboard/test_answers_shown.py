"""serve/dashboard: questions about a meeting, and their answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import Browser
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.jobs import QuestionAnswerer
from operators.insight_requests import Insight, InsightRequest
from tests.harness.api.intelligence_engines import embed_no_question, serve_intelligence
from tests.harness.api.page_reader import open_reader
from tests.harness.lane.fake_lane_writer import create_written_meeting, make_sentence

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness", "tests.harness.api.page_reader"]

SENTENCES = [make_sentence(f"{n}.0", f"Sentence number {n} is about the budget.", 3.0 * n) for n in range(1, 61)]


async def answer(request: InsightRequest) -> Insight:
    assert request.schema is not None
    if "supported" in request.schema["properties"]:
        return Insight("", {"supported": [True, False]}, "scripted 1", 1, 1, 1, "stop")
    claims = [
        {"text": "Sentence 40 is about the budget.", "lines": [40]},
        {"text": "Everything was wonderful.", "lines": [2]},
        {"text": "Invented.", "lines": [99]},
    ]
    return Insight("", {"claims": claims}, "scripted 1", 1, 1, 1, "stop")


@pytest.mark.main_path
async def test_an_answer_leads_to_its_sentences_and_marks_what_they_do_not_say(
    stage: ApiHarness, browser: Browser, aengine: AsyncEngine
) -> None:
    meeting, writer = await create_written_meeting(stage)
    writer.write_sentences(*SENTENCES)
    async with open_reader(browser, str(stage.http.base_url), allow_network_errors=True) as reader:
        page = reader.page
        await reader.open_live_meeting(meeting)
        await page.click(".chat summary")
        await page.fill(".chat input", "What is it about?")
        await page.click(".chat form button")
        await reader.wait_for_text("There is no answer: no engine serves chat")
        assert await page.input_value(".chat input") == "What is it about?"
        serve_intelligence(stage.engine)
        stopping = asyncio.Event()
        answering = asyncio.create_task(QuestionAnswerer(aengine, answer, embed_no_question).run(stopping))
        await page.click(".chat form button")
        await reader.wait_for_text("Sentence 40 is about the budget. [1]")
        text = await page.inner_text(".answer:last-child")
        assert "Everything was wonderful. [1] (these sentences don't say so)" in text
        assert "As of 3:01 · 1 claim left out: they name no sentence" in text
        assert "Invented." not in text
        await page.click(".answer:last-child .content p:first-child button")
        await page.wait_for_selector('.row.highlighted[data-id="40.0"]')
        assert await page.evaluate("document.activeElement.dataset.id") == "40.0"
        assert await page.input_value(".chat input") == ""
        stopping.set()
        await answering
