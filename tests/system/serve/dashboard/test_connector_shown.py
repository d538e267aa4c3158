"""serve/dashboard: the connector of a meeting, and the text that its session shows by default."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from playwright.async_api import Browser

from operators.translation_requests import CaptionStatus
from tests.harness.api.fireflies_account import change_session, store_session
from tests.harness.api.page_reader import PageReader, open_reader
from tests.harness.lane.fake_lane_writer import create_written_meeting, make_sentence

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = [
    "tests.harness.api.api_harness",
    "tests.harness.api.fireflies_account",
    "tests.harness.api.page_reader",
]
pytestmark = pytest.mark.usefixtures("fireflies_secrets")

NOW = datetime.now(UTC)


class ShownConnector:
    """A connector whose changes the page shows at once, because a live event follows each of them."""

    def __init__(self, stage: ApiHarness, meeting: str, reader: PageReader) -> None:
        self._stage, self._meeting, self._reader = stage, meeting, reader
        self._session: UUID = store_session(stage.engine, meeting)

    async def change(self, label: str, **values: Any) -> list[str]:
        """Change columns of the session, wait for a label, and return the lines of text."""
        change_session(self._stage.engine, self._session, **values)
        await self.refresh()
        await self._reader.wait_for_text(label)
        return [line for line in (await self._reader.page.inner_text(".connector")).split("\n") if line]

    async def refresh(self) -> None:
        self._stage.publish(self._stage.store_events(self._meeting, ("status", {"status": "live"})))


@pytest.mark.main_path
async def test_state_gaps_error_and_budget_of_the_connector_are_shown(stage: ApiHarness, browser: Browser) -> None:
    meeting, _ = await create_written_meeting(stage)
    async with open_reader(browser, str(stage.http.base_url)) as reader:
        await reader.open_live_meeting(meeting)
        assert not await reader.page.is_visible(".connector"), "a meeting without a connector shows nothing of one"
        connector = ShownConnector(stage, meeting, reader)
        error = "Fireflies can't be reached"
        lines = await connector.change("Fireflies: connecting", last_error=error, gaps=[[0, None]])
        assert lines[1:] == [f"{error}; Parley keeps trying"]
        await reader.page.evaluate(
            """() => {
                window.heard = [];
                const note = (records) => records.forEach(({ target }) => heard.push(target.textContent));
                for (const region of document.querySelectorAll(".connector [role=status]"))
                    new MutationObserver(note).observe(region, { childList: true, characterData: true });
            }"""
        )
        gaps = [[0, 3.2], [62, 62.5], [70, 75], [80, None]]
        lines = await connector.change(
            "Fireflies: connected", status="connected", connected_at=NOW, last_error=None, gaps=gaps
        )
        assert lines[0].endswith("50 of 50 requests left")
        missing = "in 4 gaps, the last ones: around 1:02, 1:10–1:15, from 1:20 (to be filled in from the transcript)"
        assert lines[1:] == [f"Speech may be missing {missing}"]
        lines = await connector.change("2 texts filled in", gaps=[], counters={"filled": 2})
        assert len(lines) == 1
        await connector.change("Fireflies: reconnecting", status="reconnecting", last_message_at=NOW)
        lines = await connector.change(
            "A store", status="connected", last_error="a store does not respond (RedisError)"
        )
        assert lines[1:] == ["A store does not respond (RedisError)"]
        lines = await connector.change("Fireflies: reconnecting", heartbeat_at=NOW - timedelta(minutes=1))
        assert lines[1:] == ["The connector has not responded for more than 30 seconds; Parley keeps trying"]
        await connector.change("Fireflies: connected", heartbeat_at=NOW + timedelta(hours=1))
        stage.set_status(meeting, "paused")
        await connector.change("Fireflies: paused", last_error=None)
        stage.set_status(meeting, "live")
        lines = await connector.change("Fireflies: failed", status="failed", last_error="check the key", ended_at=NOW)
        assert lines[1:] == [f"Check the key; connect again by: parley fireflies connect of {meeting}"]
        assert await reader.page.evaluate("() => heard") == [
            f"Fireflies: {state}"
            for state in ("connected", "reconnecting", "connected", "reconnecting", "connected", "paused", "failed")
        ]


async def test_a_connector_that_ends_after_its_meeting_is_shown_as_ended(stage: ApiHarness, browser: Browser) -> None:
    meeting, lane = await create_written_meeting(stage)
    session = store_session(stage.engine, meeting)
    change_session(stage.engine, session, status="connected", connected_at=NOW, desired="disconnected")
    async with open_reader(browser, str(stage.http.base_url)) as reader:
        await reader.open_live_meeting(meeting)
        await reader.wait_for_text("Fireflies: disconnecting")
        lane.end()
        await reader.wait_for_text("all received")
        change_session(stage.engine, session, status="ended", ended_at=NOW)
        await reader.wait_for_text("Fireflies: ended")


async def test_the_list_marks_meetings_whose_source_is_not_connected(stage: ApiHarness, browser: Browser) -> None:
    labels: dict[str, str] = {}
    for status in ("connected", "reconnecting", "failed", "ended", "paused"):
        meeting, _ = await create_written_meeting(stage, title=status)
        values = {"status": "connected" if status == "paused" else status}
        change_session(stage.engine, store_session(stage.engine, meeting), **values)
        if status == "paused":
            stage.set_status(meeting, "paused")
        labels[status] = "" if status in ("connected", "ended") else f"Fireflies: {status}"
    await create_written_meeting(stage, title="none")
    async with open_reader(browser, str(stage.http.base_url)) as reader:
        await reader.open("/")
        await reader.wait_for("document.querySelectorAll('.card').length === 6")
        marks = """() => Object.fromEntries([...document.querySelectorAll(".card")].map((card) =>
            [card.querySelector("a").textContent, card.querySelector(".connector-mark").textContent]))"""
        assert await reader.page.evaluate(marks) == labels | {"none": ""}
        assert await reader.page.locator(".connector-mark").filter(visible=True).count() == 3


async def test_the_session_decides_which_text_is_shown_until_the_reader_does(
    stage: ApiHarness, browser: Browser
) -> None:
    meeting, lane = await create_written_meeting(stage)
    done, pending, failed = (make_sentence(f"{n}.0", f"Sentence {n}.", n) for n in range(3))
    lane.write_sentences(done, pending, failed)
    lane.write_caption(done, "Frase 0.")
    lane.write_caption(failed, None, CaptionStatus.UNTRANSLATED, "no model")
    shown = """() => [...document.querySelectorAll(".row, .interim")].filter((row) => row.checkVisibility()).map((row) =>
        row.innerText.split("\\n").filter((line) => line.trim() && !/^(Ann|Edit|\\d:\\d\\d)$/.test(line)).join(" | "))"""
    both = ["Sentence 0. | Frase 0.", "Sentence 1. | translating…", "Sentence 2. | not translated: no model"]
    source = ["Sentence 0.", "Sentence 1.", "Sentence 2."]
    translation = ["Frase 0.", "translating…", "not translated: no model"]
    async with open_reader(browser, str(stage.http.base_url)) as reader:
        await reader.page.add_init_script("const at = performance.now(); performance.now = () => at;")
        await reader.open_live_meeting(meeting)
        await reader.wait_for_text("no model")
        assert await reader.page.evaluate(shown) == both
        connector = ShownConnector(stage, meeting, reader)
        await connector.change("Translation", options={"display_mode": "translation"})
        await reader.wait_for("document.querySelector('.transcript').dataset.view === 'translation'")
        lane.publish_interim("Ann", "So we went home and")
        await reader.wait_for("document.querySelector('.interim .source')?.textContent")
        assert await reader.page.evaluate(shown) == translation, "a text without a translation is not shown as one"
        lane.publish_interim("Ann", "So we went home and then", pt="Então fomos")
        await reader.wait_for_text("Então fomos")
        assert await reader.page.evaluate(shown) == [*translation, "Então fomos"]
        lane.publish_interim("Ann", "")
        assert "text=target" in await reader.page.locator(".exports a").first.evaluate("(link) => link.href")
        await connector.change("Original", options={"display_mode": "source"})
        await reader.wait_for("document.querySelector('.transcript').dataset.view === 'source'")
        assert await reader.page.evaluate(shown) == source
        # The reader's choice is in the address, and outlasts the session's.
        await reader.page.get_by_label("Show").select_option("Translation")
        assert await reader.page.evaluate(shown) == translation
        assert reader.page.url.endswith("?show=translation")
        await reader.page.reload()
        await reader.wait_for_text("no model")
        assert await reader.page.evaluate(shown) == translation
        await reader.page.get_by_label("Show").select_option("Both")
        assert await reader.page.evaluate(shown) == both
        await reader.open_live_meeting(meeting, "?show=nothing")
        await reader.wait_for_text("Sentence 2.")
        assert await reader.page.evaluate(shown) == source


async def test_the_texts_in_view_keep_their_place_where_only_translations_are_shown(
    stage: ApiHarness, browser: Browser
) -> None:
    meeting, lane = await create_written_meeting(stage)
    said = [make_sentence(f"{n}.0", f"Sentence {n}.", n) for n in range(60)]
    lane.write_sentences(*said)
    lane.write_captions(said)
    async with open_reader(browser, str(stage.http.base_url), viewport={"width": 390, "height": 800}) as reader:
        await reader.open_live_meeting(meeting, "?show=translation")
        await reader.wait_for("document.querySelectorAll('.row').length === 60")
        await reader.page.evaluate(
            """() => {
                const sheet = new CSSStyleSheet();
                sheet.replaceSync("* { overflow-anchor: none !important }");
                document.adoptedStyleSheets.push(sheet);
            }"""
        )
        await reader.page.evaluate("() => document.querySelectorAll('.row')[30].scrollIntoView()")
        await reader.wait_for("!document.querySelector('.scroll-to-latest').hidden")
        top = "() => document.querySelectorAll('.row .text')[%d].getBoundingClientRect().top"
        before = await reader.page.evaluate(top % 33)
        late = make_sentence("5.1", "Late.", 5.5)
        lane.write_sentences(late)
        lane.write_captions([late])
        await reader.wait_for("document.querySelectorAll('.row').length === 61")
        await reader.wait_for(f"Math.abs(({top % 34})() - {before}) <= 1")
