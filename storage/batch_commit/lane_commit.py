"""The lane's transaction: writes the changes of a batch and the resulting operator states, atomically."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TypeGuard
from uuid import UUID

import structlog
from sqlalchemy import Connection, text

from operators.engine_config import describe_translation
from operators.errors import FencedError, InvalidInputError
from storage.batch_commit.batch_changes import CaptionResult, DeadLetter, MeetingChange
from storage.batch_commit.caption_updates import (
    mark_new_languages_pending,
    mark_pending,
    raise_renamed,
    write_results,
)
from storage.batch_commit.refused_content import escape_unstorable
from storage.notes.note_records import NoteResult
from storage.notes.note_writes import LANE_WAIT_S, insert_requested, mark_outdated, write_lane_results
from storage.postgres.engine_config_versions import read_current_config
from storage.postgres.meeting_transaction import MeetingTransaction, rows_parameter
from storage.postgres.sentence_corrections import correct_stored_sentence, mark_captions_pending
from storage.postgres.speaker_names import rename_stored_sentences
from storage.records import OutboxEvent

log = structlog.get_logger(__name__)

BACKFILL_LANE_ID = "backfill"
"""The lane id in dead letters of the backfill."""
_UUID_PATTERN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


_CLAIM_LANE = text(
    "update lanes set epoch = epoch + 1, pid = :pid, node = :node, state = 'running', updated_at = now()"
    " where id = :lane returning epoch"
)
_RELEASE_LANE = text("update lanes set state = 'stopped', updated_at = now() where id = :lane and epoch = :epoch")
_LOCK_EPOCH = text("select epoch from lanes where id = :lane for share")
_ADVANCE_POSITIONS = text(
    "with mine as (select m.id from meetings m join lanes l on l.id = m.lane_id where l.id = :lane"
    " and l.epoch = :epoch and m.id = any(:ids) and m.state is not null order by m.id for update of m skip locked)"
    " update meetings m set log_id = :log_id from mine where m.id = mine.id"
)
_WRITE_SENTENCES = text(
    'insert into sentences (team_id, meeting_id, id, revision, speaker, speaker_id, text, start, "end",'
    " boundary, language, first_emitted, first_text, original_text)"
    " select * from jsonb_to_recordset(cast(:rows as jsonb))"
    " as r(team_id text, meeting_id uuid, id text, revision int, speaker text, speaker_id text, text text,"
    ' start float8, "end" float8, boundary text, language text, first_emitted float8, first_text text,'
    " original_text text)"
    " on conflict (meeting_id, id) do update set revision = excluded.revision, speaker = excluded.speaker,"
    ' speaker_id = excluded.speaker_id, text = excluded.text, start = excluded.start, "end" = excluded."end",'
    " boundary = excluded.boundary, language = excluded.language, original_text = excluded.original_text, retracted = false"
    " where sentences.revision <= excluded.revision"
)
_RETRACT_SENTENCES = text(
    "update sentences s set retracted = true, revision = r.revision"
    " from jsonb_to_recordset(cast(:rows as jsonb)) as r(meeting_id uuid, id text, revision int)"
    " where s.meeting_id = r.meeting_id and s.id = r.id and s.revision < r.revision"
)
_WRITE_DEAD_LETTERS = text(
    # A join keeps no order, and the ids must have that of the entries.
    "insert into dead_letters (team_id, meeting_id, lane_id, log_id, reason, fields)"
    " select t.id, r.meeting_id, :lane, r.log_id, r.reason, r.fields"
    " from rows from (jsonb_to_recordset(cast(:rows as jsonb))"
    " as (team_id text, meeting_id uuid, log_id text, reason text, fields jsonb)) with ordinality"
    " as r(team_id, meeting_id, log_id, reason, fields, place)"
    " left join teams t on t.id = r.team_id order by r.place"
    " on conflict (lane_id, log_id) do nothing returning meeting_id"
)
_UPDATE_MEETING = text(
    "update meetings set last_committed = greatest(last_committed, :n), log_id = :log_id,"
    " lane_id = coalesce(:lane, lane_id),"
    " moves = coalesce(:moves, moves),"
    " last_accepted = greatest(last_accepted, :n),"
    # A meeting may be paused before its lane has read its start.
    " state = cast(:state as jsonb),"
    " status = case when :status = 'live' and status = 'paused' then status else coalesce(:status, status) end,"
    " generation = coalesce(:generation, generation),"
    " speaker_renames = speaker_renames || cast(:renames as jsonb),"
    " config = coalesce(cast(:config as jsonb), config), began_at = coalesce(began_at, :began_at),"
    " ended_at = case when :status = 'live' then null else coalesce(:ended_at, ended_at) end,"
    " end_reason = case when :status = 'live' then null else coalesce(:end_reason, end_reason) end"
    " where id = :id"
)


def claim_lane(connection: Connection, lane_id: str, pid: int, node: str) -> int:
    """Claim a lane for a process.

    Returns:
        The new epoch. Writes of a process with an older epoch are refused from now on.
    """
    return int(connection.execute(_CLAIM_LANE, {"lane": lane_id, "pid": pid, "node": node}).scalar_one())


def release_lane(connection: Connection, lane_id: str, epoch: int) -> None:
    """Mark a lane as stopped, unless another process has claimed it."""
    connection.execute(_RELEASE_LANE, {"lane": lane_id, "epoch": epoch})


def commit_batch(
    connection: Connection,
    lane_id: str,
    epoch: int,
    changes: Sequence[MeetingChange],
    results: Sequence[CaptionResult] = (),
    dead_letters: Sequence[DeadLetter] = (),
    note_results: Sequence[NoteResult] = (),
    *,
    backfill_after: float,
) -> list[OutboxEvent]:
    """Write the changes of a batch, in the caller's transaction.

    Args:
        lane_id: the lane.
        epoch: the epoch of the process that commits.
        changes: at most one for each meeting.
        results: results of requests.
        dead_letters: entries that could not be used.
        note_results: results of requests for notes.
        backfill_after: seconds after which the backfill may complete the captions of these requests.

    Returns:
        The live events written, to be published once the transaction is committed.

    Raises:
        FencedError: another process has the lane, or another lane one of its meetings.
    """
    # 1. Only the lane's present owner may write.
    stored_epoch = connection.execute(_LOCK_EPOCH, {"lane": lane_id}).scalar()
    if stored_epoch != epoch:
        raise FencedError(f"lane {lane_id} is at epoch {stored_epoch}, this process at {epoch}")
    # 2. Lock the meetings, in one order everywhere.
    meeting_ids = {c.meeting_id for c in changes}
    meeting_ids |= {result.request.meeting_id for result in (*results, *note_results)}
    transaction = MeetingTransaction(
        connection, meeting_ids | {d.meeting_id for d in dead_letters if _is_meeting_id(d.meeting_id)}
    )
    for change in changes:
        transaction.check_owner(change.meeting_id, lane_id)
        if change.lane_change and change.state is None and change.ended_at_ms is None:
            transaction.check_movable_without_state(change.meeting_id)
    engine_description = (
        _describe_engines(connection) if any(change.generation is not None for change in changes) else {}
    )
    for change in changes:
        for status in change.status_events if change.ended_at_ms is None else change.status_events[:-1]:
            transaction.emit(change.meeting_id, "status", status)
        if engine_description and change.generation is not None and change.ended_at_ms is None:
            transaction.emit_status(change.meeting_id, **engine_description)
        for name, increment in change.counter_increments.items():
            transaction.count(change.meeting_id, name, increment)
        # A meeting that continues doesn't stay timed out, so only its counters record the timeout.
        for status in change.status_events:
            if status["status"] == "timed_out":
                transaction.count(change.meeting_id, "timed_out")
    # 3. Sentences and their speakers. Renames and corrections concern the sentences that no state holds any more.
    corrected_ids = {change.meeting_id: {*change.corrected_ids} for change in changes}
    for change in changes:
        for rename in change.renames:
            rename_stored_sentences(
                connection, transaction, change.meeting_id, rename, [*change.sentences, *change.retracted]
            )
        for correction in change.stored_corrections:
            if correct_stored_sentence(connection, transaction, change.meeting_id, correction):
                corrected_ids[change.meeting_id].add(correction.sentence_id)
            else:
                transaction.count(change.meeting_id, "conflicting")
    _write_sentences(connection, changes)
    for change in changes:
        for sentence in change.sentences.values():
            if sentence.id not in change.retracted:
                transaction.emit(change.meeting_id, "sentence", sentence.to_payload())
        for retracted in change.retracted.values():
            transaction.emit(change.meeting_id, "retracted", {"id": retracted.id, "revision": retracted.revision})
    # 4. Captions that are now pending, in every language.
    mark_pending(connection, [r for c in changes for r in c.requests.values()], backfill_after)
    for meeting_id, sentence_ids in corrected_ids.items():
        mark_captions_pending(connection, meeting_id, sentence_ids)
    raise_renamed(connection, changes, transaction)
    mark_new_languages_pending(connection, changes)
    # 5. Results, after the sentences that they translate.
    write_results(connection, results, transaction)
    # 6. Notes: requests, results, and those that rest on a changed sentence.
    insert_requested(connection, transaction, [r for c in changes for r in c.note_requests], LANE_WAIT_S)
    write_lane_results(connection, transaction, note_results)
    for change in changes:
        revised = {s.id for s in change.sentences.values() if s.revision > 1} | change.retracted.keys()
        revised |= corrected_ids[change.meeting_id]
        if revised or change.renames:
            mark_outdated(connection, transaction, change.meeting_id, None if change.renames else revised)
    # 7. Entries that could not be used.
    _write_dead_letters(connection, lane_id, dead_letters, transaction)
    # 8. The states. The end of a meeting is its last live event.
    transaction.emit_counters()
    for change in changes:
        if change.ended_at_ms is not None:
            transaction.emit(change.meeting_id, "status", change.status_events[-1])
    _write_meetings(connection, changes)
    return transaction.flush()


def _describe_engines(connection: Connection) -> dict[str, str]:
    """Return the field of a status event that describes the engines; empty without a readable configuration."""
    try:
        version = read_current_config(connection)
    except InvalidInputError as error:
        # A newer release wrote it. The meeting must continue without the description.
        log.warning("the engine configuration can't be read", field=error.field)
        return {}
    return {} if version is None else {"models": describe_translation(version.config)}


def advance_log_positions(
    connection: Connection, lane_id: str, epoch: int, meeting_ids: Sequence[str], log_id: str
) -> None:
    """Advance the log positions of meetings that need no earlier entries, in the caller's transaction.

    Rows that are being written at this moment are left for the next call.

    Args:
        lane_id, epoch: the lane, and the epoch of its process. Without them nothing is written.
        meeting_ids: the meetings.
        log_id: the log's id up to which they need no entries.
    """
    connection.execute(
        _ADVANCE_POSITIONS,
        {"lane": lane_id, "epoch": epoch, "ids": [UUID(m) for m in meeting_ids], "log_id": log_id},
    )


def commit_backfill(
    connection: Connection,
    transaction: MeetingTransaction,
    results: Sequence[CaptionResult],
    dead_letters: Sequence[DeadLetter] = (),
) -> list[OutboxEvent]:
    """Write the results of the backfill, for which no lane waits, in the caller's transaction.

    Args:
        transaction: the meetings of the results, locked in this transaction.
        results: the results.
        dead_letters: results that could not be stored.

    Returns:
        The live events written, to be published once the transaction is committed.
    """
    write_results(connection, results, transaction)
    _write_dead_letters(connection, BACKFILL_LANE_ID, dead_letters, transaction)
    transaction.emit_counters()
    return transaction.flush()


def _write_sentences(connection: Connection, changes: Sequence[MeetingChange]) -> None:
    rows = [
        {"team_id": c.team_id, "meeting_id": c.meeting_id, **asdict(s)} for c in changes for s in c.sentences.values()
    ]
    if rows:
        connection.execute(
            _WRITE_SENTENCES,
            rows_parameter(rows),
        )
    retracted_rows = [
        {"meeting_id": c.meeting_id, "id": r.id, "revision": r.revision} for c in changes for r in c.retracted.values()
    ]
    if retracted_rows:
        connection.execute(
            _RETRACT_SENTENCES,
            rows_parameter(retracted_rows),
        )


def _is_meeting_id(meeting_id: str | None) -> TypeGuard[str]:
    return meeting_id is not None and _UUID_PATTERN.fullmatch(meeting_id) is not None


def _write_dead_letters(
    connection: Connection, lane_id: str, dead_letters: Sequence[DeadLetter], transaction: MeetingTransaction
) -> None:
    if dead_letters:
        rows = [
            {
                "team_id": letter.team_id,
                "meeting_id": letter.meeting_id if _is_meeting_id(letter.meeting_id) else None,
                "log_id": letter.log_id,
                "reason": escape_unstorable(letter.reason),
                "fields": {escape_unstorable(name): escape_unstorable(value) for name, value in letter.fields.items()},
            }
            for letter in dead_letters
        ]
        # If an entry is read again after a crash, its letter is neither stored nor counted twice.
        inserted = connection.execute(
            _WRITE_DEAD_LETTERS,
            {"lane": lane_id, **rows_parameter(rows)},
        )
        for row in inserted:
            transaction.count(str(row.meeting_id), "dead")


def _to_datetime(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)


def _write_meetings(connection: Connection, changes: Sequence[MeetingChange]) -> None:
    if not changes:
        return
    connection.execute(
        _UPDATE_MEETING,
        [
            {
                "id": UUID(c.meeting_id),
                "n": c.last_ordinal,
                "log_id": c.log_id,
                "lane": c.lane_change[0] if c.lane_change else None,
                "moves": c.lane_change[1] if c.lane_change else None,
                "state": c.state,
                "status": c.status,
                "generation": c.generation,
                "renames": json.dumps([r.model_dump(exclude_none=True) for r in c.rename_entries]),
                "config": c.config.model_dump_json() if c.config else None,
                "began_at": _to_datetime(c.began_at_ms),
                "ended_at": _to_datetime(c.ended_at_ms),
                "end_reason": c.end_reason,
            }
            for c in changes
        ],
    )
