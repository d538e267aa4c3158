"""serve/dashboard: the notes of a meeting, and what the reader can do with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import Browser, Dialog

from tests.harness.api.page_reader import open_reader
from tests.harness.lane.fake_lane_writer import create_written_meeting, make_sentence

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness", "tests.harness.api.page_reader"]

SENTENCES = [make_sentence(f"{n}.0", f"Sentence number {n}.", 3.0 * n) for n in range(1, 61)]


async def accept(dialog: Dialog) -> None:
    await dialog.accept()


@pytest.mark.main_path
async def test_notes_appear_lead_to_their_sentences_and_can_be_changed(stage: ApiHarness, browser: Browser) -> None:
    meeting, writer = await create_written_meeting(stage)
    writer.write_sentences(*SENTENCES)
    async with open_reader(browser, str(stage.http.base_url)) as reader:
        page = reader.page
        await reader.open_live_meeting(meeting)
        await page.click(".notes summary")
        request = writer.request_note(*SENTENCES[1:3])
        await reader.wait_for_text("1 note to be written")
        writer.write_note(request, "- Two and three.\n- Nothing else.")
        await reader.wait_for_text("Nothing else.")
        assert await page.inner_text(".notes summary") == "Notes 1"
        assert not await page.is_visible(".notes .progress")
        assert await page.inner_text(".note-item .place") == "0:06–0:10"
        await page.click(".note-item .place")
        await page.wait_for_selector('.row.highlighted[data-id="2.0"]')
        assert await page.is_visible('.row[data-id="2.0"]')
        await page.evaluate("scrollTo(0, 0)")

        # A sentence changes, and the note follows.
        writer.write_sentences(make_sentence("2.0", "Sentence number too.", 6.0, revision=2))
        await reader.wait_for_text("A sentence changed: the note is being rewritten")

        await page.click(".note-item .edit")
        await page.fill(".note-item textarea", "- Only three.")
        await page.click(".note-item form button")
        await reader.wait_for_text("Edited")
        assert await page.inner_text(".note-item .text") == "- Only three."

        await page.fill(".new-note input", "Ask about four.")
        await page.click(".new-note button")
        await reader.wait_for_text("Ask about four.")
        assert await page.input_value(".new-note input") == ""
        own = page.locator(".note-item", has_text="Ask about four.")
        await page.locator(".note-item", has_text="Only three").locator(".pin").click()
        await page.wait_for_selector('.note-item:first-child .pin[aria-pressed="true"]')
        page.on("dialog", accept)
        await own.locator(".delete").click()
        await own.wait_for(state="detached")
        assert await page.locator(".note-item").count() == 1
        await page.reload()
        await page.click(".notes summary")
        await reader.wait_for_text("Only three.")


async def test_a_note_that_is_refused_says_why_and_keeps_the_readers_text(stage: ApiHarness, browser: Browser) -> None:
    meeting, _ = await create_written_meeting(stage)
    async with open_reader(browser, str(stage.http.base_url), allow_network_errors=True) as reader:
        await reader.open_live_meeting(meeting)
        await reader.page.click(".notes summary")
        await reader.page.route("**/api/intelligence/**", lambda route: route.fulfill(status=503, body="{}"))
        await reader.page.fill(".new-note input", "Ask about four.")
        await reader.page.click(".new-note button")
        await reader.wait_for_text("The note was not saved: the server answered 503")
        assert await reader.page.input_value(".new-note input") == "Ask about four."
