"""cluster/client.py: what commands and bots talk to a server with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cluster.client import Client, who_answers

if TYPE_CHECKING:
    from tests.api_server import Stage

pytest_plugins = ["tests.api_server"]


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_a_server_on_this_machine_is_reached_past_any_proxy(
    stage: Stage, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert who_answers(f"http://{stage.address}") == "parley"
    async with Client(f"http://{stage.address}") as client:
        opened = await client.open_meeting({"title": "Here"})
        assert (await client.meeting(opened["id"]))["title"] == "Here"


def test_nobody_is_told_from_somebody_else() -> None:
    assert who_answers("http://127.0.0.1:9") == "nobody"
