"""What is owed: a query, not a queue. Current revisions with no final caption, once whoever was to translate them must
have given up.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import Connection, text

from operators.model import MeetingConfig
from operators.translation import Quoted, TranslationRequest

# A debt that is due speaks of the sentence as it reads now: its old text is of no use to anybody.
_RENEW = text(
    "update captions c set revision = s.revision from sentences s where s.meeting_id = c.meeting_id"
    " and s.id = c.sentence_id and s.revision > c.revision and not s.retracted"
    " and c.status = 'owed' and c.due_at <= now()"
)
_OWED = text(
    "select c.team_id, c.meeting_id, c.sentence_id, c.revision, c.language, s.text, s.start, s.language as spoken,"
    " m.config from (select *, row_number() over (partition by meeting_id order by due_at) as turn"
    " from captions where status = 'owed' and due_at <= now()) c"
    " join sentences s on s.meeting_id = c.meeting_id and s.id = c.sentence_id and s.revision = c.revision"
    " and not s.retracted join meetings m on m.id = c.meeting_id"
    " order by c.turn, c.due_at limit :limit"
)
_BEFORE = text(
    # Reading order: by start, then by the numbers that an id is made of.
    "select id, speaker, text from sentences where meeting_id = :meeting_id and not retracted"
    " and (start, string_to_array(id, '.')::bigint[]) < (:start, string_to_array(:id, '.')::bigint[])"
    " order by start desc, string_to_array(id, '.')::bigint[] desc limit :limit"
)


def owed(connection: Connection, limit: int) -> list[TranslationRequest]:
    """The next requests to pay, over all teams, fair between meetings: each one's oldest debt before any second one.

    Args:
        connection: in a transaction that is committed.
        limit: how many at most.
    """
    connection.execute(_RENEW)
    requests: list[TranslationRequest] = []
    for row in connection.execute(_OWED, {"limit": limit}).all():
        config = MeetingConfig.model_validate(row.config)
        before = connection.execute(
            _BEFORE,
            {
                "meeting_id": row.meeting_id,
                "start": row.start,
                "id": row.sentence_id,
                "limit": config.context_sentences,
            },
        ).all()
        spoken = row.spoken or config.source_language
        requests.append(
            TranslationRequest(
                team_id=row.team_id,
                meeting_id=str(row.meeting_id),
                sentence_id=row.sentence_id,
                revision=row.revision,
                language=row.language,
                source_language=None if spoken == "auto" else spoken,
                text=row.text,
                context=tuple(Quoted(b.id, b.speaker, b.text) for b in reversed(before)),
            )
        )
    return requests


def postpone(connection: Connection, requests: Mapping[TranslationRequest, float]) -> None:
    """Leave debts alone for a while, so that others get their turn.

    Args:
        requests: seconds to wait, for each.
    """
    connection.execute(
        text(
            "update captions set due_at = now() + :wait * interval '1 s' where meeting_id = :meeting_id"
            " and sentence_id = :sentence_id and language = :language and revision = :revision and status = 'owed'"
        ),
        [
            {
                "meeting_id": UUID(request.meeting_id),
                "sentence_id": request.sentence_id,
                "language": request.language,
                "revision": request.revision,
                "wait": wait,
            }
            for request, wait in requests.items()
        ],
    )
