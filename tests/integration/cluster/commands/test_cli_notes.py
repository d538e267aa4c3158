"""`parley notes`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.harness.lane.fake_lane_writer import create_written_meeting, make_sentence
from tests.harness.processes.parley_command import run_parley

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]

SENTENCES = [make_sentence("1.0", "Good morning.", 0.0, "Ann"), make_sentence("2.0", "Is it done?", 65.0, "Bob")]


async def test_notes_are_shown_and_added(stage: ApiHarness) -> None:
    meeting, writer = await create_written_meeting(stage)
    server = ("--server", f"http://{stage.address}")
    assert run_parley("notes", meeting, *server).stdout == "The meeting has no notes.\n"
    writer.write_sentences(*SENTENCES)
    request = writer.request_note(*SENTENCES)
    writer.write_note(request, "- Ann greets.\x1b[2J\n- Bob asks.")
    writer.write_sentences(last := make_sentence("3.0", "Yes.", 67.0, "Ann"))
    writer.request_note(last)
    # Both sentences are in the first note.
    writer.request_note(*SENTENCES)
    added = run_parley("notes", meeting, "--add", "Ask Bob.", "--pin", *server)
    assert (added.returncode, added.stdout) == (0, ""), added.stderr
    shown = run_parley("notes", meeting, *server).stdout
    assert "\x1b" not in shown
    assert "0:00-1:06\n- Ann greets." in shown
    assert "(own note, pinned)\nAsk Bob." in shown
    assert "1:07-1:08 (pending)\nto be written" in shown
    listed = json.loads(run_parley("notes", meeting, "--json", *server).stdout)
    assert sorted(note["kind"] for note in listed) == ["auto", "auto", "manual"]
