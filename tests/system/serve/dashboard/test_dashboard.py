"""serve/dashboard in a real browser: the pages of a meeting and of the list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from playwright.async_api import Browser

from operators.engine_config import EnginesConfig, FirefoxConfig
from operators.translation_requests import CaptionStatus
from storage.postgres.engine_config_versions import save_config
from tests.harness.api.page_reader import PageReader, open_reader, reused_reader, wait_for_api_rows
from tests.harness.doubles.tcp_proxy import TcpProxy
from tests.harness.lane.fake_lane_writer import create_written_meeting, make_sentence
from tests.harness.lane.threaded_lane import running_lane, translate_to_capitals

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness", "tests.harness.api.page_reader"]
pytestmark = pytest.mark.main_path

PT = {"source_language": "en", "target_languages": ["pt"]}


@pytest.fixture(scope="module")
async def window(browser: Browser, api_address: str) -> AsyncIterator[PageReader]:
    """A browser window shared by all tests: a new one takes seconds."""
    async with open_reader(browser, api_address) as reader:
        yield reader


@pytest.fixture
async def reader(window: PageReader, stage: ApiHarness) -> AsyncIterator[PageReader]:
    """A reader with a stable connection."""
    async with reused_reader(window) as reader:
        yield reader


# --- a meeting ---


async def test_meeting_from_interim_text_to_last_caption(
    stage: ApiHarness, reader: PageReader, postgres_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With a live clock, a pause ends a sentence. Here only the machine may pause.
    monkeypatch.setattr("operators.sentences.emission.OPEN_QUIET_MS", 3_600_000)
    meeting = await stage.create_meeting(title="Monday", config=PT)
    path = f"/api/meetings/{meeting}/events"
    talk = [
        ("1", "Ann", ["Good morning", "Good morning everybody", "Good morning everybody, shall we begin?"], 0.2),
        ("2", "Bob", ["Yes", "Yes, please", "Yes, please."], 2.5),
        ("3", "Ann", ["The budget for this", "The budget for this year is", "The budget for this year is small."], 4.0),
    ]
    with running_lane(postgres_url, redis_url, "live-1", translate_to_capitals, "live"):
        await reader.open_live_meeting(meeting)
        await reader.page.evaluate(
            """() => {
                window.grown = [];
                const note = () => document.querySelectorAll(".interim .source").forEach((one) => grown.push(one.textContent));
                const watched = { subtree: true, childList: true, characterData: true };
                new MutationObserver(note).observe(document.querySelector(".interims"), watched);
            }"""
        )
        for chunk, speaker, texts, start in talk:
            for text in texts:
                payload = {"chunk_id": chunk, "speaker": speaker, "text": text, "start": start, "end": start + 1}
                assert (await stage.http.post(path, json={"events": [{"payload": payload}]})).is_success
                await reader.wait_for_text(text)
        await stage.http.post(f"/api/meetings/{meeting}/end")
        await reader.wait_for_text("all received")
    grown: list[str] = await reader.page.evaluate("() => grown")
    assert grown
    assert set(grown) <= {text for _, _, texts, _ in talk for text in texts}
    await reader.wait_for("document.querySelector('.interim') === null")
    rows = await wait_for_api_rows(reader, stage.http, meeting)
    assert [row["source"] for row in rows] == [texts[-1] for _, _, texts, _ in talk]
    assert [row["text"] for row in rows] == [f"pt:{texts[-1].upper()}" for _, _, texts, _ in talk]
    assert await reader.page.title() == "Monday · Parley"
    assert await reader.connection_text() == "Over all received"


async def test_caption_is_pending_then_shown_beside_its_sentence(stage: ApiHarness, reader: PageReader) -> None:
    meeting, lane = await create_written_meeting(stage)
    await reader.open_live_meeting(meeting)
    await reader.wait_for_text("Nothing has been said yet.")
    # Nothing becomes late before the test advances the clock.
    await reader.freeze_clock()
    one, two, three, four = (make_sentence(f"{n}.0", f"Sentence {n}.", n) for n in range(1, 5))
    lane.write_sentences(one, two, three, four)
    await reader.wait_for("document.querySelectorAll('.row').length === 4")
    assert {(row["state"], row["note"]) for row in await reader.transcript_rows()} == {("waiting", "translating…")}
    lane.write_caption(two, "Frase 2.")
    lane.write_caption(three, "Sentence 3.", CaptionStatus.SAME)
    lane.write_caption(four, None, CaptionStatus.UNTRANSLATED, "there is no model from en to pt")
    await reader.wait_for_text("there is no model")
    rows = await wait_for_api_rows(reader, stage.http, meeting)
    assert [(row["state"], row["text"], row["note"]) for row in rows] == [
        ("waiting", "", "translating…"),
        ("translated", "Frase 2.", ""),
        ("same", "Sentence 3.", "same language"),
        ("untranslated", "", "not translated: there is no model from en to pt"),
    ]
    await reader.wait_for_text("1 caption pending")
    await reader.advance_clock(9)
    await reader.wait_for_text("late, still to come")
    lane.write_caption(one, "Frase 1.")
    await reader.wait_for_text("Frase 1.")
    await reader.wait_for_text("up to date")
    assert (await wait_for_api_rows(reader, stage.http, meeting))[0]["note"] == ""


async def test_configured_engines_and_engine_of_each_caption_are_shown(stage: ApiHarness, reader: PageReader) -> None:
    with stage.engine.begin() as connection:
        save_config(
            connection, EnginesConfig(engines={"firefox": FirefoxConfig()}, translation=("firefox",)), "settings"
        )
    meeting, lane = await create_written_meeting(stage)
    one, two, three, four = (make_sentence(f"{n}.0", f"Sentence {n}.", n) for n in range(1, 5))
    lane.write_sentences(one, two, three, four)
    lane.write_caption(one, "Frase 1.")
    lane.write_caption(two, "Sentence 2.", CaptionStatus.SAME)
    await reader.open_live_meeting(meeting)
    await reader.wait_for_text("translating with Firefox's models")
    await reader.wait_for_text("Frase 1.")
    assert [row["by"] for row in await reader.transcript_rows()] == ["translated by test 1", "", "", ""]
    await reader.wait_for_text("translating with Firefox's models; last translated by test 1")
    # A fallback engine translates.
    lane.write_caption(three, "Frase 3.", engine="test 2")
    await reader.wait_for_text("translating with Firefox's models; last translated by test 2")
    lane.write_sentences(make_sentence("1.0", "Sentence one.", 1, revision=2))
    await reader.wait_for_text("of an earlier wording")
    by = [row["by"] for row in await reader.transcript_rows()]
    assert by == ["translated by test 1", "", "translated by test 2", ""], "it is still shown"
    with stage.engine.begin() as connection:
        save_config(connection, EnginesConfig(), "request")
    # The new `models` text is sent with the next event, if the relay doesn't send it before.
    lane.write_caption(four, "Frase 4.")
    await reader.wait_for_text("translation is off")
    models_text = "translation is off; last translated by test 1"
    await reader.wait_for_text(models_text)
    assert await reader.page.locator(".models").all_inner_texts() == [models_text]
    # A meeting that is over shows no engines.
    lane.end()
    await reader.wait_for_text("over since")
    assert not await reader.page.locator(".models").is_visible()


async def test_caption_with_warnings_shows_them(stage: ApiHarness, reader: PageReader) -> None:
    meeting, lane = await create_written_meeting(stage)
    one, two = make_sentence("1.0", "The budget is 42.", 1), make_sentence("2.0", "Good.", 2)
    lane.write_sentences(one, two)
    await reader.open_live_meeting(meeting)
    lane.write_caption(one, "A verba é 24.", warnings=("number: 42", "term: <b>budget</b> → orçamento"))
    lane.write_caption(two, "Boa.")
    await reader.wait_for_text("Boa.")
    rows = await wait_for_api_rows(reader, stage.http, meeting)
    assert [(row["state"], row["note"], row["warned"]) for row in rows] == [
        ("translated", "may not have kept number: 42; term: <b>budget</b> → orçamento", True),
        ("translated", "", False),
    ]
    assert "may not have kept number: 42" in await reader.page.locator(".row").first.aria_snapshot()
    await reader.page.click("summary")
    await reader.wait_for_text("Captions that may not have kept a number, a name, a term or an emoji")
    # While its revision is pending, the caption is shown as of an earlier wording, without its warnings.
    better = make_sentence("1.0", "The budget is 43.", 1, revision=2)
    lane.write_sentences(better)
    await reader.wait_for_text("of an earlier wording; translating…")
    assert [row["warned"] for row in await reader.transcript_rows()] == [False, False]
    lane.write_caption(better, "O orçamento é 43.")
    await reader.wait_for_text("O orçamento é 43.")
    assert [(row["note"], row["warned"]) for row in await reader.transcript_rows()] == [("", False), ("", False)]


@pytest.mark.slow
async def test_events_from_before_captions_had_warnings_are_shown(stage: ApiHarness, reader: PageReader) -> None:
    meeting, lane = await create_written_meeting(stage)
    one = make_sentence("1.0", "One.", 1)
    lane.write_sentences(one)
    lane.write_caption(one, "Um.")
    with stage.engine.begin() as connection:
        connection.exec_driver_sql("update outbox set payload = payload - 'warnings'")
    await reader.open_live_meeting(meeting)
    await reader.wait_for_text("Um.")
    assert (await wait_for_api_rows(reader, stage.http, meeting))[0]["note"] == ""


async def test_pending_caption_is_late_at_once(stage: ApiHarness, reader: PageReader) -> None:
    meeting, lane = await create_written_meeting(stage)
    await reader.open_live_meeting(meeting)
    # The clock stands still, so nothing becomes late by itself.
    await reader.freeze_clock()
    one = make_sentence("1.0", "One.", 1)
    lane.write_sentences(one)
    lane.write_caption(one, None, CaptionStatus.PENDING, "full")
    await reader.wait_for_text("late, still to come")


async def test_revision_changes_its_row_in_place(stage: ApiHarness, reader: PageReader) -> None:
    meeting, lane = await create_written_meeting(stage)
    one, two = make_sentence("1.0", "We need tree thinks.", 1), make_sentence("2.0", "Yes.", 2, "Bob")
    lane.write_sentences(one, two)
    lane.write_caption(one, "Precisamos de árvore pensa.")
    await reader.open_live_meeting(meeting)
    await reader.wait_for_text("árvore")
    row = await reader.page.query_selector(".row")
    better = make_sentence("1.0", "We need three things.", 1, revision=2)
    lane.write_sentences(better)
    await reader.wait_for_text("three things")
    first = (await reader.transcript_rows())[0]
    assert (first["earlier"], first["text"]) == (True, "Precisamos de árvore pensa.")
    assert first["note"] == "of an earlier wording; translating…"
    lane.write_caption(better, "Precisamos de três coisas.")
    await reader.wait_for_text("três coisas")
    rows = await wait_for_api_rows(reader, stage.http, meeting)
    assert (rows[0]["earlier"], rows[0]["note"]) == (False, "")
    assert row is not None
    assert "três coisas" in await row.inner_text()


async def test_retracted_sentence_is_removed_and_may_return(stage: ApiHarness, reader: PageReader) -> None:
    meeting, lane = await create_written_meeting(stage)
    one, two, three = (make_sentence(f"{n}.0", f"Sentence {n}.", n, speaker) for n, speaker in enumerate("ABA"))
    lane.write_sentences(one, two, three)
    await reader.open_live_meeting(meeting)
    await reader.wait_for("document.querySelectorAll('.row').length === 3")
    assert [row["named"] for row in await reader.transcript_rows()] == [True, True, True]
    lane.retract(two)
    await reader.wait_for("document.querySelectorAll('.row').length === 2")
    assert [row["named"] for row in await wait_for_api_rows(reader, stage.http, meeting)] == [True, False]
    lane.write_sentences(make_sentence("1.0", "Again.", 1, "B", revision=3))
    await reader.wait_for_text("Again.")
    assert [row["named"] for row in await wait_for_api_rows(reader, stage.http, meeting)] == [True, True, True]


async def test_speakers_with_the_same_name_are_distinguished(stage: ApiHarness, reader: PageReader) -> None:
    meeting, lane = await create_written_meeting(stage)
    said = [replace(make_sentence(f"{n}.0", f"Sentence {n}.", n), speaker_id=id) for n, id in enumerate("xyyx")]
    lane.write_sentences(*said)
    await reader.open_live_meeting(meeting)
    await reader.wait_for("document.querySelectorAll('.row').length === 4")
    rows = await reader.transcript_rows()
    assert [(row["speaker"], row["named"]) for row in rows] == [
        ("Ann", True),
        ("Ann (2)", True),
        ("Ann (2)", False),
        ("Ann", True),
    ]
    colours = "(names) => names.map((name) => getComputedStyle(name).color)"
    first, second, same, again = await reader.page.locator(".speaker").evaluate_all(colours)
    assert (first == again, second == same, first == second) == (True, True, False)


async def test_rows_are_in_reading_order_whatever_the_order_of_events(stage: ApiHarness, reader: PageReader) -> None:
    meeting, lane = await create_written_meeting(stage)
    await reader.open_live_meeting(meeting)
    arrivals = [("10.0", 5.0), ("9.0", 5.0), ("9.2", 5.0), ("2.0", 7.0), ("12.1", 1.0), ("12.0", 1.0), ("3.0", 6.5)]
    for id, start in arrivals:
        lane.write_sentences(make_sentence(id, f"Sentence {id}", start, "Ann" if start > 5 else "Bob"))
    await reader.wait_for_text("Sentence 3.0")
    rows = await wait_for_api_rows(reader, stage.http, meeting)
    assert [row["id"] for row in rows] == ["12.0", "12.1", "9.0", "9.2", "10.0", "3.0", "2.0"]
    assert [row["named"] for row in rows] == [True, False, False, False, False, True, False]
    # The time is corrected within the revision.
    lane.write_sentences(make_sentence("12.0", "Sentence 12.0", 6.0, "Bob"))
    await reader.wait_for("document.querySelector('.row').dataset.id === '12.1'")
    rows = await wait_for_api_rows(reader, stage.http, meeting)
    assert [row["id"] for row in rows] == ["12.1", "9.0", "9.2", "10.0", "12.0", "3.0", "2.0"]
    assert [row["at"] for row in rows] == ["0:01", "0:05", "0:05", "0:05", "0:06", "0:06", "0:07"]
    await reader.page.reload()
    await reader.wait_for_text("Sentence 3.0")
    assert await wait_for_api_rows(reader, stage.http, meeting) == rows


async def test_interim_text_changes_in_its_line_and_disappears(stage: ApiHarness, reader: PageReader) -> None:
    meeting, lane = await create_written_meeting(stage)
    lane.write_sentences(make_sentence("1.0", "Good morning.", 0.5))
    await reader.open_live_meeting(meeting)
    lane.publish_interim("Ann", "So we", 2)
    await reader.wait_for_text("So we")
    line = await reader.page.query_selector(".interim")
    assert line is not None
    lane.publish_interim("Bob", "Well", 2)
    lane.publish_interim("Ann", "So we went", 2)
    await reader.wait_for_text("So we went")
    assert (await line.inner_text()).endswith("So we went")
    lines = await reader.page.locator(".interim").evaluate_all(
        "lines => lines.map((line) => [line.dataset.speaker, line.classList.contains('first')])"
    )
    assert lines == [["Ann", False], ["Bob", True]]
    lane.write_sentences(make_sentence("2.0", "So we went home.", 2))
    lane.publish_interim("Ann", "")
    await reader.wait_for_text("So we went home.")
    await reader.wait_for("document.querySelectorAll('.interim').length === 1")
    assert await reader.page.inner_text(".interim .source") == "Well"


async def test_draft_is_shown_beside_interim_text_until_the_caption_arrives(
    stage: ApiHarness, reader: PageReader
) -> None:
    config = {"source_language": "en", "target_languages": ["pt", "ar"]}
    meeting, lane = await create_written_meeting(stage, config=config)
    await reader.open_live_meeting(meeting)
    lane.publish_interim("Ann", "So we went home and")
    await reader.wait_for_text("So we went home and")
    draft = reader.page.locator(".interim .text")
    assert not await draft.is_visible()
    lane.publish_interim("Ann", "So we went home and then", pt="Então fomos", ar="ثم ذهبنا")
    await reader.wait_for_text("Então fomos")
    source, shown = [await reader.page.locator(f".interim {part}").bounding_box() for part in (".source", ".text")]
    assert source is not None
    assert shown is not None
    assert shown["x"] >= source["x"] + source["width"]
    styles = [
        await reader.page.locator(f".interim {part}").evaluate(
            "(one) => [getComputedStyle(one).color, getComputedStyle(one).fontStyle]"
        )
        for part in (".source", ".text")
    ]
    assert styles[0] == styles[1]
    await reader.wait_for("document.querySelector('.interim .text:lang(pt):dir(ltr)')")
    # After a change of the language, its draft is shown at once.
    await reader.page.get_by_label("Language of the captions").select_option("ar")
    await reader.wait_for("document.querySelector('.interim .text:lang(ar):dir(rtl)')")
    assert await draft.inner_text() == "ثم ذهبنا"
    await reader.page.get_by_label("Language of the captions").select_option("pt")
    one = make_sentence("1.0", "So we went home and then slept.", 1)
    lane.write_sentences(one, languages=("pt", "ar"))
    lane.publish_interim("Ann", "")
    lane.write_caption(one, "Então fomos para casa.")
    await reader.wait_for_text("Então fomos para casa.")
    await reader.wait_for("document.querySelectorAll('.interim').length === 0")
    (row,) = await wait_for_api_rows(reader, stage.http, meeting)
    assert row["text"] == "Então fomos para casa."
    lane.write_caption(one, "ثم ذهبنا إلى البيت.", language="ar")
    await reader.page.get_by_label("Language of the captions").select_option("ar")
    await reader.wait_for("document.querySelector('.row .text:lang(ar):dir(rtl)')")


async def test_reader_chooses_the_caption_language(stage: ApiHarness, reader: PageReader) -> None:
    config = {"source_language": "en", "target_languages": ["pt", "ja", "ar"]}
    meeting, lane = await create_written_meeting(stage, config=config)
    one = make_sentence("1.0", "Good morning.", 1, language="en-GB")
    lane.write_sentences(one, languages=("pt", "ja", "ar"))
    for language, text in (("pt", "Bom dia."), ("ja", "おはようございます。"), ("ar", "صباح الخير.")):
        lane.write_caption(one, text, language=language)
    await reader.open_live_meeting(meeting)
    await reader.wait_for_text("Bom dia.")
    await reader.page.get_by_label("Language of the captions").select_option("ja")
    await reader.wait_for_text("おはようございます。")
    assert reader.page.url.endswith("?language=ja")
    await reader.page.reload()
    await reader.wait_for_text("おはようございます。")
    await reader.open_live_meeting(meeting, "?language=ar")
    await reader.wait_for_text("صباح")
    await reader.wait_for("document.querySelector('.row .source:lang(en-GB):dir(ltr)')")
    await reader.wait_for("document.querySelector('.row [dir=auto]:lang(ar):dir(rtl)')")
    assert [o.strip() for o in await reader.page.locator(".caption-header > select option").all_inner_texts()] == [
        "Portuguese",
        "Japanese",
        "Arabic",
    ]
    await wait_for_api_rows(reader, stage.http, meeting, "ar")


async def test_meeting_without_translation_has_one_column(stage: ApiHarness, reader: PageReader) -> None:
    meeting, lane = await create_written_meeting(stage, config={"source_language": "auto"})
    lane.write_sentences(make_sentence("1.0", "Good morning.", 1), languages=())
    await reader.open_live_meeting(meeting)
    await reader.wait_for_text("Good morning.")
    await reader.wait_for_text("Not translated: the meeting has no target language")
    assert not await reader.page.is_visible(".caption")


async def test_markup_in_texts_is_shown_as_text(stage: ApiHarness, reader: PageReader) -> None:
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script>&amp;"
    meeting, lane = await create_written_meeting(stage, title=evil)
    one = make_sentence("1.0", evil, 1, evil)
    lane.write_sentences(one)
    lane.write_caption(one, evil)
    await reader.open_live_meeting(meeting)
    await reader.wait_for("document.querySelector('.text')?.textContent")
    lane.publish_interim(evil, evil)
    await reader.wait_for("document.querySelector('.interim')")
    (row,) = await reader.transcript_rows()
    assert (row["speaker"], row["source"], row["text"]) == (evil, evil, evil)
    assert await reader.page.title() == f"{evil} · Parley"
    assert await reader.page.inner_text("h1") == evil
    assert await reader.page.locator("body img, main script").count() == 0
    await reader.open("/")
    await reader.wait_for("document.querySelector('.card a')?.textContent")
    assert await reader.page.inner_text(".card a") == evil


async def test_content_security_policy_blocks_injected_scripts(reader: PageReader) -> None:
    await reader.open("/")
    await reader.page.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.run = 1'; document.body.append(s) }"
    )
    assert await reader.page.evaluate("() => window.run") is None
    async with asyncio.timeout(60):
        while not any("Content Security Policy" in complaint for complaint in reader.console_errors):
            await asyncio.sleep(0.02)
    reader.console_errors.clear()


async def test_unknown_meeting_shows_a_notice(browser: Browser, stage: ApiHarness) -> None:
    async with open_reader(browser, str(stage.http.base_url), allow_network_errors=True) as reader:
        for id in (uuid4(), "no-id"):
            await reader.open(f"/meetings/{id}")
            await reader.wait_for_text("There is no such meeting")
            assert reader.sockets == []
            assert not await reader.page.is_visible(".transcript")


async def test_meeting_that_is_over_is_shown_from_its_start_and_can_be_exported(
    stage: ApiHarness, reader: PageReader
) -> None:
    meeting, lane = await create_written_meeting(stage)
    said = [make_sentence(f"{n}.0", f"Sentence {n}.", n) for n in range(40)]
    lane.write_sentences(*said)
    for one in said:
        lane.write_caption(one, one.text.upper())
    lane.end()
    await reader.open(f"/meetings/{meeting}")
    await reader.wait_for_text("all received")
    await wait_for_api_rows(reader, stage.http, meeting)
    assert await reader.page.evaluate("() => scrollY") == 0
    assert await reader.page.inner_text(".scroll-to-latest") == "Jump to latest"
    links = await reader.page.locator(".exports a").evaluate_all("(links) => links.map((link) => link.href)")
    assert len(links) == 7
    for link in links:
        answer = await stage.http.get(link)
        assert answer.status_code == 200, answer.text
        if answer.content.startswith(b"PK"):  # DOCX is a ZIP, too.
            continue
        assert "Sentence 39." in answer.text
        assert "SENTENCE 39." in answer.text


@pytest.mark.slow
async def test_resumed_meeting_is_followed_again_after_its_timeout(stage: ApiHarness, reader: PageReader) -> None:
    meeting, lane = await create_written_meeting(stage)
    lane.write_sentences(make_sentence("1.0", "Good night.", 1), languages=())
    lane.end("timed_out")
    await reader.open(f"/meetings/{meeting}")
    await reader.wait_for_text("all received")
    lane.restart()
    lane.write_sentences(make_sentence("2.0", "Good morning.", 60), languages=())
    await reader.wait_for_text("Good morning.")
    await reader.wait_for_text("Live")
    assert [socket.after for socket in reader.sockets] == [0, reader.sockets[0].seqs[-1]]


@pytest.mark.slow
async def test_status_event_updates_the_counters(stage: ApiHarness, reader: PageReader) -> None:
    meeting, _ = await create_written_meeting(stage)
    await reader.open_live_meeting(meeting)
    # Only the event has the counter: the meeting's row doesn't.
    stage.publish(stage.store_events(meeting, ("status", {"status": "live", "counters": {"late": 3}})))
    await reader.wait_for("!document.querySelector('.counters').hidden")
    assert "Revisions that arrived too late and were ignored" in str(await reader.page.text_content(".counters"))


@pytest.mark.slow
async def test_failed_meeting_shows_its_reason(stage: ApiHarness, reader: PageReader) -> None:
    meeting, lane = await create_written_meeting(stage)
    await reader.open_live_meeting(meeting)
    lane.end("failed")
    await reader.wait_for_text("all received")
    await reader.wait_for_text("Failed")
    await reader.wait_for_text(": that was all")
    with stage.engine.begin() as conn:
        conn.exec_driver_sql("update meetings set last_accepted = last_committed + 2")
    await reader.open("/")
    await reader.wait_for_text("Failed")
    await reader.wait_for_text("2 entries not processed")


async def test_page_shows_that_a_meeting_is_behind(stage: ApiHarness, reader: PageReader) -> None:
    # No lane runs, so accepted entries stay unprocessed.
    meeting = await stage.create_meeting(config=PT)
    payload = {"chunk_id": "1", "speaker": "Ann", "text": "Good morning.", "start": 0, "end": 1}
    assert (
        await stage.http.post(f"/api/meetings/{meeting}/events", json={"events": [{"payload": payload}]})
    ).is_success
    await reader.open_live_meeting(meeting)
    # The meeting's start is an entry, too.
    await reader.wait_for_text("2 entries being processed")
    await reader.wait_for_text("2 entries behind")


@pytest.mark.slow
async def test_list_shows_that_a_meeting_is_behind(stage: ApiHarness, reader: PageReader) -> None:
    meeting = await stage.create_meeting(config=PT)
    payload = {"chunk_id": "1", "speaker": "Ann", "text": "Good morning.", "start": 0, "end": 1}
    assert (
        await stage.http.post(f"/api/meetings/{meeting}/events", json={"events": [{"payload": payload}]})
    ).is_success
    await reader.open("/")
    await reader.wait_for_text("2 entries being processed")
    await reader.wait_for_text("2 entries behind")


async def test_overdue_tick_counts_as_lag(stage: ApiHarness, reader: PageReader) -> None:
    meeting, _ = await create_written_meeting(stage)
    with stage.engine.begin() as conn:
        # All entries are committed, and a tick has been due for 20 s.
        conn.exec_driver_sql("update meetings set last_accepted = last_committed")
        seconds, _ = stage.redis.time()
        conn.exec_driver_sql(f"update lanes set due_at = {(seconds - 20) * 1000} where id = 'live-1'")
    await reader.open_live_meeting(meeting)
    await reader.wait_for("/2\\d s behind/.test(document.querySelector('.connection').textContent)")


async def test_counters_are_shown(stage: ApiHarness, reader: PageReader) -> None:
    meeting, lane = await create_written_meeting(stage)
    one = make_sentence("1.0", "One.", 1)
    lane.write_sentences(one)
    lane.write_caption(one, None, CaptionStatus.UNTRANSLATED, "no model")
    await stage.http.post(f"/api/meetings/{meeting}/events", json={"events": [{"payload": {}}]})
    await reader.open_live_meeting(meeting)
    await reader.page.click("summary")
    await reader.wait_for_text("Captions that could not be translated")
    await reader.wait_for_text("Events refused: invalid")


# --- the list ---


async def test_empty_list_shows_how_to_start(stage: ApiHarness, reader: PageReader, tmp_path: Path) -> None:
    await reader.open("/")
    await reader.wait_for_text("No meeting yet")
    await reader.wait_for_text("parley demo")
    await reader.page.screenshot(path=tmp_path / "empty.png")
    meeting, _ = await create_written_meeting(stage)
    await reader.wait_for("document.querySelector('.card')")
    assert not await reader.page.is_visible(".empty")
    await reader.page.click(".card a")
    await reader.page.wait_for_url(f"**/meetings/{meeting}")


async def test_list_shows_open_meetings_first_with_their_progress(
    stage: ApiHarness, reader: PageReader, tmp_path: Path
) -> None:
    _, over = await create_written_meeting(stage, title="Last week")
    over.end()
    _, lane = await create_written_meeting(stage, title="Now", config=PT | {"target_languages": ["pt", "ja"]})
    lane.write_sentences(make_sentence("1.0", "One.", 1), make_sentence("2.0", "Two.", 2), languages=("pt",))
    await reader.open("/")
    await reader.wait_for_text("Last week")
    now, recent = reader.page.locator(".now .card"), reader.page.locator(".recent .card")
    assert await now.locator("h3").all_inner_texts() == ["Now"]
    assert await recent.locator("h3").all_inner_texts() == ["Last week"]
    text = await now.inner_text()
    assert "English → Portuguese, Japanese" in text
    assert "2 captions pending" in text.lower()
    assert "over since" in await recent.inner_text()
    await reader.page.screenshot(path=tmp_path / "list.png")


@pytest.mark.slow
async def test_list_stays_while_the_server_is_unreachable(browser: Browser, stage: ApiHarness) -> None:
    await create_written_meeting(stage)
    async with (
        TcpProxy(stage.http.base_url.port or 0) as network,
        open_reader(browser, f"http://127.0.0.1:{network.port}", allow_network_errors=True) as reader,
    ):
        await reader.open("/")
        await reader.wait_for("document.querySelector('.card a')?.textContent")
        await network.cut("refuse")
        await reader.wait_for_text("can't be reached")
        assert await reader.page.is_visible(".now .card")
        await network.restore()
        await reader.wait_for("document.querySelector('.error-notice').hidden")


@pytest.mark.slow
async def test_list_shows_that_there_are_more_meetings(stage: ApiHarness, reader: PageReader) -> None:
    requested_urls: list[str] = []
    reader.page.on("request", lambda request: requested_urls.append(urlsplit(request.url).path))
    for _ in range(50):
        await stage.create_meeting()
    await reader.open("/")
    await reader.wait_for("document.querySelectorAll('.now .card').length === 50")
    assert not await reader.page.is_visible(".more")
    assert {path for path in requested_urls if path.startswith("/api")} == {"/api/meetings"}
    await stage.create_meeting(title="One too many")
    await reader.wait_for_text("One too many")
    assert await reader.page.locator(".now .card").count() == 50
    assert await reader.page.inner_text(".now .more") == "More meetings: the API lists them all"
