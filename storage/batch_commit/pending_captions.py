"""Pending captions: current revisions without a final caption, once their lane must have given up. A query, not a queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import structlog
from pydantic import ValidationError
from sqlalchemy import Connection, text

from operators.context_window import WindowSentence, with_context, with_translations
from operators.meeting_config import MeetingConfig
from operators.translation_requests import TranslationRequest

# A due caption is translated at the sentence's current revision, because nobody needs its old text.
_RAISE_TO_CURRENT_REVISION = text(
    "update captions c set revision = s.revision, text_revision = null, failures = 0 from sentences s"
    " where s.meeting_id = c.meeting_id"
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
    # Reading order: by start, then by the numbers of the id. The union removes duplicates.
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
"""Seconds for which captions are postponed if their meeting's config can't be read."""

log = structlog.get_logger(__name__)


_POSTPONE = text(
    "update captions set due_at = now() + :wait * interval '1 s' where meeting_id = :meeting_id"
    " and sentence_id = :sentence_id and language = :language and revision = :revision and status = 'pending'"
)


def read_due_requests(connection: Connection, limit: int) -> list[TranslationRequest]:
    """Read the next due requests of all teams. Meetings take turns: the oldest caption of each comes before any second one.

    Args:
        connection: a connection in a transaction that the caller commits.
        limit: most requests to return.
    """
    connection.execute(_RAISE_TO_CURRENT_REVISION)
    requests: list[TranslationRequest] = []
    configs: dict[UUID, MeetingConfig | None] = {}
    for row in connection.execute(_SELECT_DUE, {"limit": limit}).all():
        # Parsed once for each meeting, because a long glossary takes a while.
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
    """Parse a meeting's config. If it can't be read, return None and postpone the meeting's captions."""
    try:
        return MeetingConfig.model_validate(config)
    except ValidationError:
        # A newer release wrote the config. The captions wait for that release, and block no others.
        log.warning("a meeting's config can't be read", meeting=str(meeting_id))
        connection.execute(_POSTPONE_MEETING, {"meeting_id": meeting_id, "wait": UNREADABLE_PAUSE_S})
        return None


def record_failures(
    connection: Connection, requests: Sequence[TranslationRequest], first_pause: float, pause_factor: float
) -> list[int]:
    """Count a failed attempt at each request, and postpone its caption.

    Args:
        connection: a connection in a transaction that has locked the meetings, as for every write of captions.
        requests: the requests.
        first_pause: seconds to wait after the first failure.
        pause_factor: factor by which the pause grows with each further failure.

    Returns:
        The number of failed attempts of each request; 0 if its caption isn't pending any more.
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
    """Postpone pending captions, so that others get their turn.

    Args:
        requests: seconds to wait, by request.
    """
    connection.execute(
        _POSTPONE,
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
