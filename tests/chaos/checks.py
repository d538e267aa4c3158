"""What must hold at the end of a scenario."""

from __future__ import annotations

from tests.chaos.outcome import Outcome, Place
from tests.chaos.recordings import events_in, place
from tests.chaos.scene import MEMORY, Scene


def assert_sound(scene: Scene, outcome: Outcome, recovery: float | None, place: Place = place) -> None:
    """Nothing is doubled, missing from the live events, out of order or owed; the lane stayed small and caught up."""
    assert outcome.owed == 0
    assert outcome.gaps() == 0
    assert outcome.doubled() == 0
    assert outcome.out_of_order(place) == 0
    assert outcome.count("dead") == 0
    assert recovery is not None
    assert scene.lane.peak < MEMORY


def assert_as_undisturbed(scene: Scene, outcome: Outcome, recovery: float | None, undisturbed: Outcome) -> None:
    """Besides, all that was accepted is stored, to the byte as it is without any fault."""
    assert_sound(scene, outcome, recovery)
    assert outcome.lost == 0
    assert outcome.stored == scene.feed.count == events_in(scene.spoken)
    titles = [one.title for one in scene.spoken]
    assert outcome.of(titles) == undisturbed.of(titles)
    for title in titles:
        assert outcome.meetings[title].n == undisturbed.meetings[title].n
        assert outcome.meetings[title].counters.get("late") == undisturbed.meetings[title].counters.get("late")
