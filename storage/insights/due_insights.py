"""Due insights: pending ones that the maintenance actor generates. A query, not a queue, so no crash loses one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from operators.insight_requests import Insight
from operators.insights.evidence import EvidentRows
from storage.insights.insight_records import INSIGHT_PROMPT_VERSION

_SELECT_DUE = text(
    "select id, team_id, meeting_id, template, template_version, template_content, language, instructions, failures from"
    " (select *, row_number() over (partition by meeting_id order by due_at, id) as turn from insights"
    " where due_at <= now() and id <> all(:except_ids)) i order by turn, due_at, id limit :limit"
)
_WRITE = text(
    "update insights set status = 'ready', text = :text, rows = cast(:rows as jsonb), dropped_rows = :dropped_rows,"
    " dropped_sentences = :dropped_sentences, transcript_seq = :transcript_seq, engine = :engine,"
    " prompt_version = :prompt_version, prompt_tokens = :prompt_tokens, completion_tokens = :completion_tokens,"
    " part_count = :part_count, finish = :finish, reason = null, due_at = null, finished_at = now()"
    " where id = :id and status = 'pending'"
)
_WRITE_FAILURE = text(
    "update insights set failures = failures + :counted, reason = :reason,"
    " status = case when failures + :counted < :most then status else 'failed' end,"
    " finished_at = case when failures + :counted < :most then null else now() end,"
    " due_at = case when failures + :counted < :most then now() + :wait * interval '1 s' end"
    " where id = :id and status = 'pending'"
)


@dataclass(frozen=True, slots=True)
class DueInsight:
    """An insight to generate. `template_content` is the template as it was when the insight was requested."""

    id: UUID
    team_id: str
    meeting_id: UUID
    template: str
    template_version: int
    template_content: dict[str, Any]
    language: str
    instructions: str
    failures: int

    @property
    def key(self) -> UUID:
        """The insight's id."""
        return self.id


async def read_due_insights(conn: AsyncConnection, except_ids: Sequence[UUID], limit: int) -> list[DueInsight]:
    """Read the next due insights of all teams. Meetings take turns.

    Args:
        except_ids: insights that are being generated.
        limit: most insights to return.
    """
    rows = await conn.execute(_SELECT_DUE, {"except_ids": list(except_ids), "limit": limit})
    return [DueInsight(*row[:9]) for row in rows]


async def write_insight(
    conn: AsyncConnection, insight_id: UUID, insight: Insight, evidence: EvidentRows | None, transcript_seq: int
) -> None:
    """Write the model's answer. An insight that was deleted meanwhile stays deleted.

    Args:
        insight: the answer.
        evidence: its rows, if the template asks for rows.
        transcript_seq: `seq` of the meeting's last live event when the transcript was read.
    """
    await conn.execute(
        _WRITE,
        {
            "id": insight_id,
            "text": insight.text.strip() if evidence is None else None,
            "rows": None if evidence is None else orjson.dumps(evidence.rows).decode(),
            "dropped_rows": 0 if evidence is None else evidence.dropped_rows,
            "dropped_sentences": 0 if evidence is None else evidence.dropped_sentences,
            "transcript_seq": transcript_seq,
            "engine": insight.engine,
            "prompt_version": INSIGHT_PROMPT_VERSION,
            "prompt_tokens": insight.prompt_tokens,
            "completion_tokens": insight.completion_tokens,
            "part_count": insight.part_count,
            "finish": insight.finish,
        },
    )


async def write_insight_failure(
    conn: AsyncConnection, insight_id: UUID, reason: str, wait_s: float, *, counts: bool, max_failures: int
) -> None:
    """Record that an insight could not be generated, and when it is tried again.

    Args:
        reason: why.
        wait_s: seconds until the next attempt.
        counts: whether the failure counts. The last one makes the insight `failed`.
        max_failures: number of failures that count.
    """
    await conn.execute(
        _WRITE_FAILURE,
        {"id": insight_id, "reason": reason, "wait": wait_s, "counted": int(counts), "most": max_failures},
    )
