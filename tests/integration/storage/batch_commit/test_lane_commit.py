"""storage/batch_commit/lane_commit.py: counters and live events of the lane's transaction and the backfill's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from operators.engine_config import EnginesConfig, FirefoxConfig
from operators.errors import FencedError
from operators.translation_requests import CaptionStatus, Translation, TranslationRequest
from storage.batch_commit.batch_changes import CaptionResult, DeadLetter, MeetingChange
from storage.batch_commit.lane_commit import claim_lane, commit_backfill, commit_batch
from storage.postgres.engine_config_versions import save_config
from storage.postgres.meeting_transaction import MeetingTransaction
from storage.records import OutboxEvent
from tests.harness.lane.fake_lane_writer import make_sentence
from tests.harness.lane.threaded_lane import query_rows

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]

BEGAN_AT_MS = 1_700_000_000_000


def status_events(events: list[OutboxEvent]) -> list[tuple[str, Any]]:
    return [(event.kind, event.payload) for event in events if event.kind == "status"]


def meeting_counters(stage: ApiHarness, meeting: str) -> dict[str, int]:
    return query_rows(stage.engine, "select counters from meetings where id = :id", id=UUID(meeting))[0][0]


class CommittingLane:
    """Commits as the lane of a meeting."""

    def __init__(self, stage: ApiHarness, meeting: str) -> None:
        self.api_harness, self.meeting, self.last_n = stage, meeting, 0
        self.claim()
        change = self.change()
        change.start_generation(1, BEGAN_AT_MS)
        change.sentences = {"1.0": make_sentence("1.0", "One.", 1)}
        self.request = TranslationRequest("default", meeting, "1.0", 1, "pt", "en", "One.")
        change.requests = {("1.0", "pt"): self.request}
        self.start_events = status_events(self.commit(change))
        assert {kind for kind, _ in self.start_events} == {"status"}

    def claim(self) -> None:
        with self.api_harness.engine.begin() as connection:
            self.epoch = claim_lane(connection, "live-1", 1, "here")

    def change(self, **counted: int) -> MeetingChange:
        self.last_n += 1
        return MeetingChange("default", self.meeting, self.last_n, f"{self.last_n}-0", counter_increments=counted)

    def commit(
        self, *changes: MeetingChange, answers: list[CaptionResult] | None = None, dead: int = 0
    ) -> list[OutboxEvent]:
        letters = [DeadLetter(f"{self.last_n}-{k}", "late: x", {}, "default", self.meeting) for k in range(dead)]
        with self.api_harness.engine.begin() as connection:
            return commit_batch(connection, "live-1", self.epoch, changes, answers or [], letters, backfill_after=60)


async def test_live_events_name_the_engines_at_the_start_and_after_a_change(stage: ApiHarness) -> None:
    firefox = EnginesConfig(engines={"firefox": FirefoxConfig()}, translation=("firefox",))
    assert CommittingLane(stage, await stage.create_meeting()).start_events == [("status", {"status": "live"})]
    meeting = await stage.create_meeting()
    with stage.engine.begin() as connection:
        save_config(connection, firefox, "settings")
    live_payload = {"status": "live", "models": "translating with Firefox's models"}
    assert CommittingLane(stage, meeting).start_events == [("status", {"status": "live"}), ("status", live_payload)]
    paused = await stage.create_meeting()
    stage.set_status(paused, "paused")
    assert CommittingLane(stage, paused).start_events == [("status", live_payload | {"status": "paused"})]
    stage.set_status(meeting, "paused")
    over = await stage.create_meeting()
    CommittingLane(stage, over)
    stage.set_status(over, "ended")
    with stage.engine.begin() as connection:
        save_config(connection, firefox, "request", "nothing that any meeting sees")
        save_config(connection, EnginesConfig(), "request")
    query = "select seq, payload from outbox where meeting_id = :id order by seq desc limit 1"
    assert query_rows(stage.engine, query, id=UUID(meeting)) == [
        (
            query_rows(stage.engine, "select seq from meetings where id = :id", id=UUID(meeting))[0][0],
            {"status": "paused", "models": "translation is off"},
        )
    ]
    assert "models" not in query_rows(stage.engine, query, id=UUID(over))[0][1]


async def test_a_configuration_of_a_newer_release_stops_no_meeting(stage: ApiHarness) -> None:
    with stage.engine.begin() as connection:
        connection.exec_driver_sql(
            "insert into engine_config_versions (version, config, origin, note)"
            """ values (1, '{"engines": {"x": {"kind": "newer"}}}', 'request', '')"""
        )
    assert CommittingLane(stage, await stage.create_meeting()).start_events == [("status", {"status": "live"})]


async def test_a_process_whose_lane_was_claimed_by_another_writes_nothing(stage: ApiHarness) -> None:
    lane = CommittingLane(stage, await stage.create_meeting())
    before = query_rows(stage.engine, "select id, last_committed, seq from meetings")
    with stage.engine.begin() as connection:
        claim_lane(connection, "live-1", 2, "other-node")
    with pytest.raises(FencedError, match="is at epoch 2, this process at 1"):
        lane.commit(lane.change(late=1), answers=[CaptionResult(lane.request, None, 1, "too late")])
    assert query_rows(stage.engine, "select id, last_committed, seq from meetings") == before
    lane.claim()
    lane.commit(lane.change(late=1))


async def test_an_older_revision_of_a_sentence_changes_nothing(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    lane = CommittingLane(stage, meeting)
    for revision, words in ((3, "Three."), (2, "Two.")):
        change = lane.change()
        change.sentences = {"1.0": make_sentence("1.0", words, 1, revision=revision)}
        lane.commit(change)
    query = "select revision, text from sentences where meeting_id = :id"
    assert query_rows(stage.engine, query, id=UUID(meeting)) == [(3, "Three.")]


async def test_an_open_meeting_does_not_move_without_its_state(stage: ApiHarness) -> None:
    meeting = await stage.create_meeting()
    lane = CommittingLane(stage, meeting)
    change = lane.change()
    change.state = "{}"
    lane.commit(change)
    change = lane.change()
    change.lane_change = ("live-2", 1)
    with pytest.raises(FencedError, match="lost its state"):
        lane.commit(change)
    assert query_rows(
        stage.engine, "select lane_id, status, last_committed from meetings where id = :id", id=UUID(meeting)
    ) == [("live-1", "live", 2)]


async def test_problem_counters_are_emitted_once_a_transaction(stage: ApiHarness) -> None:
    lane = CommittingLane(stage, await stage.create_meeting())
    first = lane.commit(lane.change(late=2), answers=[CaptionResult(lane.request, None, 1, "too late")], dead=2)
    assert status_events(first) == [("status", {"status": "live", "counters": {"late": 2, "pending": 1, "dead": 2}})]
    assert first[-1].kind == "status", "after the events that it counts"
    second = lane.commit(lane.change(late=1))
    assert status_events(second) == [("status", {"status": "live", "counters": {"late": 3, "pending": 1, "dead": 2}})]
    stored = query_rows(stage.engine, "select seq from outbox order by seq")
    assert [seq for (seq,) in stored] == list(range(1, len(stored) + 1))
    assert meeting_counters(stage, lane.meeting) == {"late": 3, "pending": 1, "dead": 2}


async def test_normal_outcomes_are_counted_without_an_event(stage: ApiHarness) -> None:
    lane = CommittingLane(stage, await stage.create_meeting())
    done = Translation(CaptionStatus.TRANSLATED, "Um.", "test 1", cached=True)
    assert status_events(lane.commit(lane.change(), answers=[CaptionResult(lane.request, done, 1)])) == []
    assert meeting_counters(stage, lane.meeting) == {"cached": 1, "translated": 1}


async def test_the_backfill_emits_captions_that_it_can_not_translate(stage: ApiHarness) -> None:
    lane = CommittingLane(stage, await stage.create_meeting())
    with stage.engine.begin() as connection:
        never = Translation(CaptionStatus.UNTRANSLATED, None, "test 1", "it repeats the source")
        events = commit_backfill(
            connection,
            MeetingTransaction(connection, {lane.request.meeting_id}),
            [CaptionResult(lane.request, never, 1)],
        )
    assert [event.kind for event in events] == ["caption", "status"]
    assert events[-1].payload == {"status": "live", "counters": {"untranslated": 1}}


TRANSLATION_WITH_WARNINGS = Translation(
    CaptionStatus.TRANSLATED, "Um.", "test 1", warnings=("number: 1", "name: {One}")
)


async def test_warnings_are_stored_published_and_counted_until_the_caption_is_pending_again(stage: ApiHarness) -> None:
    lane = CommittingLane(stage, await stage.create_meeting())

    def stored() -> list[Any]:
        return query_rows(stage.engine, "select status, warnings from captions")

    assert stored() == [("pending", [])]
    caption, status = lane.commit(lane.change(), answers=[CaptionResult(lane.request, TRANSLATION_WITH_WARNINGS, 1)])
    assert (caption.kind, caption.payload["warnings"]) == ("caption", ("number: 1", "name: {One}"))
    assert status.payload == {"status": "live", "counters": {"translated": 1, "warned": 1}}
    emitted_warnings = query_rows(stage.engine, "select payload -> 'warnings' from outbox where kind = 'caption'")
    assert emitted_warnings == [(["number: 1", "name: {One}"],)]
    assert stored() == [("translated", ["number: 1", "name: {One}"])]
    change = lane.change()
    change.sentences = {"1.0": make_sentence("1.0", "Won.", 1, revision=2)}
    again = TranslationRequest("default", lane.meeting, "1.0", 2, "pt", "en", "Won.")
    change.requests = {("1.0", "pt"): again}
    lane.commit(change)
    assert stored() == [("pending", [])]
    sure = Translation(CaptionStatus.TRANSLATED, "Ganhou.", "test 1")
    (caption,) = lane.commit(lane.change(), answers=[CaptionResult(again, sure, 1)])
    assert caption.payload["warnings"] == ()
    assert meeting_counters(stage, lane.meeting) == {"translated": 2, "warned": 1}


async def test_the_backfill_emits_warnings(stage: ApiHarness) -> None:
    lane = CommittingLane(stage, await stage.create_meeting())
    lane.commit(lane.change(), answers=[CaptionResult(lane.request, None, 1, "deadline")])
    with stage.engine.begin() as connection:
        caption, status = commit_backfill(
            connection,
            MeetingTransaction(connection, {lane.request.meeting_id}),
            [CaptionResult(lane.request, TRANSLATION_WITH_WARNINGS, 1)],
        )
    assert caption.payload["warnings"] == ("number: 1", "name: {One}")
    assert status.payload["counters"] == {"pending": 1, "translated": 1, "warned": 1}
    assert query_rows(stage.engine, "select warnings from captions") == [(["number: 1", "name: {One}"],)]


async def test_the_end_is_the_last_event(stage: ApiHarness) -> None:
    lane = CommittingLane(stage, await stage.create_meeting())
    change = lane.change(late=1)
    change.end("ended", BEGAN_AT_MS + 1, "that was all")
    assert status_events(lane.commit(change)) == [
        ("status", {"status": "live", "counters": {"late": 1}}),
        ("status", {"status": "ended", "reason": "that was all"}),
    ]


async def test_a_timeout_is_counted_although_the_meeting_continues(stage: ApiHarness) -> None:
    lane = CommittingLane(stage, await stage.create_meeting())
    change = lane.change()
    change.end("timed_out", BEGAN_AT_MS + 1, "nobody spoke")
    change.start_generation(2, BEGAN_AT_MS + 2)
    assert status_events(lane.commit(change)) == [
        ("status", {"status": "timed_out", "reason": "nobody spoke"}),
        ("status", {"status": "live"}),
    ]
    assert meeting_counters(stage, lane.meeting) == {"timed_out": 1}


async def test_a_failed_meeting_has_the_reason(stage: ApiHarness) -> None:
    lane = CommittingLane(stage, await stage.create_meeting())
    change = lane.change()
    change.end("failed", BEGAN_AT_MS + 1, "its state can't be read")
    assert status_events(lane.commit(change)) == [("status", {"status": "failed", "reason": "its state can't be read"})]
    shown = (await stage.http.get(f"/api/meetings/{lane.meeting}")).json()
    assert (shown["status"], shown["end_reason"]) == ("failed", "its state can't be read")
