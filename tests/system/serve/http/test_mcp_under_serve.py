"""The MCP endpoint of a running system, behind Serve's proxy."""

from __future__ import annotations

import pytest
from mcp import Client

from tests.harness.processes.parley_up import ParleyUp

pytest_plugins = ["tests.harness.processes.shared_parley_up"]
pytestmark = [pytest.mark.main_path, pytest.mark.timeout(600)]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_an_assistant_lists_the_meetings(up: ParleyUp, mode: str) -> None:
    meeting = up.post("/api/meetings", {"title": "For an assistant"}).json()["id"]
    async with Client(f"{up.url}/mcp", mode=mode) as client:
        listed = await client.call_tool("list_meetings", {"limit": 1})
    assert listed.structured_content["meetings"][0]["id"] == meeting
    up.post(f"/api/meetings/{meeting}/end")
