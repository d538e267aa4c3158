"""The lane's sink: one Postgres transaction for all a batch did, then the live events.

The order, whatever happens in between:
1. fold the batch into one change a meeting;
2. one transaction: sentences, what is owed, answers, live events, states (storage.commit);
3. after the commit: publish the live events and the growing text;
A crash before 2 ends repeats the batch, a crash after it repeats nothing; what 3 left out, the relay sends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import redis
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from sqlalchemy import Engine

from flows.calls import Outcome
from flows.envelope import Envelope, Restored
from flows.source import TICKS
from flows.stage import Stage
from operators.model import ConfigChanged, Ended, Entry, Interim, Started, Tick, Translation, TranslationRequest
from operators.ticks import TickState
from storage.changes import Answer, DeadLetter, MeetingChange
from storage.commit import commit
from storage.live import publish_events, publish_interims

QUIET_MS = 5_000
"""A tick so long after a meeting's last entry stores where it stands, though it put nothing out."""

Result = Envelope | Outcome[TranslationRequest, Translation]


@dataclass
class Committer:
    """Commits batches for one lane, as long as it owns it.

    Attributes:
        patience: seconds after which the backfill may pay what a batch asks.
        seen: the log's id up to which everything is committed; None before the first item.
    """

    engine: Engine
    redis: redis.Redis
    lane_id: str
    epoch: int
    stages: tuple[Stage[Any], ...]
    patience: float
    seen: str | None = None

    def write(self, batch: list[Result]) -> None:
        """Commit and publish a batch.

        Raises:
            Fenced: another process has the lane.
        """
        changes: dict[str, MeetingChange] = {}
        interims: dict[tuple[str, str], Interim] = {}
        dead: list[DeadLetter] = []
        answers: list[Answer] = []
        last: dict[str, Envelope] = {}
        seen = self.seen
        for result in batch:
            if isinstance(result, Outcome):
                answers.append(Answer(result.request, result.result, result.asked, result.reason))
            elif not isinstance(result.item, Restored):
                self._fold(result, changes, interims, dead)
                seen = result.log_id
                if result.dead is None:
                    last[result.meeting_id] = result
        for meeting_id, change in changes.items():
            if change.ended_at is None:
                change.state = self._dump(last[meeting_id].states)
        if changes or answers or dead:
            with self.engine.begin() as connection:
                events = commit(
                    connection,
                    self.lane_id,
                    self.epoch,
                    list(changes.values()),
                    answers,
                    dead,
                    patience=self.patience,
                )
            publish_events(self.redis, events)
        self.seen = seen
        publish_interims(self.redis, interims)

    def _dump(self, states: Mapping[str, object]) -> str:
        dumped: dict[str, object] = {stage.name: stage.dump(states[stage.name]) for stage in self.stages}
        dumped["ticks"] = TICKS.dump_python(states["ticks"], mode="json")  # pyright: ignore[reportArgumentType]
        return orjson.dumps(dumped).decode()

    def _fold(
        self,
        envelope: Envelope,
        changes: dict[str, MeetingChange],
        interims: dict[tuple[str, str], Interim],
        dead: list[DeadLetter],
    ) -> None:
        item, update = envelope.item, envelope.update
        if envelope.dead is not None:
            dead.append(envelope.dead)
        if item is None or isinstance(item, Restored):
            return
        over = update is not None and update.ended
        if envelope.dead is not None and not over:
            return
        for interim in envelope.sentences.interims:
            interims[envelope.meeting_id, interim.speaker] = interim
        if not _puts_out(envelope) and envelope.meeting_id not in changes:
            return
        change = changes.get(envelope.meeting_id)
        if change is None:
            change = changes[envelope.meeting_id] = MeetingChange(envelope.team_id, envelope.meeting_id, 0, "")
        change.n, change.log_id = envelope.n, envelope.log_id
        for sentence in envelope.sentences.put_out:
            change.sentences[sentence.id] = sentence
            change.retracted.pop(sentence.id, None)
        for retracted in envelope.sentences.retracted:
            change.retracted[retracted.id] = retracted
        for request in envelope.requests:
            change.requests[request.sentence_id, request.language] = request
        if update is None:
            return
        if update.config is not None:
            change.config = update.config
        if update.late is not None:
            change.counters["late"] = change.counters.get("late", 0) + 1
            dead.append(
                DeadLetter(
                    envelope.log_id,
                    "late: its chunk takes no more revisions",
                    {"kind": "chunk", "n": str(envelope.n), "payload": update.late.model_dump_json()},
                    envelope.team_id,
                    envelope.meeting_id,
                )
            )
        if isinstance(item, Entry) and isinstance(item.payload, ConfigChanged):
            change.config_changed = True
        if isinstance(item, Tick):
            if item.idle:
                change.end("timed_out", item.at, "nobody spoke for 30 minutes")
        elif isinstance(item.payload, Started):
            change.begin(item.payload.generation, item.arrived_at)
        elif isinstance(item.payload, Ended):
            change.end("ended", item.arrived_at, item.payload.reason)


def _puts_out(envelope: Envelope) -> bool:
    """Whether this item did something that must be stored."""
    done, update, item = envelope.sentences, envelope.update, envelope.item
    return bool(
        done.put_out
        or done.retracted
        or envelope.requests
        or (isinstance(item, Tick) and item.at - _last_at(envelope) >= QUIET_MS)
        or (isinstance(item, Entry) and isinstance(item.payload, Started))
        or (update and (update.ended or update.late or update.config))
    )


def _last_at(envelope: Envelope) -> int:
    ticks = envelope.states["ticks"]
    assert isinstance(ticks, TickState)  # noqa: S101 - for the type checker
    return ticks.last_at


class _Partition(StatelessSinkPartition[Result]):
    def __init__(self, committer: Committer) -> None:
        self._committer = committer

    def write_batch(self, items: list[Result]) -> None:
        self._committer.write(items)


class CommitSink(DynamicSink[Result]):
    """Commits envelopes and answers through a `Committer`."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Partition:
        """The lane's one partition."""
        return _Partition(self._committer)
