"""Changes of meetings whose log is closed: no lane writes them any more, so they are written here."""

from __future__ import annotations

from sqlalchemy import Connection

from operators.entries import SentenceCorrected, SpeakerRenamed
from operators.errors import ConflictError
from operators.speaker_keys import speaker_key
from operators.stream import SpeakerRename
from storage.notes.note_writes import mark_outdated
from storage.postgres.meeting_transaction import MeetingTransaction
from storage.postgres.sentence_corrections import correct_stored_sentence, mark_captions_pending
from storage.postgres.speaker_names import rename_stored_sentences


def edit_closed_meeting(connection: Connection, meeting_id: str, edit: SpeakerRenamed | SentenceCorrected) -> None:
    """Edit the transcript of a meeting that no lane writes any more, in the caller's transaction.

    Raises:
        ConflictError: a sentence to correct has another text by now.
    """
    transaction = MeetingTransaction(connection, [meeting_id])
    match edit:
        case SpeakerRenamed():
            rename = SpeakerRename(
                speaker_key(edit.speaker, edit.speaker_id), speaker_key(edit.new_speaker, edit.new_speaker_id)
            )
            rename_stored_sentences(connection, transaction, meeting_id, rename)
            mark_outdated(connection, transaction, meeting_id)
        case SentenceCorrected(sentence_id=sentence_id):
            if not correct_stored_sentence(connection, transaction, meeting_id, edit):
                raise ConflictError("changed", "the sentence has changed meanwhile; read it again")
            mark_captions_pending(connection, meeting_id, [sentence_id])
            mark_outdated(connection, transaction, meeting_id, [sentence_id])
    transaction.flush()
