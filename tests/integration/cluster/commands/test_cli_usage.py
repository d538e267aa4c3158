"""`parley usage`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from operators.insight_requests import InsightRole
from storage.postgres.token_usage import add_usage
from tests.harness.processes.parley_command import run_parley

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]


async def test_used_tokens_are_shown_by_day_and_role(stage: ApiHarness) -> None:
    server = ("--server", f"http://{stage.address}")
    assert run_parley("usage", *server).stdout == "Used today: 0 tokens (no limit).\n"
    with stage.engine.begin() as connection:
        add_usage(connection, "default", InsightRole.NOTE, 1_200)
        add_usage(connection, "default", InsightRole.CHAT, 34)
    shown = run_parley("usage", "--days", "1", *server)
    assert (shown.returncode, shown.stderr) == (0, "")
    first, *table = shown.stdout.splitlines()
    assert first == "Used today: 1,234 tokens (no limit)."
    assert [row.split()[1:] for row in table if "20" in row] == [["chat", "34", "0"], ["note", "1,200", "0"]]
    assert json.loads(run_parley("usage", "--json", *server).stdout)["used_today"] == 1_234
