"""Lanes that come and go while meetings run, and meetings that move between them, with lanes that die in the midst of it."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.fleet import Fleet, by_title, sleep
from tests.chaos.outcome import Outcome
from tests.chaos.recordings import Spoken, all_speech, events_in
from tests.chaos.report import FULL, Row
from tests.chaos.scene import LANE
from tests.harness.lanes import rows

Report = Callable[[Row], None]

SPEECH: tuple[Spoken, ...] = tuple(
    replace(one, title=f"{one.title} #{k}") for k in range(2 if FULL else 1) for one in all_speech()[: 5 if FULL else 3]
)
DRAINS = 30 if FULL else 3
"""How often a lane is drained and another added, after the first one."""
SECONDS = 300.0 if FULL else 25.0
MOVES = 500 if FULL else 50
KILLS = 100 if FULL else 8

pytestmark = pytest.mark.timeout(1800 if FULL else 600)


def test_from_one_lane_to_three_to_two_with_meetings_open_throughout(
    undisturbed: Outcome, open_folder: Path, report: Report
) -> None:
    chance = random.Random(13)
    with Fleet(open_folder / "lanes-scale", SPEECH, SECONDS) as fleet:
        titles = list(fleet.feed.ids)
        fleet.until(lambda: fleet.committed() > events_in(SPEECH) // 20)
        lanes = [LANE, fleet.add(), fleet.add()]
        # One meeting is open on the first lane until that is drained; the others go on in the new ones.
        for title in titles[1:]:
            fleet.move(title, chance.choice(lanes[1:]))
        fleet.until(lambda: fleet.open_on(LANE) == {titles[0]})
        # Not before: a lane that a slow machine lets fall behind would be relieved of it, or of another.
        fleet.balance()
        _drain(fleet, LANE, chance, lanes)
        assert titles[0] in fleet.open_on(*lanes)
        for _ in range(DRAINS):
            lanes.append(fleet.add())
            sleep(chance, 1.0)
            lane_id = chance.choice([one for one in lanes if fleet.open_on(one)] or lanes)
            _drain(fleet, lane_id, chance, lanes)
        outcome, recovery = fleet.finish()
        report(fleet.told("1→3→2 lanes, killed", outcome, recovery, drained=1 + DRAINS))
        _assert_as_undisturbed(fleet, outcome, recovery, undisturbed)


def _drain(fleet: Fleet, lane_id: str, chance: random.Random, lanes: list[str]) -> None:
    """Drain a lane that has meetings, and kill it and one that takes them in the midst of it."""
    fleet.retire(lane_id)
    lanes.remove(lane_id)
    for victim in chance.sample([lane_id, chance.choice(lanes)], 2):
        sleep(chance, 1.5)
        fleet.kill(victim)
    fleet.until(lambda: not fleet.open_on(lane_id))


def test_a_meeting_moved_back_and_forth_under_load_has_the_same_rows(
    undisturbed: Outcome, open_folder: Path, report: Report
) -> None:
    chance = random.Random(17)
    with Fleet(open_folder / "moved", SPEECH, SECONDS) as fleet:
        moved, *others = fleet.feed.ids
        lanes = [LANE, fleet.add()]
        for k, title in enumerate(others):
            fleet.move(title, lanes[k % 2])
        lane = LANE
        at = sorted(chance.sample(range(1, MOVES), KILLS))
        for k in range(MOVES):
            # Evenly over the speech, each at a random moment; now and then before it could have arrived.
            fleet.until(lambda k=k: len(fleet.feed.accepted[moved]) >= k * len(SPEECH[0].chunks) // (MOVES + 1))
            sleep(chance, 0.5 * SECONDS / MOVES)
            lane = next(one for one in lanes if one != lane)
            assert fleet.move(moved, lane)
            if k in at:
                sleep(chance, 0.3)
                fleet.kill(chance.choice(lanes))
        outcome, recovery = fleet.finish()
        report(fleet.told(f"moved back and forth {MOVES} times, killed", outcome, recovery))
        _assert_as_undisturbed(fleet, outcome, recovery, undisturbed)
        [(moves,)] = rows(fleet.engine, "select moves from meetings where title = :title", title=moved)
        assert moves == MOVES


def _assert_as_undisturbed(fleet: Fleet, outcome: Outcome, recovery: float | None, undisturbed: Outcome) -> None:
    """All that was accepted is stored once and in order, to the byte as it is on one lane that nothing disturbs."""
    assert outcome.stored == fleet.feed.count == events_in(SPEECH)
    assert outcome.lost == outcome.owed == outcome.gaps() == outcome.doubled() == outcome.count("dead") == 0
    assert outcome.out_of_order(by_title) == 0
    assert recovery is not None
    for one in SPEECH:
        plain = one.title.partition(" #")[0]
        here, there = outcome.of([one.title]), undisturbed.of([plain])
        assert [[row[1:] for row in kind] for kind in here] == [[row[1:] for row in kind] for kind in there]
        assert outcome.meetings[one.title].n == undisturbed.meetings[plain].n
        assert outcome.meetings[one.title].counters.get("late") == undisturbed.meetings[plain].counters.get("late")
    assert set(fleet.deaths()) == {-signal.SIGKILL}
    assert rows(fleet.engine, "select 1 from meetings where state is not null") == []
