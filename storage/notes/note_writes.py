"""Writes of notes: requests, results, and what changes of sentences mean for them.

All run in the caller's transaction, which has locked the meetings. A note's live event follows each change.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from operators.note_requests import NOTE_PROMPT_VERSION, NoteRequest
from storage.notes.note_records import Note, NoteCause, NoteResult
from storage.postgres.meeting_transaction import MeetingTransaction, rows_parameter

LANE_WAIT_S = 90.0
"""Seconds after which the maintenance actor writes a note that its lane requested: the lane must have died."""
SETTLE_S = 3.0
"""Seconds without a further change after which an outdated note is written again."""

NOTE_COLUMNS = (
    "n.id, n.kind, n.status, n.revision, n.text, n.language, n.task, n.engine, n.finish, n.reason, n.pinned, n.edited,"
    ' n.outdated, n.start, n."end", array(select ns.sentence_id from note_sentences ns'
    " join sentences s on s.meeting_id = ns.meeting_id and s.id = ns.sentence_id and not s.retracted"
    " where ns.note_id = n.id order by s.start, string_to_array(s.id, '.')::bigint[]) as sentences"
)
"""The columns of a `Note`, of the table `notes n`."""
_SELECT_NOTES = text(f"select {NOTE_COLUMNS}, n.meeting_id from notes n where n.id = any(:ids) order by n.start, n.id")  # noqa: S608 - a constant
_INSERT_REQUESTED = text(
    "with rows as (select * from jsonb_to_recordset(cast(:rows as jsonb)) as r(id uuid, team_id text, meeting_id uuid,"
    ' kind text, language text, task text, start float8, "end" float8, sentences jsonb)),'
    ' inserted as (insert into notes (id, team_id, meeting_id, kind, status, language, task, start, "end", due_at)'
    " select id, team_id, meeting_id, kind, 'pending', language, task, start, \"end\", now() + :wait * interval '1 s'"
    # A running note needs a sentence that no other one has.
    " from rows r where kind <> 'auto' or exists (select from jsonb_to_recordset(r.sentences) as s(id text)"
    " where not exists (select from note_sentences ns"
    " where ns.meeting_id = r.meeting_id and ns.sentence_id = s.id and ns.is_auto))"
    " on conflict (id) do nothing returning id),"
    " noted as (insert into note_sentences (note_id, sentence_id, meeting_id, revision, is_auto)"
    " select r.id, s.id, r.meeting_id, s.revision, r.kind = 'auto' from rows r join inserted using (id)"
    " cross join lateral jsonb_to_recordset(r.sentences) as s(id text, revision int) on conflict do nothing)"
    " select id from inserted"
)
_WRITE_TEXTS = text(
    # A note that was written meanwhile, or that a user edited, keeps its text.
    "with rows as (select * from jsonb_to_recordset(cast(:rows as jsonb))"
    ' as r(id uuid, text text, engine text, finish text, prompt_tokens int, completion_tokens int, start float8, "end" float8)),'
    " written as (update notes n set status = 'ready', revision = n.revision + 1, text = r.text, engine = r.engine,"
    ' finish = r.finish, start = r.start, "end" = r."end",'
    " prompt_version = :prompt_version, prompt_tokens = n.prompt_tokens + r.prompt_tokens,"
    " completion_tokens = n.completion_tokens + r.completion_tokens, reason = null, outdated = false, failures = 0,"
    " due_at = null, updated_at = now() from rows r"
    " where n.id = r.id and not n.edited and (n.status <> 'ready' or n.outdated)"
    " returning n.id, n.revision, n.text, n.engine),"
    " kept as (insert into note_revisions (note_id, revision, text, engine) select id, revision, text, engine from written)"
    " select id from written"
)
_WRITE_SENTENCE_REVISIONS = text(
    "update note_sentences ns set revision = r.revision from jsonb_to_recordset(cast(:rows as jsonb))"
    " as r(note_id uuid, sentence_id text, revision int) where ns.note_id = r.note_id and ns.sentence_id = r.sentence_id"
)
_WRITE_FAILURE = text(
    # A note that was marked again meanwhile keeps its earlier time.
    "update notes n set status = case when n.status = 'pending' then 'failed' else n.status end, reason = :reason,"
    " failures = n.failures + :counted, due_at = now() + :wait * interval '1 s', updated_at = now()"
    " from notes before where before.id = n.id and n.id = :id and n.due_at is not null"
    " and (cast(:due_at as timestamptz) is null or n.due_at = :due_at)"
    " returning n.id, (before.status, before.reason) is distinct from (n.status, n.reason) as is_new"
)
_RELEASE = text("update notes set due_at = now() where id = any(:ids) and due_at is not null")
_MARK_OUTDATED = text(
    "update notes n set outdated = n.text is not null, failures = 0,"
    " due_at = case when n.edited then null else now() + :wait * interval '1 s' end"
    " from notes before where before.id = n.id and n.status <> 'pending' and n.id in"
    " (select ns.note_id from note_sentences ns join sentences s on s.meeting_id = ns.meeting_id and s.id = ns.sentence_id"
    " where ns.meeting_id = :meeting_id and s.revision <> ns.revision"
    " and (cast(:ids as text[]) is null or s.id = any(cast(:ids as text[]))))"
    " returning n.id, n.edited, before.outdated as was_outdated"
)
_WITHDRAW = text(
    "update notes set status = 'withdrawn', outdated = false, due_at = null, reason = null, updated_at = now()"
    " where id = :id and not edited returning id"
)


def emit_notes(
    connection: Connection, transaction: MeetingTransaction, note_ids: Collection[UUID], cause: NoteCause
) -> None:
    """Add a live event with the present state of each note, and what happened to it."""
    if note_ids:
        for row in connection.execute(_SELECT_NOTES, {"ids": list(note_ids)}).mappings():
            fields = dict(row)
            meeting_id = str(fields.pop("meeting_id"))
            transaction.emit(meeting_id, "note", Note(**fields).to_payload(cause))


def insert_requested(
    connection: Connection,
    transaction: MeetingTransaction,
    requests: Sequence[NoteRequest],
    wait_s: float,
) -> None:
    """Insert notes that are requested, as pending. A repeated request changes nothing.

    Args:
        requests: the requests. Those with a task are of the kind `analysis`, the others of the kind `auto`.
        wait_s: seconds after which the maintenance actor may write them.
    """
    if not requests:
        return
    rows = [
        {
            "id": request.note_id,
            "team_id": request.team_id,
            "meeting_id": request.meeting_id,
            "kind": "analysis" if request.task else "auto",
            "language": request.language,
            "task": request.task,
            "start": min(sentence.start for sentence in request.sentences),
            "end": max(sentence.end for sentence in request.sentences),
            "sentences": [{"id": sentence.id, "revision": sentence.revision} for sentence in request.sentences],
        }
        for request in requests
    ]
    inserted = connection.execute(_INSERT_REQUESTED, {**rows_parameter(rows), "wait": wait_s}).scalars().all()
    emit_notes(connection, transaction, inserted, "requested")


def write_lane_results(connection: Connection, transaction: MeetingTransaction, results: Sequence[NoteResult]) -> None:
    """Write the results of a lane's calls. The maintenance actor writes the notes without a text, from now on.

    A note that the lane had no time for, or no engine, stays pending. It failed only if the service did.
    """
    write_texts(connection, transaction, results)
    without_text = [result for result in results if result.insight is None]
    for result in without_text:
        if result.has_failed:
            write_failure(
                connection, transaction, UUID(result.request.note_id), result.reason or "", wait_s=0, counts=False
            )
    if without_text:
        connection.execute(_RELEASE, {"ids": [UUID(result.request.note_id) for result in without_text]})


def write_texts(connection: Connection, transaction: MeetingTransaction, results: Sequence[NoteResult]) -> None:
    """Write the texts of notes, and the sentences' revisions that they rest on.

    A note whose sentences changed since its request is outdated at once.

    Args:
        results: the results; those without an insight are ignored.
    """
    by_note = {UUID(result.request.note_id): result for result in results}
    rows = [
        {
            "id": str(note_id),
            "text": result.insight.text.strip(),
            "engine": result.insight.engine,
            "finish": result.insight.finish,
            "prompt_tokens": result.insight.prompt_tokens,
            "completion_tokens": result.insight.completion_tokens,
            "start": min(sentence.start for sentence in result.request.sentences),
            "end": max(sentence.end for sentence in result.request.sentences),
        }
        for note_id, result in by_note.items()
        if result.insight is not None
    ]
    if not rows:
        return
    parameters = {**rows_parameter(rows), "prompt_version": NOTE_PROMPT_VERSION}
    written = connection.execute(_WRITE_TEXTS, parameters).scalars().all()
    _record_and_compare(connection, transaction, [by_note[note_id] for note_id in written], "generated")


def withdraw(connection: Connection, transaction: MeetingTransaction, result: NoteResult) -> None:
    """Withdraw a note whose sentences were all retracted. It is written again if one comes back."""
    withdrawn = connection.execute(_WITHDRAW, {"id": UUID(result.request.note_id)}).scalars().all()
    _record_and_compare(connection, transaction, [result] if withdrawn else [], "changed")


def _record_and_compare(
    connection: Connection, transaction: MeetingTransaction, written: Sequence[NoteResult], cause: NoteCause
) -> None:
    """Record the revisions that written notes rest on, and mark those of which a sentence has another one by now."""
    rows = [
        {"note_id": result.request.note_id, "sentence_id": sentence.id, "revision": sentence.revision}
        for result in written
        for sentence in (*result.request.sentences, *result.retracted)
    ]
    if not rows:
        return
    connection.execute(_WRITE_SENTENCE_REVISIONS, rows_parameter(rows))
    emit_notes(connection, transaction, [UUID(result.request.note_id) for result in written], cause)
    for result in written:
        known = {sentence.id for sentence in (*result.request.sentences, *result.retracted)}
        mark_outdated(connection, transaction, result.request.meeting_id, known)


def write_failure(
    connection: Connection,
    transaction: MeetingTransaction,
    note_id: UUID,
    reason: str,
    wait_s: float,
    *,
    counts: bool,
    due_at: datetime | None = None,
) -> None:
    """Record that a note could not be written, and when it is tried again.

    Args:
        note_id: the note.
        reason: why.
        wait_s: seconds until the next attempt.
        counts: whether the failure counts.
        due_at: when the note was due. One that was marked again since is left alone. None for any time.
    """
    parameters: dict[str, Any] = {"id": note_id, "reason": reason, "wait": wait_s, "due_at": due_at}
    failed = connection.execute(_WRITE_FAILURE, {**parameters, "counted": int(counts)})
    # A reason that stays the same, as in an outage, is no news.
    emit_notes(connection, transaction, [row.id for row in failed if row.is_new], "failed")


def mark_outdated(
    connection: Connection,
    transaction: MeetingTransaction,
    meeting_id: str,
    sentence_ids: Collection[str] | None = None,
) -> None:
    """Mark the notes whose sentences have another revision by now. They are written again once those have settled.

    Args:
        meeting_id: the meeting.
        sentence_ids: the sentences that may have changed; None for all of the meeting.
    """
    changed = connection.execute(
        _MARK_OUTDATED,
        {
            "meeting_id": UUID(meeting_id),
            "ids": None if sentence_ids is None else list(sentence_ids),
            "wait": SETTLE_S,
        },
    ).all()
    fresh = [row for row in changed if not row.was_outdated]
    emit_notes(connection, transaction, [row.id for row in fresh if not row.edited], "requested")
    emit_notes(connection, transaction, [row.id for row in fresh if row.edited], "changed")
