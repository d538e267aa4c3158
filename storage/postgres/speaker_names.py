"""The speakers of a meeting's stored sentences, and their renames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from operators.speaker_keys import split_speaker_key
from operators.stream import SpeakerRename
from storage.postgres.meeting_transaction import MeetingTransaction
from storage.records import OutboxEvent

_SPEAKERS = text(
    'select speaker, speaker_id, count(*) as sentences, sum("end" - start) as seconds, min(start) as first_start'
    " from sentences where meeting_id = :meeting_id and team_id = :team_id and not retracted"
    " group by speaker, speaker_id order by first_start, speaker, speaker_id"
)
# One statement, so that a long meeting takes no round trip for each sentence. A caption goes along with its sentence's
# revision, because the text is the same.
_RENAME_SENTENCES = text(
    "with renamed as (update sentences set revision = revision + 1, speaker = cast(:new_speaker as text),"
    " speaker_id = cast(:new_speaker_id as text)"
    " where meeting_id = :meeting_id and speaker = cast(:speaker as text)"
    " and speaker_id is not distinct from cast(:speaker_id as text)"
    " and not retracted and id <> all(cast(:except_ids as text[])) returning *),"
    " recaptioned as (update captions c set revision = r.revision, text_revision = coalesce(c.text_revision, c.revision)"
    " from renamed r where c.meeting_id = r.meeting_id and c.sentence_id = r.id and c.revision = r.revision - 1"
    " returning c.*, r.start as speech_start),"
    " events as (select team_id, start, id, '' as language, 'sentence' as kind, jsonb_build_object('id', id,"
    " 'revision', revision, 'speaker', speaker, 'speaker_id', speaker_id, 'text', text, 'start', start, 'end', \"end\","
    " 'boundary', boundary, 'language', language, 'original_text', original_text, 'corrected', original_text is not null)"
    " as payload from renamed"
    " union all select c.team_id, c.speech_start, c.sentence_id, c.language, 'caption',"
    " jsonb_build_object('sentence_id', c.sentence_id, 'language', c.language, 'revision', c.revision,"
    " 'status', c.status, 'text', c.text, 'engine', c.engine, 'reason', c.reason, 'warnings', c.warnings, 'version', c.version)"
    " from recaptioned c where c.status <> 'pending'),"
    " numbered as (select cast(:seq as bigint) + row_number() over (order by start, id, language) as seq,"
    " team_id, kind, payload from events),"
    " written as (insert into outbox (team_id, meeting_id, seq, kind, payload)"
    " select team_id, :meeting_id, seq, kind, payload from numbered),"
    " queued as (insert into webhook_deliveries (team_id, endpoint_id, queue_id, meeting_id, seq, event_id, event_type)"
    " select n.team_id, e.id, :meeting_id, :meeting_id, n.seq,"
    " 'msg_' || replace(cast(cast(:meeting_id as uuid) as text), '-', '') || '_' || n.seq, n.kind || '.updated'"
    " from numbered n join webhook_endpoints e on e.team_id = n.team_id and e.enabled"
    " and n.kind || '.updated' = any(e.event_types) order by n.seq)"
    " select seq, team_id, kind, payload from numbered order by seq desc limit 1"
)


@dataclass(frozen=True, slots=True)
class SpeakerSummary:
    """A speaker of a meeting. `seconds` is the duration of the speaker's sentences, `first_start` the start of the first."""

    speaker: str
    speaker_id: str | None
    sentences: int
    seconds: float
    first_start: float


async def list_speakers(conn: AsyncConnection, team_id: str, meeting_id: UUID) -> list[SpeakerSummary]:
    """List the speakers of a team's meeting, in the order of their first sentences."""
    rows = await conn.execute(_SPEAKERS, {"meeting_id": meeting_id, "team_id": team_id})
    return [SpeakerSummary(**row) for row in rows.mappings()]


def rename_stored_sentences(
    connection: Connection,
    transaction: MeetingTransaction,
    meeting_id: str,
    rename: SpeakerRename,
    except_ids: Sequence[str] = (),
) -> None:
    """Rename a speaker's stored sentences, with a new revision and a live event for each, in the caller's transaction.

    A repeated call changes nothing, because no sentence has the old name any more.

    Args:
        transaction: the locked meetings.
        meeting_id: the meeting.
        rename: the speaker, and its new name.
        except_ids: the sentences that the transaction writes itself.
    """
    speaker, speaker_id = split_speaker_key(rename.old_key)
    new_speaker, new_speaker_id = split_speaker_key(rename.new_key)
    transaction.write_new_events()
    row = connection.execute(
        _RENAME_SENTENCES,
        {
            "meeting_id": UUID(meeting_id),
            "speaker": speaker,
            "speaker_id": speaker_id,
            "new_speaker": new_speaker,
            "new_speaker_id": new_speaker_id,
            "except_ids": list(except_ids),
            "seq": transaction.last_seq(meeting_id),
        },
    ).one_or_none()
    if row is not None:
        transaction.add_inserted(OutboxEvent(row.team_id, meeting_id, row.seq, row.kind, row.payload))
