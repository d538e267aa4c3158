"""`parley fireflies` against a running API and the stand-in."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from cluster.fireflies_sim.simulator import FirefliesSimulator, SimulatorOptions
from tests.harness.api.fireflies_account import KEY_VARIABLE, store_account
from tests.harness.processes.parley_command import run_parley

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness", "tests.harness.api.fireflies_account"]
pytestmark = pytest.mark.usefixtures("fireflies_secrets")


def run_fireflies(stage: ApiHarness, *arguments: object) -> subprocess.CompletedProcess[str]:
    return run_parley("fireflies", *arguments, "--server", f"http://{stage.address}", COLUMNS="200")


async def test_a_session_is_connected_listed_and_disconnected(stage: ApiHarness) -> None:
    assert run_fireflies(stage, "sessions").stdout == "There are no sessions.\n"
    with FirefliesSimulator() as simulator:
        own = ["--key-variable", KEY_VARIABLE, "--plan", "business", "--api-url", simulator.url]
        connected = run_fireflies(stage, "connect", "demo", "--targets", "pt,es", *own)
        assert connected.returncode == 0, connected.stderr
        session_id, status, _ = connected.stdout.split()
        assert status == "connecting"
        [session] = json.loads(run_fireflies(stage, "sessions", "--json").stdout)
        assert (session["id"], session["target_languages"]) == (session_id, ["pt", "es"])
        assert "60 of 60" in run_fireflies(stage, "sessions").stdout
        assert run_fireflies(stage, "disconnect", "demo").stdout == f"{session_id} disconnects\n"
    unknown = run_fireflies(stage, "disconnect", "none")
    assert (unknown.returncode, "there is no open session of none" in unknown.stderr) == (1, True)


async def test_transcripts_are_listed_and_imports_are_queued(stage: ApiHarness) -> None:
    without_key = run_fireflies(stage, "transcripts")
    assert (without_key.returncode, "PUT /api/fireflies/config" in without_key.stderr) == (1, True)
    with FirefliesSimulator(SimulatorOptions(past_meeting_count=3)) as simulator:
        store_account(stage.engine, simulator.url)
        listed = run_fireflies(stage, "transcripts", "--limit", 2)
        assert [line.split()[0] for line in listed.stdout.splitlines()] == ["past-1", "past-2"]
        assert "More: --skip 2" in listed.stderr
        assert "Requests left: 59 of 60." in listed.stderr
        assert run_fireflies(stage, "import", "past-1").stdout == "past-1: queued\n"
        assert run_fireflies(stage, "import-all", "--since", "2026-11-01").stdout == "queued: 0 listed, 0 queued\n"
    assert run_fireflies(stage, "failed").stdout == "No import has failed.\n"
    assert run_fireflies(stage, "retry").stdout == "Queued again: 0.\n"
