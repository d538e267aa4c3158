"""A reader of the pages in a real browser."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, WebSocket, async_playwright

_BROWSER_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_BROWSER_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_NETWORK_ERRORS = ("Failed to load resource", "WebSocket connection to")


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """The machine's own browser, without its user's profile. The test is skipped if there is no browser."""
    program = next(filter(None, map(shutil.which, _BROWSER_PROGRAMS)), None)
    if program is None:
        pytest.skip("there is no browser: install Debian's chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=_BROWSER_ARGUMENTS)
        yield browser
        await browser.close()


@dataclass
class PageSocket:
    """A WebSocket that the page opened.

    Attributes:
        after: the seq after which the page requested events.
        seqs: the seqs of the stored events that it received.
    """

    after: int
    seqs: list[int] = field(default_factory=list[int])


@dataclass
class PageReader:
    """An open page in a browser.

    Attributes:
        page: the page.
        base: the server's base URL.
        sockets: the WebSockets that the page opened, in order.
        console_errors: the console's errors and warnings, and uncaught errors.
    """

    page: Page
    base: str
    sockets: list[PageSocket] = field(default_factory=list[PageSocket])
    console_errors: list[str] = field(default_factory=list[str])

    async def freeze_clock(self) -> None:
        """Stop the clock of the open page; only `advance_clock` moves it then. Its timers continue."""
        await self.page.evaluate("() => { window.held = performance.now(); performance.now = () => held }")

    async def advance_clock(self, seconds: float) -> None:
        """Advance the clock that `freeze_clock` stopped."""
        await self.page.evaluate(f"() => {{ held += {seconds * 1000} }}")

    async def open(self, path: str) -> None:
        """Go to a page."""
        await self.page.goto(self.base + path)

    async def open_live_meeting(self, meeting: str, query: str = "") -> None:
        """Go to a meeting's page and wait until it is live."""
        await self.open(f"/meetings/{meeting}{query}")
        await self.wait_for("document.querySelector('.connection').dataset.state === 'live'")

    async def transcript_rows(self) -> list[dict[str, Any]]:
        """Return the transcript rows that the page shows."""
        return await self.page.evaluate(
            """() => [...document.querySelectorAll(".row")].map((row) => ({
                id: row.dataset.id,
                speaker: row.querySelector(".speaker").textContent,
                named: row.classList.contains("first"),
                at: row.querySelector(".speech-time").textContent,
                source: row.querySelector(".source").textContent,
                text: row.querySelector(".text").textContent,
                by: row.querySelector(".text").title,
                note: row.querySelector(".note").textContent,
                state: row.querySelector(".caption").dataset.state,
                earlier: row.querySelector(".caption").classList.contains("earlier"),
                warned: row.querySelector(".caption").classList.contains("warned"),
            }))"""
        )

    async def wait_for(self, condition: str, seconds: float = 60.0) -> None:
        """Wait for a JavaScript expression to become true."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not await self.page.evaluate(f"() => Boolean({condition})"):
            assert asyncio.get_running_loop().time() < deadline, (
                f"{condition} did not come true: {await self.page.inner_text('body')}"
            )
            await asyncio.sleep(0.02)

    async def wait_for_text(self, text: str, seconds: float = 60.0) -> None:
        """Wait for words to be on the page."""
        await self.wait_for(f"document.body.innerText.includes({json.dumps(text)})", seconds)

    async def connection_text(self) -> str:
        """Return the text that the page shows about its connection."""
        return " ".join((await self.page.inner_text(".connection")).split())

    def _on_console_message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.console_errors.append(message.text)

    def _on_websocket(self, socket: WebSocket) -> None:
        opened = PageSocket(int(parse_qs(urlsplit(socket.url).query)["after"][0]))
        self.sockets.append(opened)

        def on_frame(frame: str | bytes) -> None:
            event = json.loads(frame)
            if "seq" in event:
                opened.seqs.append(event["seq"])

        socket.on("framereceived", on_frame)


@asynccontextmanager
async def reused_reader(reader: PageReader) -> AsyncIterator[PageReader]:
    """Yield a reader from an earlier test, with no console errors and no sockets; the test must cause no console error."""
    reader.sockets.clear()
    reader.console_errors.clear()
    yield reader
    console_errors = list(reader.console_errors)
    await reader.page.goto("about:blank")
    assert console_errors == []


@asynccontextmanager
async def open_reader(
    browser: Browser, base: str, *, allow_network_errors: bool = False, **options: Any
) -> AsyncIterator[PageReader]:
    """Yield a reader with its own browser profile; at the end, the console must hold no errors or warnings.

    Args:
        browser: the browser.
        base: the server's base URL.
        allow_network_errors: whether errors of the network are accepted.
        options: options of Playwright's `new_context`.
    """
    context = await browser.new_context(**options)
    context.set_default_timeout(60_000)
    reader = PageReader(await context.new_page(), base)
    reader.page.on("console", reader._on_console_message)  # pyright: ignore[reportPrivateUsage]
    reader.page.on("pageerror", lambda error: reader.console_errors.append(str(error)))
    reader.page.on("websocket", reader._on_websocket)  # pyright: ignore[reportPrivateUsage]
    try:
        yield reader
    finally:
        await context.close()
    unexpected_errors = [
        error for error in reader.console_errors if not (allow_network_errors and error.startswith(_NETWORK_ERRORS))
    ]
    assert unexpected_errors == []


async def wait_for_api_rows(
    reader: PageReader, api: httpx.AsyncClient, meeting: str, language: str = "pt"
) -> list[dict[str, Any]]:
    """Wait until the page shows the API's sentences and captions in the API's order, and return the rows.

    The page renders once a frame, so its rows follow the events with a delay.
    """
    sentences = (await api.get(f"/api/meetings/{meeting}/sentences")).json()["sentences"]
    captions = (await api.get(f"/api/meetings/{meeting}/captions?language={language}")).json()["captions"]
    expected_sentences = [(sentence["id"], sentence["speaker"], sentence["text"]) for sentence in sentences]
    expected_captions = [
        (caption["sentence_id"], caption["status"], caption["text"] or "")
        for caption in captions
        if caption["status"] != "pending"
    ]
    deadline = asyncio.get_running_loop().time() + 60
    while True:
        rows = await reader.transcript_rows()
        shown_sentences = [(row["id"], row["speaker"], row["source"]) for row in rows]
        shown_captions = [
            (row["id"], row["state"], row["text"]) for row in rows if row["state"] not in ("waiting", "late")
        ]
        if (shown_sentences, shown_captions) == (expected_sentences, expected_captions):
            return rows
        if asyncio.get_running_loop().time() > deadline:
            assert (shown_sentences, shown_captions) == (expected_sentences, expected_captions)
        await asyncio.sleep(0.02)
