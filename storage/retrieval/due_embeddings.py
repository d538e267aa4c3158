"""Due embeddings: meetings with sentences that have no vector yet. A query, not a queue, so no crash loses one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from operators.chat.sentence_windows import SentenceWindow

_SELECT_DUE = text(
    # A meeting that is going on precedes an archive that is embedded for the first time.
    "select m.id, m.team_id, m.seq, coalesce(e.failures, 0) as failures from meetings m"
    " left join embedded_meetings e on e.meeting_id = m.id"
    " where (m.seq > coalesce(e.seq, 0) or (cast(:model as text) is not null and e.model <> :model))"
    " and coalesce(e.due_at <= now(), true) and m.id <> all(:except_ids)"
    " order by m.ended_at is not null, e.due_at nulls first, m.id desc limit :limit"
)
_SELECT_DIGESTS = text(
    "select sentence_id, digest from sentence_windows where meeting_id = :meeting_id and model = :model"
)
_DELETE_OTHERS = text(
    "delete from sentence_windows where meeting_id = :meeting_id and sentence_id <> all(:sentence_ids)"
)
_WRITE = text(
    "insert into sentence_windows (meeting_id, sentence_id, team_id, sentence_ids, digest, model, sentence_embedding,"
    " window_embedding) values (:meeting_id, :sentence_id, :team_id, :sentence_ids, :digest, :model,"
    " cast(:sentence_embedding as halfvec), cast(:window_embedding as halfvec))"
    " on conflict (meeting_id, sentence_id) do update set sentence_ids = excluded.sentence_ids, digest = excluded.digest,"
    " model = excluded.model, sentence_embedding = excluded.sentence_embedding, window_embedding = excluded.window_embedding"
)
_RECORD = text(
    "insert into embedded_meetings (meeting_id, team_id, seq, model, due_at)"
    " values (:meeting_id, :team_id, :seq, :model, now() + :wait * interval '1 s')"
    " on conflict (meeting_id) do update set seq = excluded.seq, model = excluded.model, failures = 0, due_at = excluded.due_at"
)
_RECORD_FAILURE = text(
    "insert into embedded_meetings (meeting_id, team_id, seq, failures, due_at)"
    " values (:meeting_id, :team_id, -1, :counted, now() + :wait * interval '1 s')"
    " on conflict (meeting_id) do update set failures = embedded_meetings.failures + :counted, due_at = excluded.due_at"
)


@dataclass(frozen=True, slots=True)
class DueMeeting:
    """A meeting with sentences to embed. `seq` is that of its last live event."""

    id: UUID
    team_id: str
    seq: int
    failures: int

    @property
    def key(self) -> UUID:
        """The meeting's id."""
        return self.id


async def read_due_meetings(
    conn: AsyncConnection, model: str | None, except_ids: Sequence[UUID], limit: int
) -> list[DueMeeting]:
    """Read the next meetings of all teams with sentences to embed. Meetings that are going on come first.

    Args:
        model: the model of new vectors; None if it isn't known yet. Meetings of another model are due.
        except_ids: meetings that are being embedded.
        limit: most meetings to return.
    """
    parameters = {"model": model, "except_ids": list(except_ids), "limit": limit}
    return [DueMeeting(*row) for row in await conn.execute(_SELECT_DUE, parameters)]


async def read_digests(conn: AsyncConnection, meeting_id: UUID, model: str) -> dict[str, str]:
    """Read the digests of a meeting's windows with a vector of a model, by the id of the first sentence."""
    rows = await conn.execute(_SELECT_DIGESTS, {"meeting_id": meeting_id, "model": model})
    return {row.sentence_id: row.digest for row in rows}


async def write_windows(
    conn: AsyncConnection,
    meeting: DueMeeting,
    model: str,
    windows: Sequence[SentenceWindow],
    vectors: Sequence[Sequence[float]],
) -> None:
    """Write the vectors of a meeting's windows.

    Args:
        meeting: the meeting.
        model: the vectors' model.
        windows: the windows; at least one.
        vectors: a vector for each of the windows' texts, in order.
    """
    remaining = iter(vectors)
    pairs = [[format_vector(next(remaining)) for _ in window.texts] for window in windows]
    await conn.execute(
        _WRITE,
        [
            {
                "meeting_id": meeting.id,
                "sentence_id": window.sentence_ids[0],
                "team_id": meeting.team_id,
                "sentence_ids": list(window.sentence_ids),
                "digest": window.digest,
                "model": model,
                "sentence_embedding": pair[0],
                "window_embedding": pair[1] if len(pair) > 1 else None,
            }
            for window, pair in zip(windows, pairs, strict=True)
        ],
    )


async def record_embedded(
    conn: AsyncConnection, meeting: DueMeeting, model: str | None, windows: Sequence[SentenceWindow], pause_s: float
) -> None:
    """Record that all windows of a meeting have a vector, and delete those that are no longer in its transcript.

    Args:
        meeting: the meeting, as it was before its sentences were read.
        model: the vectors' model; None for a meeting without sentences.
        windows: all windows of the meeting.
        pause_s: seconds before later sentences are embedded.
    """
    await conn.execute(
        _DELETE_OTHERS, {"meeting_id": meeting.id, "sentence_ids": [window.sentence_ids[0] for window in windows]}
    )
    values = {"meeting_id": meeting.id, "team_id": meeting.team_id, "seq": meeting.seq, "model": model, "wait": pause_s}
    await conn.execute(_RECORD, values)


async def record_embedding_failure(conn: AsyncConnection, meeting: DueMeeting, wait_s: float, *, counts: bool) -> None:
    """Record that a meeting could not be embedded, and when it is tried again.

    Args:
        wait_s: seconds until the next attempt.
        counts: whether it counts as a failure.
    """
    values = {"meeting_id": meeting.id, "team_id": meeting.team_id, "wait": wait_s, "counted": int(counts)}
    await conn.execute(_RECORD_FAILURE, values)


def format_vector(vector: Sequence[float]) -> str:
    """Format a vector as pgvector reads it. Six digits are more than half precision holds."""
    return f"[{','.join(f'{value:.6g}' for value in vector)}]"
