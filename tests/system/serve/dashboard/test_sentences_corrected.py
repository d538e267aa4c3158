"""serve/dashboard: the reader corrects sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.async_api import Browser

from tests.harness.api.page_reader import open_reader
from tests.harness.lane.fake_lane_writer import create_written_meeting, make_sentence

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness", "tests.harness.api.page_reader"]

SENTENCES = [make_sentence(f"{n}.0", f"Sentence number {n}.", 3.0 * n) for n in range(1, 4)]
ROW = '.row[data-id="2.0"]'


async def test_a_sentence_is_corrected_and_restored_and_no_edit_is_lost(stage: ApiHarness, browser: Browser) -> None:
    meeting, writer = await create_written_meeting(stage)
    writer.write_sentences(*SENTENCES, languages=())
    writer.end()
    # The browser reports the answer 409 on its console.
    async with open_reader(browser, str(stage.http.base_url), allow_network_errors=True) as reader:
        page = reader.page
        await reader.open(f"/meetings/{meeting}")
        await reader.wait_for("document.querySelector('.connection').dataset.state === 'over'")
        await page.hover(ROW)
        await page.click(f"{ROW} .edit")
        assert await page.input_value(f"{ROW} textarea") == "Sentence number 2."
        # Another user is faster.
        path = f"/api/meetings/{meeting}/sentences/2.0"
        faster = await stage.http.patch(path, json={"text": "Sentence number two.", "revision": 1})
        assert faster.status_code == 202
        await page.fill(f"{ROW} textarea", "Sentence no. 2.")
        await page.click(f"{ROW} .save")
        await reader.wait_for_text("It is now: “Sentence number two.”")
        assert await page.input_value(f"{ROW} textarea") == "Sentence no. 2."
        await page.press(f"{ROW} textarea", "Enter")
        await page.wait_for_selector(f"{ROW} .sentence-editor", state="detached")
        assert await page.inner_text(f"{ROW} .source") == "Sentence no. 2."
        await page.click(f"{ROW} .edited summary")
        assert await page.inner_text(f"{ROW} .original") == "Sentence number 2."

        await page.hover(ROW)
        await page.click(f"{ROW} .edit")
        await page.click(f"{ROW} .restore")
        await page.wait_for_selector(f"{ROW} .edited", state="detached")
        assert await page.inner_text(f"{ROW} .source") == "Sentence number 2."
        await page.reload()
        await reader.wait_for_text("Sentence number 3.")
        assert [row["source"] for row in await reader.transcript_rows()] == [each.text for each in SENTENCES]
