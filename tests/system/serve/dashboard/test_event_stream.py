"""serve/dashboard/event_stream.js: the page during a network outage and afterwards."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Route, WebSocketRoute

from operators.stream import Sentence
from tests.harness.api.page_reader import PageReader, open_reader, wait_for_api_rows
from tests.harness.doubles.tcp_proxy import TcpProxy
from tests.harness.lane.fake_lane_writer import FakeLaneWriter, create_written_meeting, make_sentence

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness", "tests.harness.api.page_reader"]
pytestmark = pytest.mark.main_path


@pytest.fixture
async def network(stage: ApiHarness) -> AsyncIterator[TcpProxy]:
    assert stage.http.base_url.port is not None
    async with TcpProxy(stage.http.base_url.port) as network:
        yield network


@pytest.fixture
async def reader(browser: Browser, network: TcpProxy) -> AsyncIterator[PageReader]:
    """A reader whose connection the test can cut."""
    async with open_reader(browser, f"http://127.0.0.1:{network.port}", allow_network_errors=True) as reader:
        yield reader


async def write_meeting(lane_writer: FakeLaneWriter, stopping: asyncio.Event) -> None:
    """Write a meeting until `stopping`: sentences out of order, revised, retracted, captioned sooner or later."""
    rng = random.Random(1)
    sentences: list[Sentence] = []
    n = 0
    while not stopping.is_set():
        n += 1
        start = max(0.0, n - rng.choice([0, 0, 0, 3]))
        sentences.append(make_sentence(f"{n}.0", f"Sentence {n}.", start, rng.choice(["Ann", "Bob", "Zoë"])))
        lane_writer.write_sentences(sentences[-1])
        lane_writer.publish_interim("Ann", f"and then {n}")
        if rng.random() < 0.3:
            k = rng.randrange(len(sentences))
            old = sentences[k]
            sentences[k] = make_sentence(old.id, f"{old.text} Really.", old.start, old.speaker, old.revision + 1)
            lane_writer.write_sentences(sentences[k])
        if rng.random() < 0.1:
            lane_writer.retract(sentences.pop(rng.randrange(len(sentences))))
        if rng.random() < 0.7:
            one = rng.choice(sentences)
            lane_writer.write_caption(one, one.text.upper())
        await asyncio.sleep(0.1)
    for one in sentences:
        lane_writer.write_caption(one, one.text.upper())
    lane_writer.end()


# The silence timeout is 12 s: a cut that closes no connection must last longer to be noticed.
@pytest.mark.parametrize(
    ("how", "seconds", "words"),
    [("refuse", 3, "Reconnecting"), pytest.param("swallow", 15, "No response", marks=pytest.mark.slow)],
)
async def test_no_event_is_missing_or_repeated_after_an_outage(
    stage: ApiHarness,
    network: TcpProxy,
    reader: PageReader,
    tmp_path: Path,
    how: Literal["refuse", "swallow"],
    seconds: int,
    words: str,
) -> None:
    meeting, scribe = await create_written_meeting(stage)
    over = asyncio.Event()
    talking = asyncio.create_task(write_meeting(scribe, over))
    await reader.open_live_meeting(meeting)
    await reader.wait_for("document.querySelectorAll('.row').length > 10")
    # 1. The cut: the page shows it, and for how long. Its rows stay.
    await network.cut(how)
    begun = asyncio.get_running_loop().time()
    await reader.wait_for_text(words)
    assert "try" in await reader.connection_text()
    await reader.page.screenshot(path=tmp_path / "cut.png")
    before = len(await reader.transcript_rows())
    while asyncio.get_running_loop().time() < begun + seconds:
        assert (await reader.connection_text()).startswith(words)
        assert not await reader.page.is_visible("text=up to date")
        await asyncio.sleep(0.2)
    assert len(await reader.transcript_rows()) == before
    # 2. Afterwards: live again by itself, with all missed events.
    await network.restore()
    await reader.wait_for("document.querySelector('.connection').dataset.state === 'live'")
    while len(await reader.transcript_rows()) <= before:
        await asyncio.sleep(0.1)
    over.set()
    await talking
    await reader.wait_for_text("all received")
    rows = await wait_for_api_rows(reader, stage.http, meeting)
    assert len(rows) > before
    assert all(row["state"] == "translated" for row in rows)
    await reader.wait_for("document.querySelector('.interim') === null")
    # 3. Each socket requested the events after the last received one, and each event came once.
    last = (await stage.http.get(f"/api/meetings/{meeting}")).json()["seq"]
    received = [seq for socket in reader.sockets for seq in socket.seqs]
    assert received == list(range(1, last + 1))
    # If the server is slow, the page may reconnect once more.
    assert len([socket for socket in reader.sockets if socket.seqs]) >= 2
    for former, latter in pairwise(reader.sockets):
        assert latter.after == (former.seqs[-1] if former.seqs else former.after)


async def test_page_reconnects_at_once_when_the_network_returns(
    stage: ApiHarness, network: TcpProxy, reader: PageReader
) -> None:
    meeting, scribe = await create_written_meeting(stage)
    await reader.open_live_meeting(meeting)
    # Without the `online` event, the page would not retry.
    await reader.page.evaluate("() => { window.setTimeout = () => 0 }")
    await network.cut("refuse")
    await reader.wait_for_text("Reconnecting")
    scribe.write_sentences(make_sentence("1.0", "Said meanwhile.", 1))
    await network.restore()
    await reader.page.evaluate("() => dispatchEvent(new Event('online'))")
    await reader.wait_for_text("Said meanwhile.")


async def test_page_shows_at_once_that_the_browser_is_offline(stage: ApiHarness, reader: PageReader) -> None:
    meeting, scribe = await create_written_meeting(stage)
    await reader.open_live_meeting(meeting)
    # Without the browser's events, the page would notice nothing and not retry.
    await reader.page.evaluate("() => { window.setTimeout = () => 0 }")
    await reader.page.context.set_offline(True)
    await reader.wait_for_text("Offline", 5)
    assert "lost" in await reader.connection_text()
    scribe.write_sentences(make_sentence("1.0", "Said meanwhile.", 1))
    await reader.page.context.set_offline(False)
    await reader.wait_for_text("Said meanwhile.")
    assert (await reader.connection_text()).startswith("Live")


async def test_list_shows_at_once_that_the_browser_is_offline(stage: ApiHarness, reader: PageReader) -> None:
    await create_written_meeting(stage)
    await reader.open("/")
    await reader.wait_for("document.querySelector('.card a')?.textContent")
    # Without the browser's events, the list would not be refreshed.
    await reader.page.evaluate("() => { window.setTimeout = () => 0 }")
    await reader.page.context.set_offline(True)
    await reader.wait_for_text("can't be reached")
    await reader.page.context.set_offline(False)
    await reader.wait_for("document.querySelector('.error-notice').hidden")


async def test_silence_is_noticed_whatever_the_system_clock(
    stage: ApiHarness, network: TcpProxy, reader: PageReader
) -> None:
    meeting, _ = await create_written_meeting(stage)
    await reader.open_live_meeting(meeting)
    await reader.freeze_clock()
    await network.cut("swallow")
    # The system clock is set back, and time passes.
    await reader.page.evaluate("() => { const now = Date.now; Date.now = () => now() - 3_600_000 }")
    await reader.advance_clock(13)
    await reader.wait_for_text("No response")
    await reader.wait_for_text("for 13 s")


@pytest.mark.parametrize("fault", ["gap", "repeat", "end"])
async def test_page_recovers_from_a_faulty_server(stage: ApiHarness, reader: PageReader, fault: str) -> None:
    """On the first connection the server omits an event or ends the meeting too early; or it sends each event twice."""
    meeting, scribe = await create_written_meeting(stage)
    scribe.write_sentences(*(make_sentence(f"{n}.0", f"Sentence {n}.", n) for n in range(9)))
    requested_urls: list[str] = []

    async def between(route: WebSocketRoute) -> None:
        requested_urls.append(urlsplit(route.url).query)
        first = len(requested_urls) == 1

        def pass_on(message: str | bytes) -> None:
            seq = json.loads(message).get("seq")
            if not (fault == "gap" and first and seq == 5):
                route.send(message)
            if fault == "repeat":
                route.send(message)
            if fault == "end" and first and seq == 5:
                asyncio.get_running_loop().create_task(route.close(code=1000))

        route.connect_to_server().on_message(pass_on)

    await reader.page.route_web_socket("**/events?*", between)
    await reader.open_live_meeting(meeting)
    async with asyncio.timeout(60):
        while len(requested_urls) < (1 if fault == "repeat" else 2):
            await asyncio.sleep(0.02)
    await reader.wait_for("document.querySelectorAll('.row').length === 9")
    await reader.wait_for("document.querySelector('.connection').dataset.state === 'live'")
    await wait_for_api_rows(reader, stage.http, meeting)
    assert requested_urls[0] == "after=0&interim=true"
    if fault == "repeat":
        assert len(requested_urls) == 1
    elif fault == "gap":
        assert requested_urls[1:] == ["after=4&interim=true"]
    else:
        assert len(requested_urls) == 2
    assert (await reader.connection_text()).startswith("Live")


async def test_closed_stream_is_not_shown_as_live_during_the_check(stage: ApiHarness, reader: PageReader) -> None:
    meeting, scribe = await create_written_meeting(stage)
    asked, answer = asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        asked.set()
        await answer.wait()
        await route.continue_()

    await reader.open_live_meeting(meeting)
    await reader.page.route(f"**/api/meetings/{meeting}", hold)
    scribe.write_sentences(make_sentence("1.0", "The last.", 1), languages=())
    scribe.end()
    await reader.wait_for("document.querySelector('.connection').dataset.state !== 'live'")
    assert await reader.connection_text() == "Closed checking whether the meeting is over"
    async with asyncio.timeout(60):
        await asked.wait()
    answer.set()
    await reader.wait_for_text("all received")


async def test_page_starts_over_after_the_database_was_reset(
    stage: ApiHarness, network: TcpProxy, reader: PageReader
) -> None:
    meeting, lane = await create_written_meeting(stage)
    lane.write_sentences(make_sentence("1.0", "Kept.", 1), languages=())
    lane.write_sentences(make_sentence("2.0", "Only in the newer past.", 2), languages=())
    await reader.open_live_meeting(meeting)
    await reader.wait_for_text("newer past")
    await network.cut("refuse")
    with stage.engine.begin() as conn:
        conn.exec_driver_sql("update meetings set seq = 2")
        conn.exec_driver_sql("delete from outbox where seq > 2")
        conn.exec_driver_sql("delete from sentences where id = '2.0'")
    await network.restore()
    await reader.wait_for("document.querySelectorAll('.row').length === 1")
    assert (await wait_for_api_rows(reader, stage.http, meeting))[0]["source"] == "Kept."
    assert reader.sockets[-1].after == 0
