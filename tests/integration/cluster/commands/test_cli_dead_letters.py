"""`parley dead-letters` against a running API."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from tests.harness.processes.parley_command import run_parley
from tests.integration.serve.http.test_dead_letter_routes import appended_chunks, store_dead_letter

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]

NOBODY = "01890000-0000-7000-8000-000000000000"


def run_dead_letters(stage: ApiHarness, *arguments: object) -> subprocess.CompletedProcess[str]:
    return run_parley("dead-letters", *arguments, "--server", f"http://{stage.address}", COLUMNS="160")


async def test_dead_letters_are_listed_and_shown(stage: ApiHarness) -> None:
    none = run_dead_letters(stage, "list")
    assert (none.returncode, none.stdout, none.stderr) == (0, "There are no dead letters.\n", "")
    meeting = await stage.create_meeting()
    one, other = store_dead_letter(stage, meeting), store_dead_letter(stage, None, "schema: must be 1", schema="[red]2")
    listed = run_dead_letters(stage, "list")
    assert listed.returncode == 0
    lines = [line.split() for line in listed.stdout.splitlines() if line.strip()]
    assert [(line[0], line[-1]) for line in lines[-2:]] == [(str(other), "1"), (str(one), "ValueError")]
    assert meeting in listed.stdout
    assert "Good morning" not in listed.stdout
    as_json = json.loads(run_dead_letters(stage, "list", "--meeting", meeting, "--json").stdout)
    assert [(each["id"], each["meeting_id"]) for each in as_json] == [(one, meeting)]
    shown = run_dead_letters(stage, "show", other)
    assert shown.returncode == 0
    assert "Good morning." in shown.stdout
    assert "[red]2" in shown.stdout, "what is in it is shown as it is"
    assert json.loads(run_dead_letters(stage, "show", one, "--json").stdout)["fields"]["n"] == "2"
    unknown = run_dead_letters(stage, "show", 4711)
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "there is no dead letter 4711" in unknown.stderr


async def test_dead_letters_are_resubmitted(stage: ApiHarness) -> None:
    meeting, over = await stage.create_meeting(), await stage.create_meeting()
    await stage.http.post(f"/api/meetings/{over}/end")
    ids = [store_dead_letter(stage, meeting) for _ in range(3)]
    closed = store_dead_letter(stage, over)
    two = run_dead_letters(stage, "retry", ids[1], ids[0])
    assert two.returncode == 0, two.stderr
    assert [line.split(":")[0] for line in two.stdout.splitlines()] == [str(ids[0]), str(ids[1])]
    assert "Resubmitted: 2." in two.stderr
    rest = run_dead_letters(stage, "retry", "--all")
    assert rest.returncode == 1
    assert rest.stdout.startswith(f"{ids[2]}: chunk 7 of meeting {meeting}")
    assert f"{closed}: Conflict: the meeting is over" in rest.stderr
    assert "Resubmitted: 1. Refused: 1." in rest.stderr
    assert [entry["event_id"] for entry in appended_chunks(stage)] == [f"dead-{each}" for each in ids]
    done = run_dead_letters(stage, "retry", "--all", "--meeting", meeting)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "There are no dead letters to resubmit.\n")


async def test_retry_needs_ids_or_all(stage: ApiHarness) -> None:
    for words in ([], ["1", "--all"], ["1", "--meeting", NOBODY]):
        refused = run_dead_letters(stage, "retry", *words)
        assert refused.returncode == 1
        assert "--all" in refused.stderr
