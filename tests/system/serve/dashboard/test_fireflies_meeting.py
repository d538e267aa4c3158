"""From a stand-in for Fireflies to the page: connector, lane, translator and captions of a running `parley up`."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.async_api import Browser

from cluster.fireflies_sim.simulator import FirefliesSimulator, SimulatorOptions
from tests.harness.api.fireflies_account import KEY_VARIABLE
from tests.harness.api.page_reader import open_reader, wait_for_api_rows
from tests.harness.processes.parley_up import ParleyUp

pytest_plugins = ["tests.harness.processes.shared_parley_up", "tests.harness.api.page_reader"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

WAIT_S = 240.0
"""Seconds that a change of the page may take on a busy machine."""


async def test_a_meeting_on_fireflies_is_captioned_and_its_connection_is_shown(up: ParleyUp, browser: Browser) -> None:
    async with httpx.AsyncClient(base_url=up.url, timeout=60) as api, open_reader(browser, up.url) as reader:
        with FirefliesSimulator(SimulatorOptions(speed=20)) as simulator:
            request = {
                "transcript_id": "demo",
                "key_variable": KEY_VARIABLE,
                "plan": "business",
                "api_base_url": simulator.url,
                "source_language": "en",
                "target_languages": ["pt"],
                "title": "On Fireflies",
            }
            answer = await api.post("/api/fireflies/connect", json=request)
            assert answer.status_code == 201, answer.text
            meeting, session = answer.json()["meeting_id"], answer.json()["id"]
            await reader.open_live_meeting(meeting)
            await reader.wait_for_text("Fireflies: connected", WAIT_S)
            await reader.wait_for_text("of 60 requests left", WAIT_S)
            await asyncio.to_thread(simulator.wait_for_end, "demo")
            last = simulator.sent[-1].broadcast.text
            await reader.wait_for(f"document.querySelector('.rows').textContent.includes({last.split()[0]!r})", WAIT_S)
            await reader.wait_for("document.querySelector('.caption[data-state=translated]')", WAIT_S)
            port = urlsplit(simulator.url).port
        await reader.wait_for_text("Fireflies: reconnecting", WAIT_S)
        await reader.wait_for_text("Parley keeps trying", WAIT_S)
        # The service is back, and refuses the key.
        with FirefliesSimulator(SimulatorOptions(port=port or 0, api_key="another-key")):
            await reader.wait_for_text("Fireflies: failed", WAIT_S)
        await reader.wait_for_text("check the API key at app.fireflies.ai", WAIT_S)
        await reader.wait_for_text("connect again by: parley fireflies connect demo", WAIT_S)
        assert (await api.get(f"/api/fireflies/sessions/{session}")).json()["status"] == "failed"
        await api.post(f"/api/meetings/{meeting}/end")
        await reader.wait_for_text("all received", WAIT_S)
        rows = await wait_for_api_rows(reader, api, meeting)
        assert {row["state"] for row in rows} <= {"translated", "same"}
        await reader.open("/")
        await reader.wait_for_text("Fireflies: failed", WAIT_S)
