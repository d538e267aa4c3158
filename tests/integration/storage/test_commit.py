"""storage/commit.py: what a transaction tells of its meetings' counters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from operators.errors import Fenced
from operators.models import Firefox, ModelsConfig
from operators.translation import CaptionStatus, Translation, TranslationRequest
from storage.changes import Answer, DeadLetter, MeetingChange
from storage.commit import claim_lane, commit, pay
from storage.configs import save
from storage.locked import LockedMeetings
from storage.records import Event
from tests.harness.lanes import rows
from tests.harness.scribe import sentence

if TYPE_CHECKING:
    from tests.harness.api_server import Stage

pytest_plugins = ["tests.harness.api_server"]

AT = 1_700_000_000_000


def told(events: list[Event]) -> list[tuple[str, Any]]:
    return [(event.kind, event.payload) for event in events if event.kind == "status"]


def counters(stage: Stage, meeting: str) -> dict[str, int]:
    return rows(stage.engine, "select counters from meetings where id = :id", id=UUID(meeting))[0][0]


class Lane:
    """Commits as the lane of a meeting."""

    def __init__(self, stage: Stage, meeting: str) -> None:
        self.stage, self.meeting, self.n = stage, meeting, 0
        self.claim()
        change = self.change()
        change.begin(1, AT)
        change.sentences = {"1.0": sentence("1.0", "One.", 1)}
        self.asked = TranslationRequest("default", meeting, "1.0", 1, "pt", "en", "One.")
        change.requests = {("1.0", "pt"): self.asked}
        self.began = told(self.commit(change))
        assert {kind for kind, _ in self.began} == {"status"}

    def claim(self) -> None:
        with self.stage.engine.begin() as connection:
            self.epoch = claim_lane(connection, "live-1", 1, "here")

    def change(self, **counted: int) -> MeetingChange:
        self.n += 1
        return MeetingChange("default", self.meeting, self.n, f"{self.n}-0", counters=counted)

    def commit(self, *changes: MeetingChange, answers: list[Answer] | None = None, dead: int = 0) -> list[Event]:
        letters = [DeadLetter(f"{self.n}-{k}", "late: x", {}, "default", self.meeting) for k in range(dead)]
        with self.stage.engine.begin() as connection:
            return commit(connection, "live-1", self.epoch, changes, answers or [], letters, patience=60)


async def test_who_follows_is_told_what_translates_at_the_beginning_and_when_that_changes(stage: Stage) -> None:
    firefox = ModelsConfig(engines={"firefox": Firefox()}, translation=("firefox",))
    assert Lane(stage, await stage.begin()).began == [("status", {"status": "live"})]
    meeting = await stage.begin()
    with stage.engine.begin() as connection:
        save(connection, firefox, "settings")
    told_live = {"status": "live", "models": "translating with Firefox's models"}
    assert Lane(stage, meeting).began == [("status", {"status": "live"}), ("status", told_live)]
    paused = await stage.begin()
    stage.turn(paused, "paused")
    assert Lane(stage, paused).began == [("status", told_live | {"status": "paused"})]
    stage.turn(meeting, "paused")
    over = await stage.begin()
    Lane(stage, over)
    stage.turn(over, "ended")
    with stage.engine.begin() as connection:
        save(connection, firefox, "request", "nothing that any meeting sees")
        save(connection, ModelsConfig(), "request")
    query = "select seq, payload from outbox where meeting_id = :id order by seq desc limit 1"
    assert rows(stage.engine, query, id=UUID(meeting)) == [
        (
            rows(stage.engine, "select seq from meetings where id = :id", id=UUID(meeting))[0][0],
            {"status": "paused", "models": "translation is off"},
        )
    ]
    assert "models" not in rows(stage.engine, query, id=UUID(over))[0][1]


async def test_a_configuration_of_a_newer_release_stops_no_meeting(stage: Stage) -> None:
    with stage.engine.begin() as connection:
        connection.exec_driver_sql(
            "insert into model_configs (version, config, origin, note)"
            """ values (1, '{"engines": {"x": {"kind": "newer"}}}', 'request', '')"""
        )
    assert Lane(stage, await stage.begin()).began == [("status", {"status": "live"})]


async def test_a_process_whose_lane_was_claimed_by_another_writes_nothing(stage: Stage) -> None:
    lane = Lane(stage, await stage.begin())
    before = rows(stage.engine, "select id, last_committed, seq from meetings")
    with stage.engine.begin() as connection:
        claim_lane(connection, "live-1", 2, "elsewhere")
    with pytest.raises(Fenced, match="is at epoch 2, this process at 1"):
        lane.commit(lane.change(late=1), answers=[Answer(lane.asked, None, 1, "too late")])
    assert rows(stage.engine, "select id, last_committed, seq from meetings") == before
    lane.claim()
    lane.commit(lane.change(late=1))


async def test_an_older_revision_of_a_sentence_changes_nothing(stage: Stage) -> None:
    meeting = await stage.begin()
    lane = Lane(stage, meeting)
    for revision, words in ((3, "Three."), (2, "Two.")):
        change = lane.change()
        change.sentences = {"1.0": sentence("1.0", words, 1, revision=revision)}
        lane.commit(change)
    query = "select revision, text from sentences where meeting_id = :id"
    assert rows(stage.engine, query, id=UUID(meeting)) == [(3, "Three.")]


async def test_a_meeting_that_goes_on_does_not_move_without_its_state(stage: Stage) -> None:
    meeting = await stage.begin()
    lane = Lane(stage, meeting)
    change = lane.change()
    change.state = "{}"
    lane.commit(change)
    change = lane.change()
    change.moved = ("live-2", 1)
    with pytest.raises(Fenced, match="lost sight of it"):
        lane.commit(change)
    assert rows(
        stage.engine, "select lane_id, status, last_committed from meetings where id = :id", id=UUID(meeting)
    ) == [("live-1", "live", 2)]


async def test_trouble_is_told_once_a_transaction(stage: Stage) -> None:
    lane = Lane(stage, await stage.begin())
    first = lane.commit(lane.change(late=2), answers=[Answer(lane.asked, None, 1, "too late")], dead=2)
    assert told(first) == [("status", {"status": "live", "counters": {"late": 2, "pending": 1, "dead": 2}})]
    assert first[-1].kind == "status", "after what it speaks of"
    second = lane.commit(lane.change(late=1))
    assert told(second) == [("status", {"status": "live", "counters": {"late": 3, "pending": 1, "dead": 2}})]
    stored = rows(stage.engine, "select seq from outbox order by seq")
    assert [seq for (seq,) in stored] == list(range(1, len(stored) + 1))
    assert counters(stage, lane.meeting) == {"late": 3, "pending": 1, "dead": 2}


async def test_what_is_as_it_should_be_is_only_counted(stage: Stage) -> None:
    lane = Lane(stage, await stage.begin())
    done = Translation(CaptionStatus.TRANSLATED, "Um.", "test 1", cached=True)
    assert told(lane.commit(lane.change(), answers=[Answer(lane.asked, done, 1)])) == []
    assert counters(stage, lane.meeting) == {"cached": 1, "translated": 1}


async def test_what_the_backfill_can_not_pay_is_told_too(stage: Stage) -> None:
    lane = Lane(stage, await stage.begin())
    with stage.engine.begin() as connection:
        never = Translation(CaptionStatus.UNTRANSLATED, None, "test 1", "it repeats the source")
        events = pay(connection, LockedMeetings(connection, {lane.asked.meeting_id}), [Answer(lane.asked, never, 1)])
    assert [event.kind for event in events] == ["caption", "status"]
    assert events[-1].payload == {"status": "live", "counters": {"untranslated": 1}}


DOUBTFUL = Translation(CaptionStatus.TRANSLATED, "Um.", "test 1", warnings=("number: 1", "name: {One}"))


async def test_warnings_are_stored_published_and_counted_until_the_caption_is_pending_again(stage: Stage) -> None:
    lane = Lane(stage, await stage.begin())

    def stored() -> list[Any]:
        return rows(stage.engine, "select status, warnings from captions")

    assert stored() == [("pending", [])]
    caption, status = lane.commit(lane.change(), answers=[Answer(lane.asked, DOUBTFUL, 1)])
    assert (caption.kind, caption.payload["warnings"]) == ("caption", ("number: 1", "name: {One}"))
    assert status.payload == {"status": "live", "counters": {"translated": 1, "warned": 1}}
    told_later = rows(stage.engine, "select payload -> 'warnings' from outbox where kind = 'caption'")
    assert told_later == [(["number: 1", "name: {One}"],)]
    assert stored() == [("translated", ["number: 1", "name: {One}"])]
    change = lane.change()
    change.sentences = {"1.0": sentence("1.0", "Won.", 1, revision=2)}
    again = TranslationRequest("default", lane.meeting, "1.0", 2, "pt", "en", "Won.")
    change.requests = {("1.0", "pt"): again}
    lane.commit(change)
    assert stored() == [("pending", [])]
    sure = Translation(CaptionStatus.TRANSLATED, "Ganhou.", "test 1")
    (caption,) = lane.commit(lane.change(), answers=[Answer(again, sure, 1)])
    assert caption.payload["warnings"] == ()
    assert counters(stage, lane.meeting) == {"translated": 2, "warned": 1}


async def test_what_the_backfill_pays_in_doubt_is_told_too(stage: Stage) -> None:
    lane = Lane(stage, await stage.begin())
    lane.commit(lane.change(), answers=[Answer(lane.asked, None, 1, "deadline")])
    with stage.engine.begin() as connection:
        caption, status = pay(
            connection, LockedMeetings(connection, {lane.asked.meeting_id}), [Answer(lane.asked, DOUBTFUL, 1)]
        )
    assert caption.payload["warnings"] == ("number: 1", "name: {One}")
    assert status.payload["counters"] == {"pending": 1, "translated": 1, "warned": 1}
    assert rows(stage.engine, "select warnings from captions") == [(["number: 1", "name: {One}"],)]


async def test_the_end_is_the_last_event(stage: Stage) -> None:
    lane = Lane(stage, await stage.begin())
    change = lane.change(late=1)
    change.end("ended", AT + 1, "that was all")
    assert told(lane.commit(change)) == [
        ("status", {"status": "live", "counters": {"late": 1}}),
        ("status", {"status": "ended", "reason": "that was all"}),
    ]


async def test_a_timeout_is_counted_though_the_meeting_goes_on(stage: Stage) -> None:
    lane = Lane(stage, await stage.begin())
    change = lane.change()
    change.end("timed_out", AT + 1, "nobody spoke")
    change.begin(2, AT + 2)
    assert told(lane.commit(change)) == [
        ("status", {"status": "timed_out", "reason": "nobody spoke"}),
        ("status", {"status": "live"}),
    ]
    assert counters(stage, lane.meeting) == {"timed_out": 1}


async def test_a_meeting_that_failed_says_why(stage: Stage) -> None:
    lane = Lane(stage, await stage.begin())
    change = lane.change()
    change.end("failed", AT + 1, "its state can't be read")
    assert told(lane.commit(change)) == [("status", {"status": "failed", "reason": "its state can't be read"})]
    shown = (await stage.http.get(f"/api/meetings/{lane.meeting}")).json()
    assert (shown["status"], shown["end_reason"]) == ("failed", "its state can't be read")
