"""Writes a lane's batch to Postgres. Where content is refused, the caption or the meeting that holds it fails alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import redis
import structlog
from sqlalchemy import Engine

from flows.lane.envelope import Envelope
from flows.lane.stateful_step import entry_fields
from operators.model import Entry
from storage.changes import Answer, DeadLetter, MeetingChange, unstorable
from storage.commit import commit
from storage.log import LogReader
from storage.records import Event
from storage.refused_content import write_parts

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Part:
    """What a batch did to one meeting."""

    change: MeetingChange | None = None
    answers: tuple[Answer, ...] = ()
    dead: tuple[DeadLetter, ...] = ()
    is_replacement: bool = False
    """Whether this stands for something that was refused: where it is refused, too, the lane can't help itself."""


class BatchWriter:
    """Writes batches for one lane, as long as it owns it.

    Args:
        engine: the database.
        client: the log's Redis.
        lane_id: the lane.
        epoch: of the process that writes.
        patience: seconds after which the backfill may pay what a batch asks.

    Attributes:
        failed: meetings whose changes can't be stored. Nothing more of them may be written.
    """

    def __init__(self, engine: Engine, client: redis.Redis, lane_id: str, epoch: int, patience: float) -> None:
        self.failed: set[str] = set()
        self._engine = engine
        self._log = LogReader(client, lane_id)
        self._lane_id, self._epoch, self._patience = lane_id, epoch, patience

    def write(
        self, changes: Sequence[MeetingChange], answers: Sequence[Answer], dead: Sequence[DeadLetter]
    ) -> list[Event]:
        """Write what a batch did, in one transaction unless content is refused.

        Returns:
            The live events that were written.

        Raises:
            Fenced: another process has the lane, or another lane one of its meetings.
        """
        parts = {change.meeting_id: _Part(change) for change in changes}
        for answer in answers:
            part = parts.get(answer.request.meeting_id, _Part())
            parts[answer.request.meeting_id] = replace(part, answers=(*part.answers, answer))
        for letter in dead:
            part = parts.get(letter.meeting_id or "", _Part())
            parts[letter.meeting_id or ""] = replace(part, dead=(*part.dead, letter))
        return write_parts(list(parts.values()), self._commit, self._write_without_refused)

    def _commit(self, parts: Sequence[_Part]) -> list[Event]:
        with self._engine.begin() as connection:
            return commit(
                connection,
                self._lane_id,
                self._epoch,
                [part.change for part in parts if part.change is not None],
                [answer for part in parts for answer in part.answers],
                [letter for part in parts for letter in part.dead],
                patience=self._patience,
            )

    def _write_without_refused(self, part: _Part, error: Exception) -> list[Event]:
        """Write a meeting's part without the content that is refused."""
        if part.is_replacement:
            raise error
        if part.answers and (part.change is not None or part.dead or len(part.answers) > 1):
            # The change first: the answers speak of its sentences.
            rest = [replace(part, answers=())] if part.change is not None or part.dead else []
            return write_parts(
                [*rest, *(_Part(answers=(one,)) for one in part.answers)], self._commit, self._write_without_refused
            )
        replacement = self._untranslated(part.answers[0]) if part.answers else self._failure(part, error)
        return self._commit([replacement])

    def _untranslated(self, answer: Answer) -> _Part:
        request = answer.request
        log.error("an answer can't be stored", lane=self._lane_id, meeting=request.meeting_id)
        if answer.translation is None:
            return _Part(answers=(replace(answer, reason="failed"),), is_replacement=True)
        translation, letter = unstorable(request, answer.translation)
        return _Part(answers=(replace(answer, translation=translation),), dead=(letter,), is_replacement=True)

    def _failure(self, part: _Part, error: Exception) -> _Part:
        """The end of a meeting whose change can't be stored; what it said is kept in a dead letter."""
        change = part.change
        if change is None:
            raise error
        log.error(
            "a meeting can't be stored", lane=self._lane_id, meeting=change.meeting_id, error=type(error).__name__
        )
        self.failed.add(change.meeting_id)
        self._log.fail(change.meeting_id)
        reason = "its content can't be stored"
        failure = MeetingChange(change.team_id, change.meeting_id, change.n, change.log_id)
        failure.end("failed", self._log.now_ms(), reason)
        fields = {
            "kind": "state",
            "state": change.state or "",
            "sentences": json.dumps([asdict(sentence) for sentence in change.sentences.values()]),
        }
        place = f"{change.log_id} {change.meeting_id} state"
        letter = DeadLetter(place, reason, fields, change.team_id, change.meeting_id)
        return _Part(failure, dead=(*part.dead, letter), is_replacement=True)


def entries_after_failure(envelope: Envelope) -> list[DeadLetter]:
    """What is kept of an item whose meeting failed before it came."""
    item = envelope.item
    if not isinstance(item, Entry):
        return []
    fields = entry_fields(item)
    return [DeadLetter(envelope.log_id, "its meeting failed", fields, envelope.team_id, envelope.meeting_id)]
