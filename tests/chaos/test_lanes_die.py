"""Lanes that are killed, and lanes that only seem dead."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from tests.chaos.checks import assert_as_undisturbed
from tests.chaos.lane_main import FENCED
from tests.chaos.listeners import Listeners
from tests.chaos.outcome import Outcome
from tests.chaos.recordings import Spoken, all_speech, events_in
from tests.chaos.report import FULL, Row
from tests.chaos.scene import Scene
from tests.harness.lanes import rows

KILLS = 200 if FULL else 20
STOPS = 20 if FULL else 2

Report = Callable[[Row], None]

pytestmark = pytest.mark.timeout(1800 if FULL else 600)


@pytest.mark.main_path
def test_a_lane_killed_within_one_meeting_changes_nothing(open_folder: Path, report: Report) -> None:
    spoken = all_speech()[:1]
    with Scene(open_folder / "one-undisturbed", spoken, 0) as scene:
        undisturbed, _ = scene.finish()
    _kill(open_folder / "one-killed-lane", spoken, 5, undisturbed, report)


def test_a_lane_killed_at_random_points_changes_nothing(
    undisturbed: Outcome, open_folder: Path, report: Report
) -> None:
    _kill(open_folder / "killed-lane", all_speech(), KILLS, undisturbed, report)


def _kill(folder: Path, spoken: Sequence[Spoken], kills: int, undisturbed: Outcome, report: Report) -> None:
    chance = random.Random(7)
    points = sorted(chance.sample(range(1, events_in(spoken)), kills))
    with (
        Scene(folder, spoken, 0) as scene,
        Listeners(scene.urls, scene.feed.ids) as listeners,
    ):
        for point in points:
            scene.until(lambda point=point: scene.committed() >= point and scene.owned())
            time.sleep(chance.uniform(0, 0.1))
            scene.lane.kill()
            scene.healed()
        outcome, recovery = scene.finish()
        heard = listeners.heard()
    report(scene.row("lane killed", outcome, recovery))
    assert_as_undisturbed(scene, outcome, recovery, undisturbed)
    assert scene.lane.deaths == [-signal.SIGKILL] * kills
    assert heard == {title: list(range(1, one.seq + 1)) for title, one in outcome.meetings.items()}


@pytest.mark.parametrize("within", [False, True], ids=["between transactions", "within one"])
def test_a_lane_that_wakes_up_after_its_successor_started_can_not_write(
    undisturbed: Outcome, open_folder: Path, report: Report, within: bool
) -> None:
    spoken = all_speech()[:2]
    stops = (4 if FULL else 1) if within else STOPS
    whole = events_in(spoken) + len(spoken)  # With the entries by which they began.
    with Scene(open_folder / f"stopped-lane-{within}", spoken, (12.0 if within else 2.0) * stops) as scene:
        for stop in range(1, stops + 1):
            point = events_in(spoken) * stop // (stops + 2)
            scene.until(lambda point=point: scene.committed() >= point)
            (_suspend_within_a_transaction if within else _suspend_between_transactions)(scene)
            # Asked before there is a successor: it may have committed all there is to be by the time it is found to be there.
            before = scene.committed()
            sleeping = scene.lane.replace()
            try:
                scene.until(scene.owned)
                scene.until(lambda before=before: scene.committed() > before or scene.committed() == whole)
            finally:
                assert sleeping.pid is not None
                os.kill(sleeping.pid, signal.SIGCONT)
            sleeping.join(60)
            # One that slept in a transaction has lost that, and dies of it before it can ask whose the lane is.
            assert sleeping.exitcode in ((FENCED, 1) if within else (FENCED,))
            scene.healed()
        outcome, recovery = scene.finish()
    report(scene.row("lane stopped in a transaction" if within else "lane stopped and replaced", outcome, recovery))
    assert_as_undisturbed(scene, outcome, recovery, undisturbed)
    assert not scene.lane.deaths


_WAITS_IN_COMMIT = (
    "select 1 from pg_stat_activity a join pg_locks l on l.pid = a.pid where a.wait_event_type = 'Lock'"
    " and l.relation = 'lanes'::regclass and l.mode = 'RowShareLock'"
)
"""Who waits, and holds the row by which a lane is taken over, as a lane does while it commits."""


def _suspend_within_a_transaction(scene: Scene) -> None:
    with scene.engine.begin() as connection:
        connection.execute(text("select 1 from meetings for update"))
        scene.until(lambda: bool(rows(scene.engine, _WAITS_IN_COMMIT)))
        scene.lane.suspend()


def _suspend_between_transactions(scene: Scene) -> None:
    scene.lane.suspend()
    while True:
        time.sleep(0.1)  # What it had sent before has begun by then.
        mine = [each.laddr.port for each in psutil.Process(scene.lane.process.pid).net_connections("tcp")]
        under_way = "select 1 from pg_stat_activity where client_port = any(:ports) and xact_start is not null"
        if not rows(scene.engine, under_way, ports=mine):
            return
        scene.lane.resume()
        time.sleep(0.01)
        scene.lane.suspend()
