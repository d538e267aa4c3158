"""The lane's transaction: what a batch of the stream did, and the states it led to, all of it or nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeGuard
from uuid import UUID

import structlog
from sqlalchemy import Connection, text

from operators.errors import Fenced, Invalid
from operators.model import Sentence
from operators.models import describe
from storage.captions import owe_new_languages, write_answers, write_requests
from storage.changes import Answer, DeadLetter, MeetingChange
from storage.configs import current
from storage.locked import LockedMeetings, json_rows
from storage.records import Event
from storage.refused_content import escaped

log = structlog.get_logger(__name__)

BACKFILL = "backfill"
"""Stands for a lane in dead letters of the backfill's."""
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def claim_lane(connection: Connection, lane_id: str, pid: int, node: str) -> int:
    """Take a lane over from whatever process had it.

    Returns:
        The new epoch. Writes of a process with an older one are refused from now on.
    """
    statement = text(
        "update lanes set epoch = epoch + 1, pid = :pid, node = :node, state = 'running', updated_at = now()"
        " where id = :lane returning epoch"
    )
    return int(connection.execute(statement, {"lane": lane_id, "pid": pid, "node": node}).scalar_one())


def release_lane(connection: Connection, lane_id: str, epoch: int) -> None:
    """Say that a lane has stopped, unless another process has it by now."""
    statement = text("update lanes set state = 'stopped', updated_at = now() where id = :lane and epoch = :epoch")
    connection.execute(statement, {"lane": lane_id, "epoch": epoch})


def commit(
    connection: Connection,
    lane_id: str,
    epoch: int,
    changes: Sequence[MeetingChange],
    answers: Sequence[Answer] = (),
    dead: Sequence[DeadLetter] = (),
    *,
    patience: float,
) -> list[Event]:
    """Write what a batch did, in the caller's transaction.

    Args:
        changes: at most one a meeting.
        patience: seconds after which the backfill may pay what these requests ask.

    Returns:
        The live events written, to be published once the transaction is committed.

    Raises:
        Fenced: another process has the lane, or another lane one of its meetings.
    """
    # 1. Only the lane's present owner may write.
    held = connection.execute(text("select epoch from lanes where id = :lane for share"), {"lane": lane_id}).scalar()
    if held != epoch:
        raise Fenced(f"lane {lane_id} is at epoch {held}, this process at {epoch}")
    # 2. Lock the meetings, in one order everywhere.
    meetings = {c.meeting_id for c in changes} | {a.request.meeting_id for a in answers}
    locked = LockedMeetings(connection, meetings | {d.meeting_id for d in dead if _is_id(d.meeting_id)})
    for change in changes:
        locked.check_owner(change.meeting_id, lane_id)
        if change.moved and change.state is None and change.ended_at is None:
            locked.check_over(change.meeting_id)
    models = _models(connection) if any(change.generation is not None for change in changes) else {}
    for change in changes:
        for status in change.statuses if change.ended_at is None else change.statuses[:-1]:
            locked.event(change.meeting_id, "status", status)
        if models and change.generation is not None and change.ended_at is None:
            locked.tell(change.meeting_id, **models)
        for name, by in change.counters.items():
            locked.count(change.meeting_id, name, by)
        # One that goes on does not stay timed out: only its counters know that it was.
        for status in change.statuses:
            if status["status"] == "timed_out":
                locked.count(change.meeting_id, "timed_out")
    # 3. Sentences and who spoke them.
    _write_sentences(connection, changes)
    for change in changes:
        for sentence in change.sentences.values():
            if sentence.id not in change.retracted:
                locked.event(change.meeting_id, "sentence", sentence_payload(sentence))
        for retracted in change.retracted.values():
            locked.event(change.meeting_id, "retracted", {"id": retracted.id, "revision": retracted.revision})
    # 4. Captions that are now pending, in every language.
    write_requests(connection, [r for c in changes for r in c.requests.values()], patience)
    owe_new_languages(connection, changes)
    # 5. Answers, after the sentences they speak of.
    write_answers(connection, answers, locked)
    # 6. What could not be used.
    _write_dead(connection, lane_id, dead, locked)
    # 7. The states, with everything they led to. The end of a meeting is its last event.
    locked.tell_counters()
    for change in changes:
        if change.ended_at is not None:
            locked.event(change.meeting_id, "status", change.statuses[-1])
    _write_meetings(connection, changes)
    return locked.close()


def _models(connection: Connection) -> dict[str, str]:
    """What a meeting that begins tells of the models, where a configuration says so."""
    try:
        version = current(connection)
    except Invalid as error:
        # A newer release wrote it. What is said goes on all the same.
        log.warning("the models' configuration can't be read", field=error.field)
        return {}
    return {} if version is None else {"models": describe(version.config)}


def advance(connection: Connection, lane_id: str, epoch: int, meeting_ids: Sequence[str], log_id: str) -> None:
    """Note of meetings that they need nothing of the log up to an id, in the caller's transaction.

    Rows that are being written at this moment are left for the next time.
    """
    connection.execute(
        text(
            "with mine as (select m.id from meetings m join lanes l on l.id = m.lane_id where l.id = :lane"
            " and l.epoch = :epoch and m.id = any(:ids) and m.state is not null order by m.id for update of m skip locked)"
            " update meetings m set log_id = :log_id from mine where m.id = mine.id"
        ),
        {"lane": lane_id, "epoch": epoch, "ids": [UUID(m) for m in meeting_ids], "log_id": log_id},
    )


def pay(
    connection: Connection, locked: LockedMeetings, answers: Sequence[Answer], dead: Sequence[DeadLetter] = ()
) -> list[Event]:
    """Write answers that no lane waits for (the backfill's), in the caller's transaction.

    Args:
        locked: the meetings they belong to, locked in this transaction.
        dead: what of them could not be used.

    Returns:
        The live events written, to be published once the transaction is committed.
    """
    write_answers(connection, answers, locked)
    _write_dead(connection, BACKFILL, dead, locked)
    locked.tell_counters()
    return locked.close()


def sentence_payload(sentence: Sentence) -> dict[str, Any]:
    """A sentence as live events carry it."""
    return {
        "id": sentence.id,
        "revision": sentence.revision,
        "speaker": sentence.speaker,
        "speaker_id": sentence.speaker_id,
        "text": sentence.text,
        "start": sentence.start,
        "end": sentence.end,
        "boundary": str(sentence.boundary),
        "language": sentence.language,
    }


def _write_sentences(connection: Connection, changes: Sequence[MeetingChange]) -> None:
    rows = [
        {
            **sentence_payload(s),
            "team_id": c.team_id,
            "meeting_id": c.meeting_id,
            "first_emitted": s.first_emitted,
            "first_text": s.first_text,
        }
        for c in changes
        for s in c.sentences.values()
    ]
    if rows:
        connection.execute(
            text(
                'insert into sentences (team_id, meeting_id, id, revision, speaker, speaker_id, text, start, "end",'
                " boundary, language, first_emitted, first_text)"
                " select * from jsonb_to_recordset(cast(:rows as jsonb))"
                " as r(team_id text, meeting_id uuid, id text, revision int, speaker text, speaker_id text, text text,"
                ' start float8, "end" float8, boundary text, language text, first_emitted float8, first_text text)'
                " on conflict (meeting_id, id) do update set revision = excluded.revision, speaker = excluded.speaker,"
                ' speaker_id = excluded.speaker_id, text = excluded.text, start = excluded.start, "end" = excluded."end",'
                " boundary = excluded.boundary, language = excluded.language, retracted = false"
                " where sentences.revision <= excluded.revision"
            ),
            json_rows(rows),
        )
    gone = [
        {"meeting_id": c.meeting_id, "id": r.id, "revision": r.revision} for c in changes for r in c.retracted.values()
    ]
    if gone:
        connection.execute(
            text(
                "update sentences s set retracted = true, revision = r.revision"
                " from jsonb_to_recordset(cast(:rows as jsonb)) as r(meeting_id uuid, id text, revision int)"
                " where s.meeting_id = r.meeting_id and s.id = r.id and s.revision < r.revision"
            ),
            json_rows(gone),
        )


def _is_id(meeting_id: str | None) -> TypeGuard[str]:
    return meeting_id is not None and _ID.fullmatch(meeting_id) is not None


def _write_dead(connection: Connection, lane_id: str, dead: Sequence[DeadLetter], locked: LockedMeetings) -> None:
    if dead:
        rows = [
            {
                "team_id": letter.team_id,
                "meeting_id": letter.meeting_id if _is_id(letter.meeting_id) else None,
                "log_id": letter.log_id,
                "reason": escaped(letter.reason),
                "fields": {escaped(name): escaped(value) for name, value in letter.fields.items()},
            }
            for letter in dead
        ]
        # Read again after a crash, a letter is neither kept nor counted twice.
        kept = connection.execute(
            text(
                "insert into dead_letters (team_id, meeting_id, lane_id, log_id, reason, fields)"
                " select t.id, r.meeting_id, :lane, r.log_id, r.reason, r.fields"
                " from jsonb_to_recordset(cast(:rows as jsonb))"
                " as r(team_id text, meeting_id uuid, log_id text, reason text, fields jsonb)"
                " left join teams t on t.id = r.team_id on conflict (lane_id, log_id) do nothing returning meeting_id"
            ),
            {"lane": lane_id, **json_rows(rows)},
        )
        for row in kept:
            locked.count(str(row.meeting_id), "dead")


def _when(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)


def _write_meetings(connection: Connection, changes: Sequence[MeetingChange]) -> None:
    if not changes:
        return
    connection.execute(
        text(
            "update meetings set last_committed = greatest(last_committed, :n), log_id = :log_id,"
            " lane_id = coalesce(:lane, lane_id),"
            " moves = coalesce(:moves, moves),"
            " last_accepted = greatest(last_accepted, :n),"
            # A meeting may be paused before its lane has seen it begin.
            " state = cast(:state as jsonb),"
            " status = case when :status = 'live' and status = 'paused' then status else coalesce(:status, status) end,"
            " generation = coalesce(:generation, generation),"
            " config = coalesce(cast(:config as jsonb), config), began_at = coalesce(began_at, :began_at),"
            " ended_at = case when :status = 'live' then null else coalesce(:ended_at, ended_at) end,"
            " end_reason = case when :status = 'live' then null else coalesce(:end_reason, end_reason) end"
            " where id = :id"
        ),
        [
            {
                "id": UUID(c.meeting_id),
                "n": c.n,
                "log_id": c.log_id,
                "lane": c.moved[0] if c.moved else None,
                "moves": c.moved[1] if c.moved else None,
                "state": c.state,
                "status": c.status,
                "generation": c.generation,
                "config": c.config.model_dump_json() if c.config else None,
                "began_at": _when(c.began_at),
                "ended_at": _when(c.ended_at),
                "end_reason": c.end_reason,
            }
            for c in changes
        ],
    )
