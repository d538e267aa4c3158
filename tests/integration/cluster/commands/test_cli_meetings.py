"""`parley meetings` with an API that has no meetings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cluster.ports import find_free_port
from tests.harness.processes.parley_command import run_parley

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]


async def test_without_meetings_the_list_explains_how_to_open_one(stage: ApiHarness) -> None:
    server = f"http://{stage.address}"
    done = run_parley("meetings", "list", "--server", server)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("There is no meeting yet. Open one")
    assert "parley import" in done.stdout
    assert json.loads(run_parley("meetings", "list", "--json", "--server", server).stdout) == []


def test_a_password_in_a_url_is_not_shown() -> None:
    done = run_parley("meetings", "list", "--server", f"http://me:open-sesame@127.0.0.1:{(port := find_free_port())}")
    assert done.returncode == 1
    assert f"no Parley answers at http://127.0.0.1:{port}:" in done.stderr
    assert "open-sesame" not in done.stdout + done.stderr
