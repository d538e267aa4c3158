"""`parley dead-letters` against a running API."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from tests.harness.command_line import parley
from tests.integration.serve.test_api_dead import appended, write

if TYPE_CHECKING:
    from tests.harness.api_server import Stage

pytest_plugins = ["tests.harness.api_server"]

NOBODY = "01890000-0000-7000-8000-000000000000"


def dead(stage: Stage, *arguments: object) -> subprocess.CompletedProcess[str]:
    return parley("dead-letters", *arguments, "--server", f"http://{stage.address}", COLUMNS="160")


async def test_letters_are_listed_and_shown(stage: Stage) -> None:
    none = dead(stage, "list")
    assert (none.returncode, none.stdout, none.stderr) == (0, "There is no dead letter.\n", "")
    meeting = await stage.begin()
    one, other = write(stage, meeting), write(stage, None, "schema: must be 1", schema="[red]2")
    listed = dead(stage, "list")
    assert listed.returncode == 0
    lines = [line.split() for line in listed.stdout.splitlines() if line.strip()]
    assert [(line[0], line[-1]) for line in lines[-2:]] == [(str(other), "1"), (str(one), "ValueError")]
    assert meeting in listed.stdout
    assert "Good morning" not in listed.stdout
    as_json = json.loads(dead(stage, "list", "--meeting", meeting, "--json").stdout)
    assert [(each["id"], each["meeting_id"]) for each in as_json] == [(one, meeting)]
    shown = dead(stage, "show", other)
    assert shown.returncode == 0
    assert "Good morning." in shown.stdout
    assert "[red]2" in shown.stdout, "what is in it is shown as it is"
    assert json.loads(dead(stage, "show", one, "--json").stdout)["fields"]["n"] == "2"
    unknown = dead(stage, "show", 4711)
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "there is no dead letter 4711" in unknown.stderr


async def test_letters_are_put_in_again(stage: Stage) -> None:
    meeting, over = await stage.begin(), await stage.begin()
    await stage.http.post(f"/api/meetings/{over}/end")
    ids = [write(stage, meeting) for _ in range(3)]
    closed = write(stage, over)
    two = dead(stage, "retry", ids[1], ids[0])
    assert two.returncode == 0, two.stderr
    assert [line.split(":")[0] for line in two.stdout.splitlines()] == [str(ids[0]), str(ids[1])]
    assert "Put in again: 2." in two.stderr
    rest = dead(stage, "retry", "--all")
    assert rest.returncode == 1
    assert rest.stdout.startswith(f"{ids[2]}: chunk 7 of meeting {meeting}")
    assert f"{closed}: Conflict: the meeting is over" in rest.stderr
    assert "Put in again: 1. Not possible: 1." in rest.stderr
    assert [entry["event_id"] for entry in appended(stage)] == [f"dead-{each}" for each in ids]
    done = dead(stage, "retry", "--all", "--meeting", meeting)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "There is no dead letter to put in again.\n")


async def test_what_is_to_be_put_in_must_be_named(stage: Stage) -> None:
    for words in ([], ["1", "--all"], ["1", "--meeting", NOBODY]):
        refused = dead(stage, "retry", *words)
        assert refused.returncode == 1
        assert "--all" in refused.stderr
