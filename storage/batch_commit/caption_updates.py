"""Captions within a transaction: pending ones, and the results that complete them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

from operators.translation_requests import CaptionStatus, TranslationRequest
from storage.batch_commit.batch_changes import CaptionResult, MeetingChange
from storage.postgres.meeting_transaction import MeetingTransaction, rows_parameter

_TRANSLATIONS = text(
    "select c.meeting_id::text, c.sentence_id, c.language, c.revision,"
    " case when s.revision = c.revision then s.text end, c.text"
    " from jsonb_to_recordset(cast(:rows as jsonb)) as wanted(meeting_id uuid, sentence_id text, language text)"
    " join captions c using (meeting_id, sentence_id, language)"
    " join sentences s on s.meeting_id = c.meeting_id and s.id = c.sentence_id and not s.retracted"
    " where c.status = 'translated' and c.warnings = '{}'"
    " order by row_number() over (partition by c.meeting_id, c.language order by s.start desc) desc"
)
_MARK_PENDING = text(
    "insert into captions as c (team_id, meeting_id, sentence_id, language, revision, status, due_at)"
    " select team_id, meeting_id, sentence_id, language, revision, 'pending', now() + :backfill_after * interval '1 s'"
    " from jsonb_to_recordset(cast(:rows as jsonb))"
    " as r(team_id text, meeting_id uuid, sentence_id text, language text, revision int)"
    " on conflict (meeting_id, sentence_id, language) do update set revision = excluded.revision, text_revision = null,"
    " previous_text = case when c.status = 'pending' then c.previous_text"
    " when c.status = 'translated' and c.warnings = '{}' then c.text end,"
    " status = 'pending', text = null, engine = null, reason = null, warnings = default, failures = 0,"
    " due_at = excluded.due_at"
    " where c.revision < excluded.revision"
)
_MARK_NEW_LANGUAGES = text(
    "insert into captions (team_id, meeting_id, sentence_id, language, revision, status, due_at)"
    " select s.team_id, s.meeting_id, s.id, l.language, s.revision, 'pending', now()"
    " from sentences s cross join unnest(cast(:languages as text[])) as l(language)"
    " where s.meeting_id = :meeting_id and not s.retracted on conflict do nothing"
)
_RAISE_REVISIONS = text(
    "update captions c set revision = r.revision, text_revision = coalesce(c.text_revision, c.revision)"
    " from jsonb_to_recordset(cast(:rows as jsonb)) as r(meeting_id uuid, sentence_id text, before int, revision int)"
    " where c.meeting_id = r.meeting_id and c.sentence_id = r.sentence_id"
    " and c.revision >= r.before and c.revision < r.revision"
    " returning c.meeting_id, c.sentence_id, c.language, c.revision, c.status, c.text, c.engine, c.reason, c.warnings,"
    " c.version"
)
_ADD_ATTEMPTS = text(
    "update captions c set attempts = c.attempts + r.attempts from"
    " (select meeting_id, sentence_id, language, sum(attempts)::int as attempts"
    " from jsonb_to_recordset(cast(:rows as jsonb))"
    " as r(meeting_id uuid, sentence_id text, language text, attempts int) group by 1, 2, 3) r"
    " where c.meeting_id = r.meeting_id and c.sentence_id = r.sentence_id and c.language = r.language"
)
_STILL_PENDING = text(
    "select r.k from jsonb_to_recordset(cast(:rows as jsonb))"
    " as r(k int, meeting_id uuid, sentence_id text, language text, revision int)"
    " join captions c on c.meeting_id = r.meeting_id and c.sentence_id = r.sentence_id"
    " and c.language = r.language and r.revision between coalesce(c.text_revision, c.revision) and c.revision"
    " and c.status = 'pending'"
    " join sentences s on s.meeting_id = r.meeting_id and s.id = r.sentence_id and not s.retracted"
    " order by c.meeting_id, c.sentence_id, c.language for update of c"
)
_WRITE_RESULTS = text(
    "update captions c set status = r.status, text = r.text, engine = r.engine, reason = r.reason,"
    " warnings = r.warnings, version = c.version + (r.status <> 'pending')::int,"
    " previous_text = case when r.status = 'pending' then c.previous_text end,"
    " due_at = case when r.status = 'pending' then now() end"
    " from jsonb_to_recordset(cast(:rows as jsonb)) as r(meeting_id uuid, sentence_id text, language text,"
    " status text, text text, engine text, reason text, warnings text[])"
    " where c.meeting_id = r.meeting_id and c.sentence_id = r.sentence_id and c.language = r.language"
    " returning c.meeting_id, c.sentence_id, c.language, c.version, c.revision"
)


class StoredTranslation(NamedTuple):
    """A translation without warnings, which later requests may use as context.

    Attributes:
        revision: the sentence's revision that was translated.
        source: the text that was translated; None if the sentence has another revision by now.
    """

    meeting_id: str
    sentence_id: str
    language: str
    revision: int
    source: str | None
    translation: str


def read_translations(connection: Connection, caption_keys: Sequence[tuple[str, str, str]]) -> list[StoredTranslation]:
    """Read the translations of sentences. Pending captions are left out, because the backfill may complete them at any time.

    Args:
        caption_keys: meeting id, sentence id and language of each caption.

    Returns:
        The translations that exist. The order interleaves the meetings; the last sentence of each meeting comes last.
    """
    rows = [
        {"meeting_id": meeting_id, "sentence_id": sentence_id, "language": language}
        for meeting_id, sentence_id, language in caption_keys
    ]
    return [StoredTranslation(*row) for row in connection.execute(_TRANSLATIONS, rows_parameter(rows))]


def mark_pending(connection: Connection, requests: Sequence[TranslationRequest], backfill_after: float) -> None:
    """Mark the captions of requests as pending, in the caller's transaction.

    Args:
        backfill_after: seconds after which the backfill may complete a caption.
    """
    if not requests:
        return
    rows = [
        {
            "team_id": r.team_id,
            "meeting_id": r.meeting_id,
            "sentence_id": r.sentence_id,
            "language": r.language,
            "revision": r.revision,
        }
        for r in requests
    ]
    connection.execute(
        _MARK_PENDING,
        {**rows_parameter(rows), "backfill_after": backfill_after},
    )


def mark_new_languages_pending(connection: Connection, changes: Sequence[MeetingChange]) -> None:
    """Mark captions as pending in languages that were added to a running meeting, for all its earlier sentences."""
    for change in changes:
        if change.config is None or not change.config_changed:
            continue
        connection.execute(
            _MARK_NEW_LANGUAGES,
            {"meeting_id": UUID(change.meeting_id), "languages": list(change.config.target_languages)},
        )


def raise_renamed(connection: Connection, changes: Sequence[MeetingChange], transaction: MeetingTransaction) -> None:
    """Raise the revisions of captions whose sentences have a new speaker and the same text, in the caller's transaction."""
    rows: list[dict[str, Any]] = []
    for change in changes:
        last_rows: dict[str, dict[str, Any]] = {}
        for sentence_id, revision in change.renamed_sentences:
            last = last_rows.get(sentence_id)
            if last is not None and last["revision"] == revision - 1:
                last["revision"] = revision
            elif sentence_id not in change.retracted:
                row = {"meeting_id": change.meeting_id, "sentence_id": sentence_id}
                last_rows[sentence_id] = row | {"before": revision - 1, "revision": revision}
                rows.append(last_rows[sentence_id])
    if not rows:
        return
    for row in connection.execute(_RAISE_REVISIONS, rows_parameter(rows)).mappings():
        if row["status"] != CaptionStatus.PENDING:
            payload = {name: value for name, value in row.items() if name != "meeting_id"}
            transaction.emit(str(row["meeting_id"]), "caption", payload)


def write_results(connection: Connection, results: Sequence[CaptionResult], transaction: MeetingTransaction) -> None:
    """Write the results of requests, with a live event for each changed caption, in the caller's transaction."""
    if not results:
        return
    rows = [
        {
            "k": k,
            "meeting_id": a.request.meeting_id,
            "sentence_id": a.request.sentence_id,
            "language": a.request.language,
            "revision": a.request.revision,
            "attempts": a.attempts,
        }
        for k, a in enumerate(results)
    ]
    # Every call counts, even if its result came too late for its revision.
    connection.execute(
        _ADD_ATTEMPTS,
        rows_parameter(rows),
    )
    # A result counts only for the revision that is pending, of a sentence that was not retracted.
    pending_indices = {
        row.k
        for row in connection.execute(
            _STILL_PENDING,
            rows_parameter(rows),
        )
    }
    updated_rows: list[dict[str, Any]] = []
    for k, result in enumerate(results):
        request, translation = result.request, result.translation
        # A replaced request says nothing about the caption: the pending one may be that of the newer request.
        if k not in pending_indices or result.reason == "replaced":
            transaction.count(request.meeting_id, "superseded")
            continue
        status = translation.status if translation else CaptionStatus.PENDING
        if translation and translation.cached:
            transaction.count(request.meeting_id, "cached")
        if translation and translation.warnings:
            transaction.count(request.meeting_id, "warned")
        transaction.count(request.meeting_id, str(status))
        updated_rows.append(
            {
                "meeting_id": request.meeting_id,
                "sentence_id": request.sentence_id,
                "language": request.language,
                "revision": request.revision,
                "status": str(status),
                "text": translation.text if translation else None,
                "engine": translation.engine if translation else None,
                "reason": translation.reason if translation else result.reason,
                "warnings": translation.warnings if translation else (),
            }
        )
    if not updated_rows:
        return
    versions = {
        (str(row.meeting_id), row.sentence_id, row.language): {"revision": row.revision, "version": row.version}
        for row in connection.execute(
            _WRITE_RESULTS,
            rows_parameter(updated_rows),
        )
    }
    for row in updated_rows:
        meeting_id = row.pop("meeting_id")
        # The revision is newer than the request's if the speaker was renamed meanwhile.
        transaction.emit(meeting_id, "caption", {**row, **versions[meeting_id, row["sentence_id"], row["language"]]})
