"""Somebody who reads the pages in a real browser."""

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

from cluster.diagnostics import BROWSER_PROGRAMS

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
    """The machine's own browser, with nothing of its user's; without one the test is skipped."""
    program = next(filter(None, map(shutil.which, BROWSER_PROGRAMS)), None)
    if program is None:
        pytest.skip("there is no browser: install Debian's chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=_BROWSER_ARGUMENTS)
        yield browser
        await browser.close()


@dataclass
class PageSocket:
    """A WebSocket that the page opened: what it asked for, and the stored events it got."""

    after: int
    seqs: list[int] = field(default_factory=list[int])


@dataclass
class PageReader:
    """A page that somebody reads.

    Attributes:
        sockets: the WebSockets it opened, in order.
        complaints: what the browser complained of in its console.
    """

    page: Page
    base: str
    sockets: list[PageSocket] = field(default_factory=list[PageSocket])
    console_errors: list[str] = field(default_factory=list[str])

    async def freeze_clock(self) -> None:
        """Let no time pass on the page that is open, but for `pass_time`. Its timers go on."""
        await self.page.evaluate("() => { window.held = performance.now(); performance.now = () => held }")

    async def advance_clock(self, seconds: float) -> None:
        """Let time pass where it was held."""
        await self.page.evaluate(f"() => {{ held += {seconds * 1000} }}")

    async def open(self, path: str) -> None:
        """Go to a page."""
        await self.page.goto(self.base + path)

    async def open_live_meeting(self, meeting: str, query: str = "") -> None:
        """Go to a meeting's page and wait until it is live."""
        await self.open(f"/meetings/{meeting}{query}")
        await self.wait_for("document.querySelector('.connection').dataset.state === 'live'")

    async def transcript_rows(self) -> list[dict[str, Any]]:
        """The transcript as it is shown."""
        return await self.page.evaluate(
            """() => [...document.querySelectorAll(".row")].map((row) => ({
                id: row.dataset.id,
                speaker: row.querySelector(".speaker").textContent,
                named: row.classList.contains("first"),
                at: row.querySelector(".at").textContent,
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
        """What the page says of its connection."""
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
    """A reader whose page another test had before, as a new one: with complaints and sockets of their own."""
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
    """A reader with a browser profile of their own; at the end, the browser must not have complained.

    Args:
        base: the server's address.
        cut: whether complaints about the network are no surprise.
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
        c for c in reader.console_errors if not (allow_network_errors and c.startswith(_NETWORK_ERRORS))
    ]
    assert unexpected_errors == []


async def wait_for_api_rows(
    reader: PageReader, api: httpx.AsyncClient, meeting: str, language: str = "pt"
) -> list[dict[str, Any]]:
    """The rows that are shown, once they hold what the API tells, in its order: the page shows what it has by the frame."""
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
