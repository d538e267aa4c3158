"""`parley search`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.harness.lane.fake_lane_writer import create_written_meeting, make_sentence
from tests.harness.processes.parley_command import run_parley

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]


async def test_what_is_found_is_shown_by_meeting(stage: ApiHarness) -> None:
    server = ("--server", f"http://{stage.address}")
    assert run_parley("search", "budget", *server).stdout == "Nothing was found.\n"
    meeting, writer = await create_written_meeting(stage)
    sentence = make_sentence("1.0", "The [red]budget\x1b[2J is set.", 65.0, "Ann")
    writer.write_sentences(sentence, make_sentence("2.0", "The budget again.", 70.0, "Bob"))
    writer.write_caption(sentence, "Das Budget steht.", language="pt")
    shown = run_parley("search", "budget", "--limit", "1", *server)
    assert (shown.returncode, shown.stderr) == (0, "")
    lines = shown.stdout.splitlines()
    assert lines[1].endswith(meeting)
    assert lines[2:4] == ["  1:05  Ann: The [red]budget[2J is set.", "      pt: Das Budget steht."]
    assert lines[-1] == "There is more than 1: raise --limit, or name a --meeting."
    assert len(json.loads(run_parley("search", "budget", "--json", *server).stdout)["sentences"]) == 2
    assert "must have a word to search for" in run_parley("search", " ", *server).stderr
