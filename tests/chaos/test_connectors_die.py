"""A meeting of the Fireflies stand-in, whose connector, lane and stand-in are killed in turn."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine

from cluster.fireflies_sim.simulator import DEFAULT_API_KEY
from cluster.recordings.reader import read_recording
from storage.connections import sync_engine
from tests.chaos.results.scenario_table import FULL, ScenarioRow
from tests.chaos.systems.connected_meeting import (
    KEY_VARIABLE,
    ConnectedMeeting,
    StoredCaption,
    StoredSpeech,
)
from tests.harness.processes.fireflies_process import FirefliesProcess
from tests.harness.processes.parley_up import ROOT, ParleyUp

RECORDING = ROOT / "examples" / "launch.broadcasts.jsonl"
BROADCAST_COUNT = len(read_recording(RECORDING).events)
SPEED = 6.0
MEETING_COUNT = 6 if FULL else 1
"""Number of meetings. In each, connector and stand-in are killed twice, and the lane once."""
KILLED_SHARES = (0.05, 0.7)
"""Earliest and latest point of a kill, as shares of the meeting's broadcasts. After the last, some are still to come."""
TARGET = "pt"
MAX_TIME_DIFFERENCE_S = 0.5
"""Largest difference of a sentence's times, in seconds, from a run without kills."""

Report = Callable[[ScenarioRow], None]

pytestmark = pytest.mark.timeout(7200 if FULL else 3600)


@dataclass(frozen=True, slots=True)
class System:
    """A running Parley, and the folder for what its scenarios write."""

    up: ParleyUp
    engine: Engine
    folder: Path

    def make_standin(self, name: str) -> FirefliesProcess:
        """Make a stand-in whose meeting has this transcript id."""
        recording = self.folder / f"{name}.broadcasts.jsonl"
        shutil.copyfile(RECORDING, recording)
        return FirefliesProcess(recording, SPEED, self.folder / f"{name}.log")


@pytest.fixture(scope="module")
def system(open_folder: Path) -> Iterator[System]:
    folder = open_folder / "killed-connectors"
    folder.mkdir(mode=0o755)
    settings = {KEY_VARIABLE.removeprefix("PARLEY_").lower(): DEFAULT_API_KEY}
    with ParleyUp(folder, translator="firefox", **settings) as up:
        engine = sync_engine(up.urls().postgres)
        yield System(up, engine, folder)
        engine.dispose()


@pytest.fixture(scope="module")
def undisturbed(system: System, report: Report) -> tuple[list[StoredSpeech], list[StoredCaption]]:
    """The sentences and captions of a run without kills."""
    with system.make_standin("undisturbed") as standin:
        meeting = ConnectedMeeting(system.up, system.engine, standin, [TARGET])
        meeting.finish()
        report(meeting.row("connector, no kills"))
    return meeting.speech(), meeting.captions()


@pytest.mark.parametrize("seed", range(MEETING_COUNT))
def test_killing_connector_lane_and_source_in_turn_does_not_change_the_rows(
    system: System, undisturbed: tuple[list[StoredSpeech], list[StoredCaption]], report: Report, seed: int
) -> None:
    rng = random.Random(seed)
    with system.make_standin(f"killed-{seed}") as standin:
        meeting = ConnectedMeeting(system.up, system.engine, standin, [TARGET])
        epoch = meeting.lane_epoch()
        kills = rng.sample([meeting.kill_connector, meeting.kill_lane, meeting.kill_standin], 3)
        for share, kill in zip(sorted(rng.uniform(*KILLED_SHARES) for _ in kills), kills, strict=True):
            meeting.wait_for_broadcasts(round(share * BROADCAST_COUNT))
            kill()
        meeting.kill_standin(starts_over=True)
        meeting.kill_connector()
        meeting.finish()
        report(meeting.row("connector, lane, source killed"))
    assert_same_speech(meeting.speech(), undisturbed[0])
    assert meeting.captions() == undisturbed[1]
    result, session = meeting.result(), meeting.read_session()
    assert result.lost_count == result.pending == result.count_gaps() == result.count_duplicates() == 0
    assert result.sum_counter("late") == result.sum_counter("dead") == 0
    assert session["gaps"] == []
    # Each kill of a connector or a stand-in leads to a connection more. A killed connector can't count its disconnection.
    assert session["counters"]["connects"] >= 1 + 4
    assert session["counters"]["disconnects"] >= 2
    assert meeting.lane_epoch() >= epoch + 1


def assert_same_speech(stored: list[StoredSpeech], expected: list[StoredSpeech]) -> None:
    """Assert that two runs have the same sentences in the same order, at the same times."""
    assert [sentence[:2] for sentence in stored] == [sentence[:2] for sentence in expected]
    for sentence, reference in zip(stored, expected, strict=True):
        assert sentence[2:] == pytest.approx(reference[2:], abs=MAX_TIME_DIFFERENCE_S)
