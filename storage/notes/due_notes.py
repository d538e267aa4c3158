"""Due notes: those that no lane writes any more, that failed, or that are outdated. A query, not a queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from operators.note_requests import NoteRequest, NoteSentence

_SELECT_DUE = text(
    # A user waits for an analysis. Of the others the newest change comes first: it is what readers look at.
    "select id, team_id, meeting_id, language, task, failures, due_at from (select *, row_number() over"
    " (partition by meeting_id order by (kind = 'analysis') desc, due_at desc, id) as turn from notes"
    " where due_at <= now() and id <> all(:except_ids)) n"
    " order by (kind = 'analysis') desc, turn, due_at desc, id limit :limit"
)
_SELECT_SENTENCES = text(
    'select ns.note_id, s.id, s.revision, s.speaker, s.speaker_id, s.text, s.start, s."end", s.retracted'
    " from note_sentences ns join sentences s on s.meeting_id = ns.meeting_id and s.id = ns.sentence_id"
    " where ns.note_id = any(:ids) order by s.start, string_to_array(s.id, '.')::bigint[]"
)


@dataclass(frozen=True, slots=True)
class DueNote:
    """A note to write.

    Attributes:
        request: the request, with the present text of the note's sentences. Without any, the note is to be withdrawn.
        retracted: the sentences that were retracted.
        failures: number of failures so far.
        due_at: when it was due.
    """

    request: NoteRequest
    retracted: tuple[NoteSentence, ...]
    failures: int
    due_at: datetime

    @property
    def key(self) -> UUID:
        """The note's id."""
        return UUID(self.request.note_id)


def read_due_notes(connection: Connection, except_ids: Sequence[UUID], limit: int) -> list[DueNote]:
    """Read the next due notes of all teams. Meetings take turns.

    Args:
        except_ids: notes that are being written.
        limit: most notes to return.
    """
    rows = connection.execute(_SELECT_DUE, {"except_ids": list(except_ids), "limit": limit}).all()
    present: dict[UUID, list[NoteSentence]] = {row.id: [] for row in rows}
    retracted: dict[UUID, list[NoteSentence]] = {row.id: [] for row in rows}
    for row in connection.execute(_SELECT_SENTENCES, {"ids": list(present)}).mappings():
        fields = dict(row)
        sentences = retracted if fields.pop("retracted") else present
        sentences[fields.pop("note_id")].append(NoteSentence(**fields))
    return [
        DueNote(
            NoteRequest(
                team_id=row.team_id,
                meeting_id=str(row.meeting_id),
                note_id=str(row.id),
                language=row.language,
                sentences=tuple(present[row.id]),
                task=row.task,
            ),
            tuple(retracted[row.id]),
            row.failures,
            row.due_at,
        )
        for row in rows
    ]
