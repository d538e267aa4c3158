"""The lane's sink: one Postgres transaction for each batch, then the live events.

The order is always the same:
1. accumulate the batch into one change a meeting;
2. hand over the meetings that move to another lane, once their calls here have results: so their captions stay in order;
3. write one transaction: sentences, pending captions, results of calls, live events, states (`storage.batch_commit.lane_commit`);
4. publish the live events, and the interim texts with their drafts.

After a crash before the end of 3 the batch is processed again; after a later crash nothing is. The outbox relay sends events
that 4 did not publish. Content that is refused in 3 fails its own caption or meeting alone (`flows.lane.batch_writer`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import orjson
import redis
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from sqlalchemy import Engine

from flows.async_calls import CallResult
from flows.lane.batch_writer import BatchWriter, entries_after_failure
from flows.lane.draft_calls import DraftCalls, DraftResult
from flows.lane.envelope import Envelope, Failed, Restored
from flows.lane.log_reader import TICKS, LaneReader
from flows.lane.stateful_step import StatefulStep, entry_fields
from flows.lane.telemetry import LaneTelemetry
from operators.drafts import DraftRequest
from operators.entries import (
    ConfigChanged,
    Entry,
    MeetingEnded,
    MeetingMoved,
    MeetingStarted,
    SpeakerRenamed,
    Tick,
)
from operators.errors import DeferredError, FencedError
from operators.insight_requests import Insight
from operators.note_requests import NoteRequest
from operators.speaker_keys import speaker_key
from operators.stream import Interim
from operators.ticks import TickState, next_due
from operators.translation_requests import Translation, TranslationRequest
from storage.batch_commit.batch_changes import CaptionResult, DeadLetter, MeetingChange
from storage.batch_commit.lane_commit import advance_log_positions
from storage.notes.note_records import NoteResult
from storage.redis_log.lane_stream import parse_stream_id
from storage.redis_log.live_pubsub import publish_events, publish_interims

STORE_INTERVAL_MS = 5_000
"""Milliseconds after which a meeting's state is stored though nothing was emitted.

They count from the last entry for a tick, and from the last stored position for any item.
"""
ADVANCE_INTERVAL_S = 5.0
"""Seconds between two updates of the stored log positions of idle meetings."""

NoteCallResult = CallResult[NoteRequest, Insight]
Result = Envelope | CallResult[TranslationRequest, Translation]
"""An item of a batch that is committed in order. A batch also holds results of notes, and of drafts, which are not stored."""


@dataclass
class Committer:
    """Commits batches for one lane, as long as its process owns the lane.

    Attributes:
        engine: the database.
        redis: the server of the log and of the live events.
        lane_id: the lane.
        epoch: of the process that commits.
        stages: the steps whose states are stored.
        backfill_after: seconds after which the backfill may complete a pending caption.
        reader: reads the lane's log, and knows what it has delivered.
        telemetry: measures each committed batch.
        drafts: the drafts that are published with interim texts.
        committed_log_id: the log's id up to which everything is committed; None before the first item.
    """

    engine: Engine
    redis: redis.Redis
    lane_id: str
    epoch: int
    stages: tuple[StatefulStep[Any], ...]
    backfill_after: float
    reader: LaneReader
    telemetry: LaneTelemetry
    drafts: DraftCalls
    committed_log_id: str | None = None
    _calls_in_flight: Counter[str] = field(default_factory=Counter[str])
    _leaving: dict[str, Envelope] = field(default_factory=dict[str, Envelope])
    _positions: dict[str, _MeetingPosition] = field(default_factory=dict[str, "_MeetingPosition"])
    # When the first uncommitted tick of each meeting is due (ms).
    _due_ticks: dict[str, int] = field(default_factory=dict[str, int])
    _advance_at: float = 0.0

    def __post_init__(self) -> None:
        self._batches = BatchWriter(self.engine, self.redis, self.lane_id, self.epoch, self.backfill_after)

    def write(self, items: list[Result | DraftResult | NoteCallResult]) -> None:
        """Commit and publish a batch.

        Raises:
            FencedError: another process has the lane, or another lane one of its meetings.
        """
        batch, draft_results, note_results = _split(items)
        changes: dict[str, MeetingChange] = {}
        interims: dict[tuple[str, str], Interim] = {}
        dead: list[DeadLetter] = []
        answers: list[CaptionResult] = []
        last: dict[str, Envelope] = {}
        committed = self.committed_log_id
        for result in batch:
            if isinstance(result, CallResult):
                answers.append(CaptionResult(result.request, result.result, result.attempts, result.reason))
                self._count_calls(result.request.meeting_id, -1)
            elif isinstance(result.item, Restored):
                self._positions[result.meeting_id] = _MeetingPosition(result.log_id, result.log_id)
                self._update_due_tick(result)
            else:
                if result.meeting_id in self._batches.failed:
                    dead += entries_after_failure(result)
                    result = replace(result, item=None, dead_letter=None)
                self._accumulate(result, changes, interims, dead)
                committed = result.log_id if committed is None else max(committed, result.log_id, key=parse_stream_id)
                if result.item is not None and result.dead_letter is None and result.meeting_id not in self._leaving:
                    last[result.meeting_id] = result
        self._add_quiet_meetings(changes, last)
        for meeting_id, change in changes.items():
            if change.ended_at_ms is None:
                change.state = self._dump(last[meeting_id].states)
        handed_over = self._finish_handovers(changes)
        if changes or answers or dead or note_results:
            began = time.time()
            events = self._batches.write(list(changes.values()), answers, dead, note_results)
            ended = time.time()
            publish_events(self.redis, events, ended)
            self.telemetry.on_committed(batch, began, ended)
        for meeting_id in handed_over:
            del self._leaving[meeting_id]
            self.drafts.forget(meeting_id)
        self.committed_log_id = committed
        # A meeting's envelopes are in order, so its last one has its furthest position.
        self.reader.on_committed({result.meeting_id: result.log_id for result in batch if isinstance(result, Envelope)})
        # Last: a draft is stale if the batch emitted its sentence.
        publish_interims(self.redis, self.drafts.changed_interims(interims, draft_results))
        self._advance_positions(last, changes)

    def _count_calls(self, meeting_id: str, by: int) -> None:
        """Change the number of a meeting's calls without a result."""
        if meeting_id in self._batches.failed:
            return
        self._calls_in_flight[meeting_id] += by
        if self._calls_in_flight[meeting_id] == 0:
            del self._calls_in_flight[meeting_id]

    def oldest_needed(self) -> str | None:
        """The oldest log id that a handover still needs and no meeting's row retains; None if there is none.

        A leaving meeting with a state is not counted: its row retains its part of the log.
        """
        leaving = list(self._leaving.values())
        needed = [envelope.log_id for envelope in leaving if "ticks" not in envelope.states]
        arriving = self.reader.oldest_needed()
        return min(needed if arriving is None else [*needed, arriving], key=parse_stream_id, default=None)

    def first_due_tick(self) -> int | None:
        """Return the due time of the first uncommitted tick (ms, by its meeting's clock); None if there is none."""
        return min(list(self._due_ticks.values()), default=None)

    def _finish_handovers(self, changes: dict[str, MeetingChange]) -> list[str]:
        """Complete the handover of leaving meetings whose calls all have results, and return their ids."""
        handed_over: list[str] = []
        for meeting_id, envelope in list(self._leaving.items()):
            if self._calls_in_flight[meeting_id] > 0:
                continue
            moved = _moved(envelope)
            assert moved is not None  # noqa: S101 - only envelopes of moves are leaving
            change = changes.setdefault(meeting_id, MeetingChange(envelope.team_id, meeting_id, 0, ""))
            change.last_ordinal, change.log_id, change.lane_change = envelope.n, moved.log_id, (moved.lane, moved.move)
            # A meeting that had timed out has no state to hand over.
            change.state = self._dump(envelope.states) if "ticks" in envelope.states else None
            handed_over.append(meeting_id)
        return handed_over

    def _add_quiet_meetings(self, changes: dict[str, MeetingChange], last: dict[str, Envelope]) -> None:
        """Add the meetings whose last item had no effects and is not stored. The log would be retained for them without end."""
        if time.monotonic() < self._advance_at:
            return
        busy = {*changes, *last, *self._leaving}
        for meeting_id, position in self._positions.items():
            envelope = position.unstored
            if envelope is None or meeting_id in busy:
                continue
            if position.last_seen == self.reader.last_delivered(meeting_id):
                changes[meeting_id] = MeetingChange(envelope.team_id, meeting_id, envelope.n, envelope.log_id)
                last[meeting_id] = envelope

    def _advance_positions(self, last: Mapping[str, Envelope], changes: Mapping[str, MeetingChange]) -> None:
        """Update each meeting's position and stored position, and advance the stored ones of idle meetings."""
        for meeting_id, envelope in last.items():
            self._update_due_tick(envelope)
            position = self._positions.setdefault(meeting_id, _MeetingPosition(envelope.log_id, envelope.log_id))
            position.last_seen, position.unstored = envelope.log_id, envelope
        for meeting_id, change in changes.items():
            if change.ended_at_ms is not None or change.lane_change is not None or meeting_id in self._batches.failed:
                self._positions.pop(meeting_id, None)
                self._due_ticks.pop(meeting_id, None)
            else:
                self._positions[meeting_id] = _MeetingPosition(change.log_id, change.log_id)
        if time.monotonic() < self._advance_at:
            return
        self._advance_at = time.monotonic() + ADVANCE_INTERVAL_S
        # All that the reader has delivered of an idle meeting is stored: it needs nothing up to the reader's position. That
        # is read first, so that an entry delivered in between lies after it.
        read_up_to = self.reader.position
        idle = [
            meeting_id
            for meeting_id, position in self._positions.items()
            if position.stored == position.last_seen == self.reader.last_delivered(meeting_id)
        ]
        if idle:
            with self.engine.begin() as connection:
                advance_log_positions(connection, self.lane_id, self.epoch, idle, read_up_to)

    def _update_due_tick(self, envelope: Envelope) -> None:
        # A meeting that failed has no state.
        due_at = next_due(_ticks(envelope)) if "ticks" in envelope.states else None
        if due_at is None:
            self._due_ticks.pop(envelope.meeting_id, None)
        else:
            self._due_ticks[envelope.meeting_id] = due_at

    def _dump(self, states: Mapping[str, object]) -> str:
        dumped: dict[str, object] = {stage.name: stage.dump(states[stage.name]) for stage in self.stages}
        dumped["ticks"] = TICKS.dump_python(states["ticks"], mode="json")  # pyright: ignore[reportArgumentType] - the stage "ticks" has this state
        return orjson.dumps(dumped).decode()

    def _accumulate(
        self,
        envelope: Envelope,
        changes: dict[str, MeetingChange],
        interims: dict[tuple[str, str], Interim],
        dead: list[DeadLetter],
    ) -> None:
        """Add an envelope to its meeting's change, and to the interims and dead letters of the batch."""
        item, update = envelope.item, envelope.update
        if envelope.dead_letter is not None:
            dead.append(envelope.dead_letter)
        if item is None or isinstance(item, Restored):
            return
        if envelope.meeting_id in self._leaving:
            raise FencedError(f"meeting {envelope.meeting_id} came back to lane {self.lane_id} before it had left")
        if _moved(envelope) is not None:
            self._leaving[envelope.meeting_id] = envelope
            return
        if isinstance(item, Failed):
            change = changes.setdefault(item.meeting_id, MeetingChange(envelope.team_id, item.meeting_id, 0, ""))
            change.last_ordinal, change.log_id = envelope.n, envelope.log_id
            change.end("failed", item.at, item.reason)
            letter_id = f"{envelope.log_id} {item.meeting_id} state"
            state = {"kind": "state", "state": orjson.dumps(item.state).decode()}
            dead.append(DeadLetter(letter_id, item.reason, state, envelope.team_id, item.meeting_id))
            return
        is_over = update is not None and update.meeting_ended
        if envelope.dead_letter is not None and not is_over:
            return
        for interim in envelope.sentences.interims:
            interims[envelope.meeting_id, speaker_key(interim.speaker, interim.speaker_id)] = interim
        for request in envelope.requests:
            self._count_calls(request.meeting_id, 1)
        if not self._must_store(envelope) and envelope.meeting_id not in changes:
            return
        change = changes.get(envelope.meeting_id)
        if change is None:
            change = changes[envelope.meeting_id] = MeetingChange(envelope.team_id, envelope.meeting_id, 0, "")
        change.last_ordinal, change.log_id = envelope.n, envelope.log_id
        for rename in () if update is None else update.renames:
            changed_ids = {changed.id for changed in (*envelope.sentences.emitted, *envelope.sentences.retractions)}
            change.rename_speaker(rename, changed_ids)
        change.add_sentences(envelope.sentences)
        for request in envelope.requests:
            change.requests[request.sentence_id, request.language] = request
        if envelope.note_request is not None:
            change.note_requests.append(envelope.note_request)
        if update is None:
            return
        if update.config is not None:
            change.config = update.config
        if update.is_outdated:
            change.count("outdated")
        if update.late_chunk is not None:
            change.count("late")
            dead.append(
                DeadLetter(
                    envelope.log_id,
                    "late: its chunk takes no more revisions",
                    entry_fields(item),
                    envelope.team_id,
                    envelope.meeting_id,
                )
            )
        if isinstance(item, Entry) and isinstance(item.payload, ConfigChanged):
            change.config_changed = True
        if isinstance(item, Entry) and isinstance(item.payload, SpeakerRenamed):
            change.rename_entries.append(item.payload)
        if isinstance(item, Tick):
            if item.is_idle:
                change.end("timed_out", item.at, "nobody spoke for 30 minutes")
        elif isinstance(item.payload, MeetingStarted):
            change.start_generation(item.payload.generation, item.arrived_at)
        elif isinstance(item.payload, MeetingEnded):
            change.end("ended", item.arrived_at, item.payload.reason)

    def _must_store(self, envelope: Envelope) -> bool:
        """Whether this item has effects that must be stored, or the stored position lies too far back in the log."""
        position = self._positions.get(envelope.meeting_id)
        is_stale = (
            position is not None
            and parse_stream_id(envelope.log_id)[0] - parse_stream_id(position.stored)[0] >= STORE_INTERVAL_MS
        )
        return is_stale or _has_effects(envelope)


@dataclass(slots=True)
class _MeetingPosition:
    """A meeting's position in the log.

    Attributes:
        last_seen: the log id of its last item.
        stored: the log id of the last item whose state is stored.
        unstored: the last item, if its state is not stored.
    """

    last_seen: str
    stored: str
    unstored: Envelope | None = None


def _split(
    items: list[Result | DraftResult | NoteCallResult],
) -> tuple[list[Result], list[DraftResult], list[NoteResult]]:
    """Split a batch into the items to commit in order, the results of drafts, and those of notes."""
    batch: list[Result] = []
    draft_results: list[DraftResult] = []
    note_results: list[NoteResult] = []
    for item in items:
        if isinstance(item, CallResult) and isinstance(item.request, DraftRequest):
            draft_results.append(cast(DraftResult, item))
        elif isinstance(item, CallResult) and isinstance(item.request, NoteRequest):
            note_results.append(_note_result(cast(NoteCallResult, item)))
        else:
            batch.append(cast(Result, item))
    return batch, draft_results, note_results


def _note_result(result: NoteCallResult) -> NoteResult:
    insight = result.result
    if insight is not None and not insight.text.strip():
        return NoteResult(result.request, None, "the engine gave no text", has_failed=True)
    reason = result.reason
    # Without an engine for insights, notes wait for one.
    has_failed = reason is not None and reason.startswith("failed: ") and not reason.endswith(DeferredError.__name__)
    return NoteResult(result.request, insight, reason, has_failed)


def _moved(envelope: Envelope) -> MeetingMoved | None:
    item = envelope.item
    return item.payload if isinstance(item, Entry) and isinstance(item.payload, MeetingMoved) else None


def _has_effects(envelope: Envelope) -> bool:
    """Whether this item has effects that must be stored."""
    sentences, update, item = envelope.sentences, envelope.update, envelope.item
    return bool(
        sentences.emitted
        or sentences.retractions
        or envelope.requests
        or envelope.note_request
        or (isinstance(item, Tick) and item.at - _ticks(envelope).last_at >= STORE_INTERVAL_MS)
        or (isinstance(item, Entry) and isinstance(item.payload, MeetingStarted))
        or (update and (update.meeting_ended or update.late_chunk or update.is_outdated or update.config))
        or (update and (update.renames or update.correction))
    )


def _ticks(envelope: Envelope) -> TickState:
    ticks = envelope.states["ticks"]
    assert isinstance(ticks, TickState)  # noqa: S101 - for the type checker
    return ticks


class _SinkPartition(StatelessSinkPartition[Result | DraftResult | NoteCallResult]):
    def __init__(self, committer: Committer) -> None:
        self._committer = committer

    def write_batch(self, items: list[Result | DraftResult | NoteCallResult]) -> None:
        self._committer.write(items)


class CommitSink(DynamicSink[Result | DraftResult | NoteCallResult]):
    """Commits envelopes and results of calls through a `Committer`, which also publishes drafts."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _SinkPartition:
        """Build the lane's one partition."""
        return _SinkPartition(self._committer)
