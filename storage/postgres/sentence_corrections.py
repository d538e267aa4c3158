"""Corrections of stored sentences by users, and what follows for their captions. All run in the caller's transaction."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import Connection, bindparam, select, text

from operators.entries import SentenceCorrected
from operators.sentence_corrections import correct_sentence
from storage.postgres import tables
from storage.postgres.meeting_transaction import MeetingTransaction
from storage.postgres.transcript_queries import SENTENCE_COLUMNS, to_sentence

_SENTENCE = select(*SENTENCE_COLUMNS).where(
    tables.sentences.c.meeting_id == bindparam("meeting_id"),
    tables.sentences.c.id == bindparam("sentence_id"),
    ~tables.sentences.c.retracted,
)
_WRITE_TEXT = text(
    "update sentences set revision = :revision, text = :text, original_text = :original_text"
    " where meeting_id = :meeting_id and id = :sentence_id"
)
_MARK_CAPTIONS_PENDING = text(
    "update captions c set revision = s.revision, text_revision = null,"
    " previous_text = case when c.status = 'pending' then c.previous_text"
    " when c.status = 'translated' and c.warnings = '{}' then c.text end,"
    " status = 'pending', text = null, engine = null, reason = null, warnings = default, failures = 0, due_at = now()"
    " from sentences s where c.meeting_id = :meeting_id and c.sentence_id = any(:sentence_ids)"
    " and s.meeting_id = c.meeting_id and s.id = c.sentence_id and c.revision < s.revision"
)


def correct_stored_sentence(
    connection: Connection, transaction: MeetingTransaction, meeting_id: str, correction: SentenceCorrected
) -> bool:
    """Correct a sentence that no operator's state has any more, with a live event.

    Args:
        transaction: the locked meetings.
        meeting_id: the meeting.
        correction: the correction.

    Returns:
        Whether the sentence has the text that the user saw. Without it, nothing changes.
    """
    ids = {"meeting_id": UUID(meeting_id), "sentence_id": correction.sentence_id}
    row = connection.execute(_SENTENCE, ids).mappings().one_or_none()
    sentence = None if row is None else to_sentence(row)
    corrected = None if sentence is None else correct_sentence(sentence, correction)
    if corrected is None:
        return False
    if corrected is not sentence:
        values = {
            "revision": corrected.revision,
            "text": corrected.text,
            "original_text": corrected.original_text,
        }
        connection.execute(_WRITE_TEXT, ids | values)
        transaction.emit(meeting_id, "sentence", corrected.to_payload())
    return True


def mark_captions_pending(connection: Connection, meeting_id: str, sentence_ids: Collection[str]) -> None:
    """Mark the captions of corrected sentences as pending, and as due: the backfill translates them."""
    if sentence_ids:
        connection.execute(_MARK_CAPTIONS_PENDING, {"meeting_id": UUID(meeting_id), "sentence_ids": list(sentence_ids)})
