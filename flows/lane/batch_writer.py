"""Writes a lane's batch to Postgres. Content that Postgres refuses fails its own caption or meeting alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import redis
import structlog
from sqlalchemy import Engine

from flows.lane.envelope import Envelope
from flows.lane.stateful_step import entry_fields
from operators.entries import Entry
from storage.batch_commit.batch_changes import CaptionResult, DeadLetter, MeetingChange, replace_unstorable
from storage.batch_commit.lane_commit import commit_batch
from storage.batch_commit.refused_content import write_bisecting
from storage.notes.note_records import NoteResult
from storage.records import OutboxEvent
from storage.redis_log.lane_stream import LaneStream

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Part:
    """A batch's changes to one meeting, the results of its calls, and its dead letters."""

    change: MeetingChange | None = None
    answers: tuple[CaptionResult, ...] = ()
    notes: tuple[NoteResult, ...] = ()
    dead: tuple[DeadLetter, ...] = ()
    is_replacement: bool = False
    """Whether this is written in place of refused content. If it is refused as well, the error ends the lane."""


class BatchWriter:
    """Writes batches for one lane, as long as it owns it.

    Args:
        engine: the database.
        client: the log's Redis.
        lane_id: the lane.
        epoch: of the process that writes.
        backfill_after: seconds after which the backfill may complete a pending caption.

    Attributes:
        failed: ids of meetings whose changes can't be stored. No later change of them may be written.
    """

    def __init__(self, engine: Engine, client: redis.Redis, lane_id: str, epoch: int, backfill_after: float) -> None:
        self.failed: set[str] = set()
        self._engine = engine
        self._log = LaneStream(client, lane_id)
        self._lane_id, self._epoch, self._backfill_after = lane_id, epoch, backfill_after

    def write(
        self,
        changes: Sequence[MeetingChange],
        answers: Sequence[CaptionResult],
        dead: Sequence[DeadLetter],
        notes: Sequence[NoteResult] = (),
    ) -> list[OutboxEvent]:
        """Write a batch, in one transaction unless content is refused.

        Args:
            changes: at most one a meeting.
            answers: the results of calls.
            dead: the items that could not be processed.
            notes: the results of note calls.

        Returns:
            The live events written, to be published.

        Raises:
            FencedError: another process has the lane, or another lane one of its meetings.
        """
        parts = {change.meeting_id: _Part(change) for change in changes}
        for answer in answers:
            part = parts.get(answer.request.meeting_id, _Part())
            parts[answer.request.meeting_id] = replace(part, answers=(*part.answers, answer))
        for note in notes:
            part = parts.get(note.request.meeting_id, _Part())
            parts[note.request.meeting_id] = replace(part, notes=(*part.notes, note))
        for letter in dead:
            part = parts.get(letter.meeting_id or "", _Part())
            parts[letter.meeting_id or ""] = replace(part, dead=(*part.dead, letter))
        return write_bisecting(list(parts.values()), self._commit, self._write_without_refused)

    def _commit(self, parts: Sequence[_Part]) -> list[OutboxEvent]:
        with self._engine.begin() as connection:
            return commit_batch(
                connection,
                self._lane_id,
                self._epoch,
                [part.change for part in parts if part.change is not None],
                [answer for part in parts for answer in part.answers],
                [letter for part in parts for letter in part.dead],
                [note for part in parts for note in part.notes],
                backfill_after=self._backfill_after,
            )

    def _write_without_refused(self, part: _Part, error: Exception) -> list[OutboxEvent]:
        """Write a meeting's part without its refused content."""
        if part.is_replacement:
            raise error
        if part.notes:
            return self._write_notes_alone(part)
        if part.answers and (part.change is not None or part.dead or len(part.answers) > 1):
            # The change comes first: the answers refer to its sentences.
            without_answers = [replace(part, answers=())] if part.change is not None or part.dead else []
            return write_bisecting(
                [*without_answers, *(_Part(answers=(answer,)) for answer in part.answers)],
                self._commit,
                self._write_without_refused,
            )
        replacement = self._untranslated(part.answers[0]) if part.answers else self._failure(part, error)
        return self._commit([replacement])

    def _write_notes_alone(self, part: _Part) -> list[OutboxEvent]:
        """Write the rest of a part first, then each note. A refused note stays due, without its text."""
        rest = replace(part, notes=())
        notes = [_Part(notes=(note,)) for note in part.notes]
        if rest == _Part() and len(notes) == 1:
            log.error("note can't be stored", lane=self._lane_id, meeting=part.notes[0].request.meeting_id)
            failed = replace(part.notes[0], insight=None, reason="its text can't be stored", has_failed=True)
            return self._commit([_Part(notes=(failed,), is_replacement=True)])
        parts = notes if rest == _Part() else [rest, *notes]
        return write_bisecting(parts, self._commit, self._write_without_refused)

    def _untranslated(self, answer: CaptionResult) -> _Part:
        """Replace a refused answer: its caption is stored without a translation."""
        request = answer.request
        log.error("translation can't be stored", lane=self._lane_id, meeting=request.meeting_id)
        if answer.translation is None:
            return _Part(answers=(replace(answer, reason="failed"),), is_replacement=True)
        translation, letter = replace_unstorable(request, answer.translation)
        return _Part(answers=(replace(answer, translation=translation),), dead=(letter,), is_replacement=True)

    def _failure(self, part: _Part, error: Exception) -> _Part:
        """Replace a refused change: the meeting fails, and a dead letter keeps its state and sentences."""
        change = part.change
        if change is None:
            raise error
        log.error("meeting can't be stored", lane=self._lane_id, meeting=change.meeting_id, error=type(error).__name__)
        self.failed.add(change.meeting_id)
        self._log.refuse_all(change.meeting_id)
        reason = "its content can't be stored"
        failure = MeetingChange(change.team_id, change.meeting_id, change.last_ordinal, change.log_id)
        failure.end("failed", self._log.now_ms(), reason)
        fields = {
            "kind": "state",
            "state": change.state or "",
            "sentences": json.dumps([asdict(sentence) for sentence in change.sentences.values()]),
        }
        letter_id = f"{change.log_id} {change.meeting_id} state"
        letter = DeadLetter(letter_id, reason, fields, change.team_id, change.meeting_id)
        return _Part(failure, dead=(*part.dead, letter), is_replacement=True)


def entries_after_failure(envelope: Envelope) -> list[DeadLetter]:
    """Return the dead letter of an entry whose meeting failed before it; none for a tick or another item."""
    item = envelope.item
    if not isinstance(item, Entry):
        return []
    fields = entry_fields(item)
    return [DeadLetter(envelope.log_id, "its meeting failed", fields, envelope.team_id, envelope.meeting_id)]
