"""Tests serve/http/lane_routes.py, and the command `parley lanes`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from cluster.cli import app

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]


def run_lanes_command(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["lanes", *arguments])


async def test_lanes_are_listed_with_their_status(stage: ApiHarness) -> None:
    await stage.create_meeting(title="Monday")
    with stage.engine.begin() as connection:
        connection.execute(
            text("update lanes set epoch = 3, pid = 7, node = 'n1', pending_calls = 2 where id = 'live-1'")
        )
    found = (await stage.http.get("/api/lanes")).json()["lanes"]
    assert [lane["id"] for lane in found] == ["batch-1", "live-1"]
    live = found[1]
    # No worker reads the lane's log, so the meeting's first entry waits.
    assert live.pop("lag") > 0
    assert live.pop("last_heartbeat_at")
    assert live == {
        "id": "live-1",
        "kind": "live",
        "state": "running",
        "draining": False,
        "epoch": 3,
        "open_meetings": 1,
        "pending_calls": 2,
        "entries": 0,
        "node": "n1",
        "pid": 7,
    }


async def test_a_lane_is_added_and_drained_but_never_the_last(stage: ApiHarness) -> None:
    added = await stage.http.post("/api/lanes", json={"kind": "live"})
    assert (added.status_code, added.json()["id"]) == (201, "live-2")
    drained = await stage.http.post("/api/lanes/live-1/drain")
    assert (drained.status_code, drained.json()["draining"]) == (202, True)
    last = await stage.http.post("/api/lanes/live-2/drain")
    assert (last.status_code, last.json()["reason"]) == (409, "last")
    assert (await stage.http.post("/api/lanes/live-9/drain")).status_code == 404
    wrong = await stage.http.post("/api/lanes", json={"kind": "fast"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "kind")


async def test_a_meeting_is_moved(stage: ApiHarness) -> None:
    await stage.http.post("/api/lanes", json={"kind": "live"})
    meeting = await stage.create_meeting(title="Monday")
    moved = await stage.http.post(f"/api/meetings/{meeting}/move", json={"lane": "live-2"})
    assert (moved.status_code, moved.json()) == (202, {"lane": "live-2", "moved": True})
    again = await stage.http.post(f"/api/meetings/{meeting}/move", json={"lane": "live-2"})
    assert again.json()["moved"] is False
    wrong = await stage.http.post(f"/api/meetings/{meeting}/move", json={"lane": "batch-1"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "lane")
    assert (await stage.http.post(f"/api/meetings/{meeting}/move", json={"lane": "live-7"})).status_code == 404


@pytest.fixture
def server(stage: ApiHarness) -> str:
    return str(stage.http.base_url)


async def test_the_command_lists_adds_drains_and_moves(stage: ApiHarness, server: str) -> None:
    async def run(*arguments: str) -> Any:
        return await asyncio.to_thread(run_lanes_command, *arguments, "--server", server)

    meeting = await stage.create_meeting(title="Monday")
    added = await run("add")
    assert added.exit_code == 0
    assert "live-2 was added" in added.output
    listed = await run("list")
    assert listed.exit_code == 0
    assert all(word in listed.output for word in ("live-1", "live-2", "batch-1", "recorded meetings", "running"))
    moved = await run("move", meeting, "live-2")
    assert (moved.exit_code, "The meeting continues in live-2" in moved.output) == (0, True)
    drained = await run("drain", "live-2")
    assert (drained.exit_code, "is drained" in drained.output) == (0, True)
    # No worker runs that could move the lane's meeting, and the command reports it.
    await run("add")
    busy = await run("drain", "live-1", "--wait", "0")
    assert (busy.exit_code, "Still open: 1" in busy.output) == (1, True)
    refused = await run("move", meeting, "live-9")
    assert refused.exit_code != 0
    assert "no lane live-9" in str(refused.exception)
