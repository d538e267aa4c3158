"""Changes of meetings whose log is closed: no lane writes them any more, so they are written here."""

from __future__ import annotations

from sqlalchemy import Connection

from operators.entries import SpeakerRenamed
from operators.speaker_keys import speaker_key
from operators.stream import SpeakerRename
from storage.notes.note_writes import mark_outdated
from storage.postgres.meeting_transaction import MeetingTransaction
from storage.postgres.speaker_names import rename_stored_sentences


def rename_in_closed_meeting(connection: Connection, meeting_id: str, renamed: SpeakerRenamed) -> None:
    """Rename a speaker of a meeting that no lane writes any more, in the caller's transaction."""
    transaction = MeetingTransaction(connection, [meeting_id])
    rename = SpeakerRename(
        speaker_key(renamed.speaker, renamed.speaker_id), speaker_key(renamed.new_speaker, renamed.new_speaker_id)
    )
    rename_stored_sentences(connection, transaction, meeting_id, rename)
    mark_outdated(connection, transaction, meeting_id)
    transaction.flush()
