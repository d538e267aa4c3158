"""serve/dashboard: the search in all meetings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.async_api import Browser, expect

from tests.harness.api.page_reader import open_reader
from tests.harness.lane.fake_lane_writer import create_written_meeting, make_sentence

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness", "tests.harness.api.page_reader"]

SENTENCES = [make_sentence(f"{n}.0", f"Sentence number {n} is about the budget.", 3.0 * n) for n in range(1, 61)]


async def test_what_is_found_leads_to_its_sentence(stage: ApiHarness, browser: Browser) -> None:
    _, writer = await create_written_meeting(stage)
    writer.write_sentences(*SENTENCES, make_sentence("70.0", "<b>Lunch</b> is late.", 300.0, "Ann"))
    writer.write_caption(SENTENCES[1], "A frase dois é sobre o <i>almoço</i>.")
    async with open_reader(browser, str(stage.http.base_url), allow_network_errors=True) as reader:
        page = reader.page
        await page.goto(str(stage.http.base_url))
        found, cards = page.locator(".found"), page.locator(".found li")
        await expect(page.locator(".now li")).to_have_count(1)
        await page.fill("#search", "budget")
        await expect(cards).to_have_count(50)
        await expect(page.locator(".now")).to_be_hidden()
        await page.click(".found button")
        await expect(cards).to_have_count(60)
        await expect(page.locator(".found button")).to_be_hidden()
        await page.fill("#search", "almoço")
        await expect(cards).to_have_count(1)
        await expect(cards.locator(".translation")).to_have_text("A frase dois é sobre o <i>almoço</i>.")
        await expect(cards.locator("mark")).to_have_text("almoço")
        await page.fill("#search", "nowhere")
        await expect(found.locator("h2")).to_have_text("Nothing was found")
        await page.fill("#search", '""')
        await expect(found.locator("h2")).to_have_text("must have a word to search for")
        await page.fill("#search", "lunch")
        await expect(cards.locator(".text")).to_have_text("<b>Lunch</b> is late.")
        await expect(cards.locator(".facts")).to_have_text("Ann, 5:00")
        await page.fill("#search", "number 7 ")
        await expect(cards.first.locator(".text")).to_have_text("Sentence number 7 is about the budget.")
        await cards.first.click()
        await page.wait_for_selector('.row.highlighted[data-id="7.0"]')
        await page.go_back()
        await expect(page.locator("#search")).to_have_value("number 7")
        await expect(cards.first.locator(".text")).to_have_text("Sentence number 7 is about the budget.")
        await page.fill("#search", "")
        await expect(found).to_be_hidden()
        await expect(page.locator(".now li")).to_be_visible()
