"""The search by meaning: the windows whose vectors are nearest to that of a question.

It compares all vectors of a meeting or a team and uses no index, so it misses none. pgvector compares some 2,000 a millisecond.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from operators.chat.sentence_ranking import WindowDistance
from storage.retrieval.due_embeddings import format_vector

MAX_TEAM_WINDOWS = 60
"""Most windows of all meetings of a team that are found by meaning."""

_DISTANCES = text(
    "select sentence_id, window_embedding <=> cast(:vector as halfvec) as window_distance,"
    " sentence_embedding <=> cast(:vector as halfvec) as sentence_distance"
    " from sentence_windows where meeting_id = :meeting_id and model = :model"
)
_SEARCH_TEAM = text(
    "select meeting_id, sentence_ids from sentence_windows"
    " where team_id = :team_id and model = :model and window_embedding is not null"
    " order by window_embedding <=> cast(:vector as halfvec), meeting_id, sentence_id limit :limit"
)


async def read_distances(
    conn: AsyncConnection, meeting_id: UUID, model: str, vector: Sequence[float]
) -> dict[str, WindowDistance]:
    """Read how far a meeting's windows are from a question.

    Args:
        model: the model of the vector; windows of other models are left out.
        vector: the question's vector.

    Returns:
        By the id of a window's first sentence, its distance.
    """
    rows = await conn.execute(_DISTANCES, {"meeting_id": meeting_id, "model": model, "vector": format_vector(vector)})
    return {row.sentence_id: WindowDistance(row.window_distance, row.sentence_distance) for row in rows}


async def search_team_windows(
    conn: AsyncConnection, team_id: str, model: str, vector: Sequence[float]
) -> list[tuple[UUID, tuple[str, ...]]]:
    """Find the windows of all meetings of a team that are nearest to a question.

    Args:
        model: the model of the vector; windows of other models don't count.
        vector: the question's vector.

    Returns:
        Each window's meeting and sentences, nearest first; at most `MAX_TEAM_WINDOWS`.
    """
    rows = await conn.execute(
        _SEARCH_TEAM,
        {"team_id": team_id, "model": model, "vector": format_vector(vector), "limit": MAX_TEAM_WINDOWS},
    )
    return [(row.meeting_id, tuple(row.sentence_ids)) for row in rows]
