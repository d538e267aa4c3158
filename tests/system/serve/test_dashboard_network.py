"""serve/dashboard/stream.js: what a reader sees while the network is cut and afterwards."""

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

from operators.model import Sentence
from tests.harness.browser import Reader, as_the_api_has_it, reading
from tests.harness.network import Network
from tests.harness.scribe import Scribe, begin, sentence

if TYPE_CHECKING:
    from tests.harness.api_server import Stage

pytest_plugins = ["tests.harness.api_server", "tests.harness.browser"]
pytestmark = pytest.mark.main_path


@pytest.fixture
async def network(stage: Stage) -> AsyncIterator[Network]:
    assert stage.http.base_url.port is not None
    async with Network(stage.http.base_url.port) as network:
        yield network


@pytest.fixture
async def reader(browser: Browser, network: Network) -> AsyncIterator[Reader]:
    """Somebody whose connection the test can cut."""
    async with reading(browser, f"http://127.0.0.1:{network.port}", cut=True) as reader:
        yield reader


async def talk(scribe: Scribe, over: asyncio.Event) -> None:
    """Speech that goes on until it is over: sentences out of order, revised, taken back, captioned sooner or later."""
    chance = random.Random(1)
    said: list[Sentence] = []
    n = 0
    while not over.is_set():
        n += 1
        start = max(0.0, n - chance.choice([0, 0, 0, 3]))
        said.append(sentence(f"{n}.0", f"Sentence {n}.", start, chance.choice(["Ann", "Bob", "Zoë"])))
        scribe.say(said[-1])
        scribe.grow("Ann", f"and then {n}")
        if chance.random() < 0.3:
            k = chance.randrange(len(said))
            old = said[k]
            said[k] = sentence(old.id, f"{old.text} Really.", old.start, old.speaker, old.revision + 1)
            scribe.say(said[k])
        if chance.random() < 0.1:
            scribe.retract(said.pop(chance.randrange(len(said))))
        if chance.random() < 0.7:
            one = chance.choice(said)
            scribe.caption(one, one.text.upper())
        await asyncio.sleep(0.1)
    for one in said:
        scribe.caption(one, one.text.upper())
    scribe.end()


# The watchdog waits for 12 s: a cut that gives no sign has to last longer to be seen.
@pytest.mark.parametrize(
    ("how", "seconds", "words"),
    [("refuse", 3, "Reconnecting"), pytest.param("swallow", 15, "No sign of life", marks=pytest.mark.slow)],
)
async def test_after_a_cut_there_is_no_gap_and_no_repeat(
    stage: Stage,
    network: Network,
    reader: Reader,
    tmp_path: Path,
    how: Literal["refuse", "swallow"],
    seconds: int,
    words: str,
) -> None:
    meeting, scribe = await begin(stage)
    over = asyncio.Event()
    talking = asyncio.create_task(talk(scribe, over))
    await reader.follow(meeting)
    await reader.until("document.querySelectorAll('.row').length > 10")
    # 1. The cut: the page says so, and for how long, while what it has stays.
    await network.cut(how)
    begun = asyncio.get_running_loop().time()
    await reader.shown(words)
    assert "try" in await reader.connection()
    await reader.page.screenshot(path=tmp_path / "cut.png")
    before = len(await reader.rows())
    while asyncio.get_running_loop().time() < begun + seconds:
        assert (await reader.connection()).startswith(words)
        assert not await reader.page.is_visible("text=up to date")
        await asyncio.sleep(0.2)
    assert len(await reader.rows()) == before
    # 2. Afterwards: live again by itself, with all that was missed.
    await network.restore()
    await reader.until("document.querySelector('.connection').dataset.state === 'live'")
    await asyncio.sleep(2)
    over.set()
    await talking
    await reader.shown("all received")
    rows = await as_the_api_has_it(reader, stage.http, meeting)
    assert len(rows) > before
    assert all(row["state"] == "translated" for row in rows)
    await reader.until("document.querySelector('.interim') === null")
    # 3. Each socket was asked for what came after the last event before, and brought each event once.
    last = (await stage.http.get(f"/api/meetings/{meeting}")).json()["seq"]
    received = [seq for socket in reader.sockets for seq in socket.seqs]
    assert received == list(range(1, last + 1))
    # A page that is slow to be served may take that for another cut.
    assert len([socket for socket in reader.sockets if socket.seqs]) >= 2
    for former, latter in pairwise(reader.sockets):
        assert latter.after == (former.seqs[-1] if former.seqs else former.after)


async def test_a_network_that_is_back_is_tried_at_once(stage: Stage, network: Network, reader: Reader) -> None:
    meeting, scribe = await begin(stage)
    await reader.follow(meeting)
    # By itself it would not try again.
    await reader.page.evaluate("() => { window.setTimeout = () => 0 }")
    await network.cut("refuse")
    await reader.shown("Reconnecting")
    scribe.say(sentence("1.0", "Said meanwhile.", 1))
    await network.restore()
    await reader.page.evaluate("() => dispatchEvent(new Event('online'))")
    await reader.shown("Said meanwhile.")


async def test_a_network_that_is_gone_is_told_at_once(stage: Stage, reader: Reader) -> None:
    meeting, scribe = await begin(stage)
    await reader.follow(meeting)
    # By itself it would notice nothing, nor try again.
    await reader.page.evaluate("() => { window.setTimeout = () => 0 }")
    await reader.page.context.set_offline(True)
    await reader.shown("Offline", 5)
    assert "lost" in await reader.connection()
    scribe.say(sentence("1.0", "Said meanwhile.", 1))
    await reader.page.context.set_offline(False)
    await reader.shown("Said meanwhile.")
    assert (await reader.connection()).startswith("Live")


async def test_the_list_tells_at_once_that_the_network_is_gone(stage: Stage, reader: Reader) -> None:
    await begin(stage)
    await reader.open("/")
    await reader.until("document.querySelector('.card a')?.textContent")
    # By itself it would not ask again.
    await reader.page.evaluate("() => { window.setTimeout = () => 0 }")
    await reader.page.context.set_offline(True)
    await reader.shown("can't be reached")
    await reader.page.context.set_offline(False)
    await reader.until("document.querySelector('.trouble').hidden")


async def test_silence_is_told_whatever_the_clock_says(stage: Stage, network: Network, reader: Reader) -> None:
    meeting, _ = await begin(stage)
    await reader.follow(meeting)
    await reader.hold_time()
    await network.cut("swallow")
    # Somebody sets the clock back, and time passes.
    await reader.page.evaluate("() => { const now = Date.now; Date.now = () => now() - 3_600_000 }")
    await reader.pass_time(13)
    await reader.shown("No sign of life")
    await reader.shown("for 13 s")


@pytest.mark.parametrize("fault", ["gap", "repeat", "end"])
async def test_what_a_faulty_server_does_is_put_right(stage: Stage, reader: Reader, fault: str) -> None:
    """It leaves an event out, sends each twice, or says that the meeting is over where it isn't; until asked again."""
    meeting, scribe = await begin(stage)
    scribe.say(*(sentence(f"{n}.0", f"Sentence {n}.", n) for n in range(9)))
    asked: list[str] = []

    async def between(route: WebSocketRoute) -> None:
        asked.append(urlsplit(route.url).query)
        first = len(asked) == 1

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
    await reader.follow(meeting)
    async with asyncio.timeout(60):
        while len(asked) < (1 if fault == "repeat" else 2):
            await asyncio.sleep(0.02)
    await reader.until("document.querySelectorAll('.row').length === 9")
    await reader.until("document.querySelector('.connection').dataset.state === 'live'")
    await as_the_api_has_it(reader, stage.http, meeting)
    assert asked[0] == "after=0&interim=true"
    if fault == "repeat":
        assert len(asked) == 1
    elif fault == "gap":
        assert asked[1:] == ["after=4&interim=true"]
    else:
        assert len(asked) == 2
    assert (await reader.connection()).startswith("Live")


async def test_a_closed_stream_is_not_live_while_it_is_found_out_why(stage: Stage, reader: Reader) -> None:
    meeting, scribe = await begin(stage)
    asked, answer = asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        asked.set()
        await answer.wait()
        await route.continue_()

    await reader.follow(meeting)
    await reader.page.route(f"**/api/meetings/{meeting}", hold)
    scribe.say(sentence("1.0", "The last.", 1), languages=())
    scribe.end()
    await reader.until("document.querySelector('.connection').dataset.state !== 'live'")
    assert await reader.connection() == "Closed asking whether it is over"
    async with asyncio.timeout(60):
        await asked.wait()
    answer.set()
    await reader.shown("all received")


async def test_a_server_with_another_past_is_followed_from_zero(stage: Stage, network: Network, reader: Reader) -> None:
    meeting, lane = await begin(stage)
    lane.say(sentence("1.0", "Kept.", 1), languages=())
    lane.say(sentence("2.0", "Only in the newer past.", 2), languages=())
    await reader.follow(meeting)
    await reader.shown("newer past")
    await network.cut("refuse")
    with stage.engine.begin() as conn:
        conn.exec_driver_sql("update meetings set seq = 2")
        conn.exec_driver_sql("delete from outbox where seq > 2")
        conn.exec_driver_sql("delete from sentences where id = '2.0'")
    await network.restore()
    await reader.until("document.querySelectorAll('.row').length === 1")
    assert (await as_the_api_has_it(reader, stage.http, meeting))[0]["source"] == "Kept."
    assert reader.sockets[-1].after == 0
