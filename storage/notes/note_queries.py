"""Queries of the API: a meeting's notes, and the notes that users write, edit, request and delete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid6 import uuid7

from operators.errors import ConflictError, InvalidInputError, NotFoundError
from operators.note_requests import NoteRequest, NoteSentence
from storage.notes.note_records import Note, NoteRevision
from storage.notes.note_writes import NOTE_COLUMNS, emit_notes, insert_requested
from storage.postgres.meeting_transaction import MeetingTransaction

MAX_NOTES = 2_000
"""Most notes of a page: those of a day-long meeting. A user can add notes up to this number."""
MAX_AWAITED_S = 120.0
"""Seconds for which a note is awaited after it was due, and after the meeting ended. Without an engine none comes."""

_SELECT_MEETING_NOTES = text(
    f"select {NOTE_COLUMNS} from notes n where n.team_id = :team_id and n.meeting_id = :meeting_id"  # noqa: S608 - a constant
    " and n.status <> 'withdrawn' and (cast(:before as uuid) is null or (n.start, n.created_at, n.id) <"
    " (select b.start, b.created_at, b.id from notes b where b.meeting_id = :meeting_id and b.id = cast(:before as uuid)))"
    " order by n.start desc, n.created_at desc, n.id desc limit :limit"
)
_HAS_NOTE = text(
    "select exists (select 1 from notes where team_id = :team_id and meeting_id = :meeting_id and id = :before)"
)
_SELECT_NOTE = text(
    f"select {NOTE_COLUMNS}, n.meeting_id from notes n where n.team_id = :team_id and n.id = :id"  # noqa: S608 - a constant
)
_SELECT_REVISIONS = text(
    "select r.revision, r.text, r.engine, r.created_at from note_revisions r join notes n on n.id = r.note_id"
    " where n.team_id = :team_id and n.id = :id order by r.revision"
)
_SELECT_SENTENCES = text(
    'select id, revision, speaker, speaker_id, text, start, "end" from sentences'
    " where team_id = :team_id and meeting_id = :meeting_id and id = any(:ids) and not retracted"
    " order by start, string_to_array(id, '.')::bigint[]"
)
_INSERT_MANUAL = text(
    "with written as (insert into notes (id, team_id, meeting_id, kind, status, revision, text, language, pinned, edited,"
    " start, \"end\") values (:id, :team_id, :meeting_id, 'manual', 'ready', 1, :text, :language, :pinned, true, :start, :end)"
    " returning id)"
    " insert into note_revisions (note_id, revision, text) select id, 1, :text from written"
)
_INSERT_SENTENCES = text(
    "insert into note_sentences (note_id, sentence_id, meeting_id, revision, is_auto)"
    " select :note_id, s.id, s.meeting_id, s.revision, false from sentences s"
    " where s.meeting_id = :meeting_id and s.id = any(:ids)"
)
_WRITE_TEXT = text(
    "with written as (update notes set text = :text, revision = revision + 1, edited = true, outdated = false,"
    " status = 'ready', engine = null, finish = null, reason = null, due_at = null, updated_at = now() where id = :id"
    " returning id, revision)"
    " insert into note_revisions (note_id, revision, text) select id, revision, :text from written"
)
_RECORD_PRESENT_REVISIONS = text(
    "update note_sentences ns set revision = s.revision from sentences s"
    " where ns.note_id = :id and s.meeting_id = ns.meeting_id and s.id = ns.sentence_id"
)
_COUNT_AWAITED = text(
    # A note that is tried again each hour, or that an outage delays, is awaited for no longer than the others.
    "select count(*) from notes n join meetings m on m.id = n.meeting_id"
    " where n.meeting_id = :meeting_id and n.due_at > now() - :max_wait * interval '1 s'"
    " and greatest(n.created_at, m.ended_at) > now() - :max_wait * interval '1 s'"
)
_COUNT = text("select count(*) from notes where meeting_id = :meeting_id")
_PIN = text("update notes set pinned = :pinned, updated_at = now() where id = :id")
_DELETE = text("delete from notes where id = :id")


async def list_notes(
    conn: AsyncConnection, team_id: str, meeting_id: UUID, *, limit: int, before: UUID | None = None
) -> list[Note]:
    """List the last notes of a team's meeting, in the order of the speech.

    Args:
        limit: most notes to return.
        before: id of the first note of the page that follows in the meeting; None for the meeting's last notes.

    Raises:
        InvalidInputError: the meeting has no note `before`.
    """
    values = {"team_id": team_id, "meeting_id": meeting_id, "limit": limit, "before": before}
    if before is not None and not (await conn.execute(_HAS_NOTE, values)).scalar_one():
        raise InvalidInputError("before", "must be the id of a note of the meeting; the note may be deleted")
    rows = await conn.execute(_SELECT_MEETING_NOTES, values)
    return [Note(**row) for row in reversed(rows.mappings().all())]


async def count_awaited(conn: AsyncConnection, meeting_id: UUID) -> int:
    """Count the notes of a meeting that are to be written soon."""
    parameters = {"meeting_id": meeting_id, "max_wait": MAX_AWAITED_S}
    return int((await conn.execute(_COUNT_AWAITED, parameters)).scalar_one())


async def read_revisions(conn: AsyncConnection, team_id: str, note_id: UUID) -> list[NoteRevision]:
    """Read the texts of a team's note, oldest first.

    Raises:
        NotFoundError: the team has no such note.
    """
    await conn.run_sync(_read_note, team_id, note_id)
    rows = await conn.execute(_SELECT_REVISIONS, {"team_id": team_id, "id": note_id})
    return [NoteRevision(**row) for row in rows.mappings()]


async def read_note_sentences(
    conn: AsyncConnection, team_id: str, meeting_id: UUID, sentence_ids: Sequence[str]
) -> tuple[NoteSentence, ...]:
    """Read sentences of a team's meeting, in reading order.

    Raises:
        InvalidInputError: the meeting has no such sentence.
    """
    rows = await conn.execute(
        _SELECT_SENTENCES, {"team_id": team_id, "meeting_id": meeting_id, "ids": list(sentence_ids)}
    )
    sentences = tuple(NoteSentence(**row) for row in rows.mappings())
    known = {sentence.id for sentence in sentences}
    for index, sentence_id in enumerate(sentence_ids):
        if sentence_id not in known:
            raise InvalidInputError(f"sentences.{index}", "must be the id of a sentence of the meeting")
    return sentences


async def create_note(
    conn: AsyncConnection,
    team_id: str,
    meeting_id: UUID,
    content: str,
    language: str,
    sentences: Sequence[NoteSentence],
    *,
    pinned: bool,
) -> Note:
    """Create a note that a user wrote.

    Args:
        content: the note's text.
        language: its language, as a tag.
        sentences: the sentences that it is about; may be empty.
        pinned: whether it is pinned.

    Raises:
        ConflictError: the meeting has too many notes.
    """
    note_id = uuid7()

    def write(connection: Connection) -> Note:
        transaction = MeetingTransaction(connection, [str(meeting_id)])
        _require_room(connection, meeting_id)
        connection.execute(
            _INSERT_MANUAL,
            {
                "id": note_id,
                "team_id": team_id,
                "meeting_id": meeting_id,
                "text": content,
                "language": language,
                "pinned": pinned,
                "start": min((sentence.start for sentence in sentences), default=0.0),
                "end": max((sentence.end for sentence in sentences), default=0.0),
            },
        )
        ids = [sentence.id for sentence in sentences]
        connection.execute(_INSERT_SENTENCES, {"note_id": note_id, "meeting_id": meeting_id, "ids": ids})
        return _emit(connection, transaction, team_id, note_id)

    return await conn.run_sync(write)


async def request_analysis(
    conn: AsyncConnection,
    team_id: str,
    meeting_id: UUID,
    task: str,
    language: str,
    sentences: tuple[NoteSentence, ...],
) -> Note:
    """Request a note on sentences that a user selected. It is pending until the model has written it.

    Args:
        task: what to write about the sentences.
        language: the note's language, as a tag.
        sentences: the sentences; at least one.

    Raises:
        ConflictError: the meeting has too many notes.
    """
    request = NoteRequest(team_id, str(meeting_id), str(uuid7()), language, sentences, task)

    def write(connection: Connection) -> Note:
        transaction = MeetingTransaction(connection, [str(meeting_id)])
        _require_room(connection, meeting_id)
        insert_requested(connection, transaction, [request], wait_s=0)
        transaction.flush()
        return _read_note(connection, team_id, UUID(request.note_id))[0]

    return await conn.run_sync(write)


async def change_note(
    conn: AsyncConnection,
    team_id: str,
    note_id: UUID,
    content: str | None,
    pinned: bool | None,
    expected_revision: int | None = None,
) -> Note:
    """Change the text of a team's note, or pin it. The model doesn't replace a text that a user wrote.

    Args:
        content: the new text; None for no change.
        pinned: whether it is pinned; None for no change.
        expected_revision: the revision that the change is based on; None for any.

    Raises:
        NotFoundError: the team has no such note.
        ConflictError: the note has another revision.
    """

    def write(connection: Connection) -> Note:
        transaction = _lock_note(connection, team_id, note_id)
        revision = _read_note(connection, team_id, note_id)[0].revision
        if expected_revision not in (None, revision):
            raise ConflictError("revision", f"the note has revision {revision} by now; read it, and change that one")
        if content is not None:
            connection.execute(_WRITE_TEXT, {"id": note_id, "text": content})
            connection.execute(_RECORD_PRESENT_REVISIONS, {"id": note_id})
        if pinned is not None:
            connection.execute(_PIN, {"id": note_id, "pinned": pinned})
        return _emit(connection, transaction, team_id, note_id)

    return await conn.run_sync(write)


async def delete_note(conn: AsyncConnection, team_id: str, note_id: UUID) -> None:
    """Delete a team's note, with its revisions.

    Raises:
        NotFoundError: the team has no such note.
    """

    def write(connection: Connection) -> None:
        transaction = _lock_note(connection, team_id, note_id)
        note, meeting_id = _read_note(connection, team_id, note_id)
        connection.execute(_DELETE, {"id": note_id})
        deleted = note.model_copy(update={"status": "deleted", "text": None})
        transaction.emit(str(meeting_id), "note", deleted.to_payload("changed"))
        transaction.flush()

    await conn.run_sync(write)


def _require_room(connection: Connection, meeting_id: UUID) -> None:
    if connection.execute(_COUNT, {"meeting_id": meeting_id}).scalar_one() >= MAX_NOTES:
        raise ConflictError("limit", f"a meeting may have {MAX_NOTES} notes; delete some first")


def _read_note(connection: Connection, team_id: str, note_id: UUID) -> tuple[Note, UUID]:
    row = connection.execute(_SELECT_NOTE, {"team_id": team_id, "id": note_id}).mappings().one_or_none()
    if row is None:
        raise NotFoundError("there is no such note")
    fields: dict[str, Any] = dict(row)
    meeting_id = fields.pop("meeting_id")
    return Note(**fields), meeting_id


def _lock_note(connection: Connection, team_id: str, note_id: UUID) -> MeetingTransaction:
    """Lock the meeting of a team's note: all writers of notes do."""
    _, meeting_id = _read_note(connection, team_id, note_id)
    return MeetingTransaction(connection, [str(meeting_id)])


def _emit(connection: Connection, transaction: MeetingTransaction, team_id: str, note_id: UUID) -> Note:
    emit_notes(connection, transaction, [note_id], "changed")
    transaction.flush()
    return _read_note(connection, team_id, note_id)[0]
