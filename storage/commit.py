"""The lane's transaction: what a batch of the stream did, and the states it led to, all of it or nothing.

Every live event takes the next `seq` of its meeting under the lock of the meeting's row, which is held until the commit:
so the events of a meeting are in commit order and have no gap.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeGuard
from uuid import UUID

import orjson
from sqlalchemy import Connection, text

from operators.errors import Fenced
from operators.model import CaptionStatus, Sentence, TranslationRequest
from storage.changes import Answer, DeadLetter, MeetingChange
from storage.records import Event, EventKind

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def claim_lane(connection: Connection, lane_id: str, pid: int, node: str) -> int:
    """Take a lane over from whatever process had it.

    Returns:
        The new epoch. Writes of a process with an older one are refused from now on.
    """
    statement = text(
        "update lanes set epoch = epoch + 1, pid = :pid, node = :node, state = 'running', updated_at = now()"
        " where id = :lane returning epoch"
    )
    return int(connection.execute(statement, {"lane": lane_id, "pid": pid, "node": node}).scalar_one())


def commit(
    connection: Connection,
    lane_id: str,
    epoch: int,
    changes: Sequence[MeetingChange],
    answers: Sequence[Answer] = (),
    dead: Sequence[DeadLetter] = (),
    *,
    patience: float,
) -> list[Event]:
    """Write what a batch did, in the caller's transaction.

    Args:
        changes: at most one a meeting.
        patience: seconds after which the backfill may pay what these requests ask.

    Returns:
        The live events written, to be published once the transaction is committed.

    Raises:
        Fenced: another process has the lane.
    """
    # 1. Only the lane's present owner may write.
    held = connection.execute(text("select epoch from lanes where id = :lane for share"), {"lane": lane_id}).scalar()
    if held != epoch:
        raise Fenced(f"lane {lane_id} is at epoch {held}, this process at {epoch}")
    # 2. Lock the meetings, in one order everywhere.
    meetings = {c.meeting_id for c in changes} | {a.request.meeting_id for a in answers}
    ledger = _Ledger(connection, meetings | {d.meeting_id for d in dead if _is_id(d.meeting_id)})
    for change in changes:
        for status in change.statuses if change.ended_at is None else change.statuses[:-1]:
            ledger.event(change.meeting_id, "status", status)
        for name, by in change.counters.items():
            ledger.count(change.meeting_id, name, by)
    # 3. Sentences and who spoke them.
    _write_sentences(connection, changes)
    for change in changes:
        for sentence in change.sentences.values():
            if sentence.id not in change.retracted:
                ledger.event(change.meeting_id, "sentence", sentence_payload(sentence))
        for retracted in change.retracted.values():
            ledger.event(change.meeting_id, "retracted", {"id": retracted.id, "revision": retracted.revision})
    # 4. What is now owed, in every language.
    _write_requests(connection, [r for c in changes for r in c.requests.values()], patience)
    _owe_new_languages(connection, changes)
    # 5. Answers, after the sentences they speak of.
    _write_answers(connection, answers, ledger)
    # 6. What could not be used.
    _write_dead(connection, lane_id, dead, ledger)
    # 7. The states, with everything they led to.
    for change in changes:
        if change.ended_at is not None:
            ledger.event(change.meeting_id, "status", change.statuses[-1])
    _write_meetings(connection, changes)
    return ledger.close()


def pay(connection: Connection, answers: Sequence[Answer]) -> list[Event]:
    """Write answers that no lane waits for (the backfill's), in the caller's transaction.

    Returns:
        The live events written, to be published once the transaction is committed.
    """
    ledger = _Ledger(connection, {a.request.meeting_id for a in answers})
    _write_answers(connection, answers, ledger)
    return ledger.close()


def sentence_payload(sentence: Sentence) -> dict[str, Any]:
    """A sentence as live events carry it."""
    return {
        "id": sentence.id,
        "revision": sentence.revision,
        "speaker": sentence.speaker,
        "text": sentence.text,
        "start": sentence.start,
        "end": sentence.end,
        "boundary": str(sentence.boundary),
        "language": sentence.language,
    }


class _Ledger:
    """The locked meetings of a transaction: gives out each one's next seqs and gathers its counters."""

    def __init__(self, connection: Connection, meeting_ids: Iterable[str]) -> None:
        self._connection = connection
        rows = connection.execute(
            text("select id, team_id, status, seq, counters from meetings where id = any(:ids) order by id for update"),
            {"ids": [UUID(m) for m in meeting_ids]},
        )
        self._seq: dict[str, int] = {}
        self._team: dict[str, str] = {}
        self._counters: dict[str, dict[str, int]] = {}
        self._paused: set[str] = set()
        for row in rows:
            if row.status == "paused":
                self._paused.add(str(row.id))
            self._seq[str(row.id)], self._team[str(row.id)] = row.seq, row.team_id
            self._counters[str(row.id)] = row.counters
        self._changed: set[str] = set()
        self._events: list[Event] = []

    def event(self, meeting_id: str, kind: EventKind, payload: dict[str, Any]) -> None:
        if meeting_id in self._paused and payload.get("status") == "live":
            # It was paused before its lane saw it begin, and stays so.
            return
        self._seq[meeting_id] += 1
        self._changed.add(meeting_id)
        self._events.append(Event(self._team[meeting_id], meeting_id, self._seq[meeting_id], kind, payload))

    def count(self, meeting_id: str, name: str, by: int = 1) -> None:
        """Count something; what belongs to no meeting has its own rows."""
        if meeting_id not in self._counters:
            return
        counters = self._counters[meeting_id]
        counters[name] = counters.get(name, 0) + by
        self._changed.add(meeting_id)

    def close(self) -> list[Event]:
        if self._changed:
            self._connection.execute(
                text("update meetings set seq = :seq, counters = cast(:counters as jsonb) where id = :id"),
                [
                    {"id": UUID(m), "seq": self._seq[m], "counters": orjson.dumps(self._counters[m]).decode()}
                    for m in self._changed
                ],
            )
        if self._events:
            self._connection.execute(
                text(
                    "insert into outbox (team_id, meeting_id, seq, kind, payload)"
                    " select * from jsonb_to_recordset(cast(:rows as jsonb))"
                    " as r(team_id text, meeting_id uuid, seq bigint, kind text, payload jsonb)"
                ),
                {"rows": orjson.dumps(self._events).decode()},
            )
        return self._events


def _rows(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {"rows": orjson.dumps(rows).decode()}


def _write_sentences(connection: Connection, changes: Sequence[MeetingChange]) -> None:
    rows = [
        {
            **sentence_payload(s),
            "team_id": c.team_id,
            "meeting_id": c.meeting_id,
            "first_emitted": s.first_emitted,
            "first_text": s.first_text,
        }
        for c in changes
        for s in c.sentences.values()
    ]
    if rows:
        connection.execute(
            text(
                'insert into sentences (team_id, meeting_id, id, revision, speaker, text, start, "end", boundary,'
                " language, first_emitted, first_text)"
                " select * from jsonb_to_recordset(cast(:rows as jsonb))"
                " as r(team_id text, meeting_id uuid, id text, revision int, speaker text, text text, start float8,"
                ' "end" float8, boundary text, language text, first_emitted float8, first_text text)'
                " on conflict (meeting_id, id) do update set revision = excluded.revision, speaker = excluded.speaker,"
                ' text = excluded.text, start = excluded.start, "end" = excluded."end",'
                " boundary = excluded.boundary, language = excluded.language, retracted = false"
                " where sentences.revision <= excluded.revision"
            ),
            _rows(rows),
        )
        connection.execute(
            text(
                "insert into participants (team_id, meeting_id, name)"
                " select distinct team_id, meeting_id, speaker from jsonb_to_recordset(cast(:rows as jsonb))"
                " as r(team_id text, meeting_id uuid, speaker text) on conflict do nothing"
            ),
            _rows(rows),
        )
    gone = [
        {"meeting_id": c.meeting_id, "id": r.id, "revision": r.revision} for c in changes for r in c.retracted.values()
    ]
    if gone:
        connection.execute(
            text(
                "update sentences s set retracted = true, revision = r.revision"
                " from jsonb_to_recordset(cast(:rows as jsonb)) as r(meeting_id uuid, id text, revision int)"
                " where s.meeting_id = r.meeting_id and s.id = r.id and s.revision < r.revision"
            ),
            _rows(gone),
        )


def _write_requests(connection: Connection, requests: Sequence[TranslationRequest], patience: float) -> None:
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
        text(
            "insert into captions (team_id, meeting_id, sentence_id, language, revision, status, due_at)"
            " select team_id, meeting_id, sentence_id, language, revision, 'owed', now() + :patience * interval '1 s'"
            " from jsonb_to_recordset(cast(:rows as jsonb))"
            " as r(team_id text, meeting_id uuid, sentence_id text, language text, revision int)"
            " on conflict (meeting_id, sentence_id, language) do update set revision = excluded.revision,"
            " status = 'owed', text = null, engine = null, reason = null, due_at = excluded.due_at"
            " where captions.revision < excluded.revision"
        ),
        {**_rows(rows), "patience": patience},
    )


def _owe_new_languages(connection: Connection, changes: Sequence[MeetingChange]) -> None:
    """A language added while the meeting runs is owed for everything said before, too."""
    for change in changes:
        if change.config is None or not change.config_changed:
            continue
        connection.execute(
            text(
                "insert into captions (team_id, meeting_id, sentence_id, language, revision, status, due_at)"
                " select s.team_id, s.meeting_id, s.id, l.language, s.revision, 'owed', now()"
                " from sentences s cross join unnest(cast(:languages as text[])) as l(language)"
                " where s.meeting_id = :meeting_id and not s.retracted on conflict do nothing"
            ),
            {"meeting_id": UUID(change.meeting_id), "languages": list(change.config.target_languages)},
        )


def _write_answers(connection: Connection, answers: Sequence[Answer], ledger: _Ledger) -> None:
    if not answers:
        return
    rows = [
        {
            "k": k,
            "meeting_id": a.request.meeting_id,
            "sentence_id": a.request.sentence_id,
            "language": a.request.language,
            "revision": a.request.revision,
            "asked": a.asked,
        }
        for k, a in enumerate(answers)
    ]
    # Every call counts, even where its answer came too late for the text it speaks of.
    connection.execute(
        text(
            "update captions c set asked = c.asked + r.asked from"
            " (select meeting_id, sentence_id, language, sum(asked)::int as asked"
            " from jsonb_to_recordset(cast(:rows as jsonb))"
            " as r(meeting_id uuid, sentence_id text, language text, asked int) group by 1, 2, 3) r"
            " where c.meeting_id = r.meeting_id and c.sentence_id = r.sentence_id and c.language = r.language"
        ),
        _rows(rows),
    )
    # An answer counts only for the revision that is owed, of a sentence that still stands.
    current = {
        row.k
        for row in connection.execute(
            text(
                "select r.k from jsonb_to_recordset(cast(:rows as jsonb))"
                " as r(k int, meeting_id uuid, sentence_id text, language text, revision int)"
                " join captions c on c.meeting_id = r.meeting_id and c.sentence_id = r.sentence_id"
                " and c.language = r.language and c.revision = r.revision and c.status = 'owed'"
                " join sentences s on s.meeting_id = r.meeting_id and s.id = r.sentence_id and not s.retracted"
                " order by c.meeting_id, c.sentence_id, c.language for update of c"
            ),
            _rows(rows),
        )
    }
    written: list[dict[str, Any]] = []
    for k, answer in enumerate(answers):
        request, translation = answer.request, answer.translation
        if k not in current:
            ledger.count(request.meeting_id, "superseded")
            continue
        status = translation.status if translation else CaptionStatus.OWED
        if translation and translation.cached:
            ledger.count(request.meeting_id, "cached")
        ledger.count(request.meeting_id, str(status))
        written.append(
            {
                "meeting_id": request.meeting_id,
                "sentence_id": request.sentence_id,
                "language": request.language,
                "revision": request.revision,
                "status": str(status),
                "text": translation.text if translation else None,
                "engine": translation.engine if translation else None,
                "reason": translation.reason if translation else answer.reason,
            }
        )
    if not written:
        return
    versions = {
        (str(row.meeting_id), row.sentence_id, row.language): row.version
        for row in connection.execute(
            text(
                "update captions c set status = r.status, text = r.text, engine = r.engine, reason = r.reason,"
                " version = c.version + (r.status <> 'owed')::int,"
                " due_at = case when r.status = 'owed' then now() end"
                " from jsonb_to_recordset(cast(:rows as jsonb)) as r(meeting_id uuid, sentence_id text, language text,"
                " status text, text text, engine text, reason text)"
                " where c.meeting_id = r.meeting_id and c.sentence_id = r.sentence_id and c.language = r.language"
                " returning c.meeting_id, c.sentence_id, c.language, c.version"
            ),
            _rows(written),
        )
    }
    for row in written:
        meeting_id = row.pop("meeting_id")
        version = versions[meeting_id, row["sentence_id"], row["language"]]
        ledger.event(meeting_id, "caption", {**row, "version": version})


def _is_id(meeting_id: str | None) -> TypeGuard[str]:
    return meeting_id is not None and _ID.fullmatch(meeting_id) is not None


def _write_dead(connection: Connection, lane_id: str, dead: Sequence[DeadLetter], ledger: _Ledger) -> None:
    if dead:
        rows = [
            {
                "team_id": letter.team_id,
                "meeting_id": letter.meeting_id if _is_id(letter.meeting_id) else None,
                "log_id": letter.log_id,
                "reason": letter.reason,
                "fields": letter.fields,
            }
            for letter in dead
        ]
        # Read again after a crash, a letter is neither kept nor counted twice.
        kept = connection.execute(
            text(
                "insert into dead_letters (team_id, meeting_id, lane_id, log_id, reason, fields)"
                " select t.id, r.meeting_id, :lane, r.log_id, r.reason, r.fields"
                " from jsonb_to_recordset(cast(:rows as jsonb))"
                " as r(team_id text, meeting_id uuid, log_id text, reason text, fields jsonb)"
                " left join teams t on t.id = r.team_id on conflict (lane_id, log_id) do nothing returning meeting_id"
            ),
            {"lane": lane_id, **_rows(rows)},
        )
        for row in kept:
            ledger.count(str(row.meeting_id), "dead")


def _when(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)


def _write_meetings(connection: Connection, changes: Sequence[MeetingChange]) -> None:
    if not changes:
        return
    connection.execute(
        text(
            "update meetings set n = :n, log_id = :log_id, accepted = greatest(accepted, :n),"
            # A meeting may be paused before its lane has seen it begin.
            " state = cast(:state as jsonb),"
            " status = case when :status = 'live' and status = 'paused' then status else coalesce(:status, status) end,"
            " generation = coalesce(:generation, generation),"
            " config = coalesce(cast(:config as jsonb), config), began_at = coalesce(began_at, :began_at),"
            " ended_at = case when :status = 'live' then null else coalesce(:ended_at, ended_at) end,"
            " end_reason = case when :status = 'live' then null else coalesce(:end_reason, end_reason) end"
            " where id = :id"
        ),
        [
            {
                "id": UUID(c.meeting_id),
                "n": c.n,
                "log_id": c.log_id,
                "state": c.state,
                "status": c.status,
                "generation": c.generation,
                "config": c.config.model_dump_json() if c.config else None,
                "began_at": _when(c.began_at),
                "ended_at": _when(c.ended_at),
                "end_reason": c.end_reason,
            }
            for c in changes
        ],
    )
