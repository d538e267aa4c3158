"""Pending captions: a query, not a queue. Current revisions with no final caption, once whoever was to translate them must
have given up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import structlog
from pydantic import ValidationError
from sqlalchemy import Connection, text

from operators.context_window import WindowSentence, with_context, with_translations
from operators.model import MeetingConfig
from operators.translation_requests import TranslationRequest

# A debt that is due speaks of the sentence as it reads now: its old text is of no use to anybody.
_RAISE_TO_CURRENT_REVISION = text(
    "update captions c set revision = s.revision, failures = 0 from sentences s where s.meeting_id = c.meeting_id"
    " and s.id = c.sentence_id and s.revision > c.revision and not s.retracted"
    " and c.status = 'pending' and c.due_at <= now()"
)
_SELECT_DUE = text(
    "select c.team_id, c.meeting_id, c.sentence_id, c.revision, c.language, c.previous_text, s.speaker, s.text, s.start,"
    " s.language as spoken, m.config from (select *, row_number() over (partition by meeting_id order by due_at) as turn"
    " from captions where status = 'pending' and due_at <= now()) c"
    " join sentences s on s.meeting_id = c.meeting_id and s.id = c.sentence_id and s.revision = c.revision"
    " and not s.retracted join meetings m on m.id = c.meeting_id"
    " order by c.turn, c.due_at limit :limit"
)
_SELECT_CONTEXT = text(
    # Reading order: by start, then by the numbers that an id is made of. The union leaves out what both parts have.
    "with before as (select *, string_to_array(id, '.')::bigint[] as numbers from sentences"
    " where meeting_id = :meeting_id and not retracted and start <= :start"
    " and (start, string_to_array(id, '.')::bigint[]) < (:start, string_to_array(:id, '.')::bigint[])),"
    " wanted as ((select * from before order by start desc, numbers desc limit :recent)"
    " union (select * from before where speaker = :speaker order by start desc, numbers desc limit :of_speaker))"
    " select w.start, w.numbers[1] as n, w.numbers[2] as k, w.speaker, w.text, c.text as translation from wanted w"
    " left join captions c on c.team_id = w.team_id and c.meeting_id = w.meeting_id and c.sentence_id = w.id"
    " and c.revision = w.revision and c.language = :language and c.status = 'translated' and c.warnings = '{}'"
    " order by w.start, w.numbers"
)


_COUNT_FAILURE = text(
    "update captions set failures = failures + 1,"
    " due_at = now() + cast(:first as float8) * power(cast(:factor as float8), failures) * interval '1 s'"
    " where meeting_id = :meeting_id and sentence_id = :sentence_id and language = :language and revision = :revision"
    " and status = 'pending' returning failures"
)
_POSTPONE_MEETING = text(
    "update captions set due_at = now() + :wait * interval '1 s'"
    " where meeting_id = :meeting_id and status = 'pending' and due_at <= now()"
)
UNREADABLE_PAUSE_S = 60.0
"""Seconds for which captions are left alone whose meeting's config can't be read."""

log = structlog.get_logger(__name__)


def read_due_requests(connection: Connection, limit: int) -> list[TranslationRequest]:
    """The next requests to pay, over all teams, fair between meetings: each one's oldest debt before any second one.

    Args:
        connection: in a transaction that is committed.
        limit: how many at most.
    """
    connection.execute(_RAISE_TO_CURRENT_REVISION)
    requests: list[TranslationRequest] = []
    configs: dict[UUID, MeetingConfig | None] = {}
    for row in connection.execute(_SELECT_DUE, {"limit": limit}).all():
        # Once for each meeting: a long glossary takes a while to read.
        if row.meeting_id not in configs:
            configs[row.meeting_id] = _read_config(connection, row.meeting_id, row.config)
        config = configs[row.meeting_id]
        if config is None:
            continue
        request = TranslationRequest(
            team_id=row.team_id,
            meeting_id=str(row.meeting_id),
            sentence_id=row.sentence_id,
            revision=row.revision,
            language=row.language,
            source_language=row.spoken,
            text=row.text,
            previous_translation=row.previous_text,
        )
        context_rows = connection.execute(
            _SELECT_CONTEXT,
            {
                "meeting_id": row.meeting_id,
                "start": row.start,
                "id": row.sentence_id,
                "speaker": row.speaker,
                "language": row.language,
                "recent": config.context_sentences,
                "of_speaker": config.context_of_speaker,
            },
        ).all()
        context_sentences = [WindowSentence(*b[:5]) for b in context_rows]
        translations = {
            h.context_sentence: b.translation
            for h, b in zip(context_sentences, context_rows, strict=True)
            if b.translation is not None
        }
        requests.append(with_translations(with_context(request, row.speaker, context_sentences, config), translations))
    return requests


def _read_config(connection: Connection, meeting_id: UUID, config: Any) -> MeetingConfig | None:
    """A meeting's config; None where it can't be read. Its captions are then left alone for a while."""
    try:
        return MeetingConfig.model_validate(config)
    except ValidationError:
        # A newer release wrote it. Its captions wait for that one, and hold up no others.
        log.warning("a meeting's config can't be read", meeting=str(meeting_id))
        connection.execute(_POSTPONE_MEETING, {"meeting_id": meeting_id, "wait": UNREADABLE_PAUSE_S})
        return None


def record_failures(
    connection: Connection, requests: Sequence[TranslationRequest], first_pause: float, pause_factor: float
) -> list[int]:
    """Count an attempt that failed of each request, and leave its caption alone for a while.

    Args:
        connection: in a transaction that has locked the meetings, as all have that write captions and meetings.
        first: seconds after the first failure.
        factor: how many times as long after each further one.

    Returns:
        How many attempts have failed by now, of each; 0 where its caption is not pending any more.
    """
    return [
        connection.execute(
            _COUNT_FAILURE,
            {
                "meeting_id": UUID(request.meeting_id),
                "sentence_id": request.sentence_id,
                "language": request.language,
                "revision": request.revision,
                "first": first_pause,
                "factor": pause_factor,
            },
        ).scalar_one_or_none()
        or 0
        for request in requests
    ]


def postpone(connection: Connection, requests: Mapping[TranslationRequest, float]) -> None:
    """Leave debts alone for a while, so that others get their turn.

    Args:
        requests: seconds to wait, for each.
    """
    connection.execute(
        text(
            "update captions set due_at = now() + :wait * interval '1 s' where meeting_id = :meeting_id"
            " and sentence_id = :sentence_id and language = :language and revision = :revision and status = 'pending'"
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
