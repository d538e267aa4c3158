"""The insight writer: generates requested insights, a few at a time, each by itself.

An outage of the insight service is waited out. Any other failure is counted, and after `MAX_FAILURES` of them the insight has
failed, with the reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from flows.jobs.due_calls import DueCalls, OutagePauses, describe_failure
from operators.errors import InvalidInputError, MalformedResponseError
from operators.insight_requests import Insight, InsightRequest, InsightRole
from operators.insights.evidence import (
    NUMBERED_LINES_INSTRUCTION,
    EvidentRows,
    resolve_rows,
    rows_schema,
    transcript_lines,
)
from operators.insights.templates import InsightTemplate, TemplateFacts, parse_template, render_prompts
from operators.language_names import language_name
from operators.stream import Sentence
from storage.insights.due_insights import DueInsight, read_due_insights, write_insight, write_insight_failure
from storage.postgres import transcript_queries

MAX_CALLS = 3
"""Insights that are generated at once."""
CALL_TIMEOUT_S = 900.0
"""Timeout of one insight, in seconds. A long transcript takes many calls of the model."""
MAX_FAILURES = 3
"""Failures, outages aside, after which an insight has failed."""
FIRST_PAUSE_S, PAUSE_FACTOR = 2.0, 4.0
"""Seconds before the second attempt, and the factor by which each further pause grows."""
MAX_OUTAGE_PAUSE_S = 15.0
"""Longest pause before an insight is tried again during an outage, in seconds. The first pause is one second."""
POLL_S = 0.5
"""Seconds between two checks for due insights."""

Answer = Callable[[InsightRequest], Awaitable[Insight]]


class InsightWriter(DueCalls[DueInsight]):
    """Generates due insights, fairly between meetings.

    Args:
        database: the database.
        answer: the insight service. It raises `UnavailableError` during an outage.
        is_configured: whether an engine serves insights. Requests wait until one does.
    """

    def __init__(self, database: AsyncEngine, answer: Answer, is_configured: Callable[[], bool] = lambda: True) -> None:
        super().__init__(MAX_CALLS, POLL_S)
        self._database, self._answer, self._is_configured = database, answer, is_configured
        self._pauses = OutagePauses(MAX_OUTAGE_PAUSE_S)

    async def _read_due(self, except_ids: Sequence[UUID], limit: int) -> list[DueInsight]:
        if not self._is_configured():
            return []
        async with self._database.connect() as conn:
            return await read_due_insights(conn, except_ids, limit)

    async def _process(self, item: DueInsight) -> None:
        template = parse_template(item.template, item.template_content, version=item.template_version)
        seq, sentences = await self._read_transcript(item)
        async with asyncio.timeout(CALL_TIMEOUT_S):
            insight = await self._answer(self._build_request(item, template, sentences))
        evidence = self._find_evidence(template, insight, sentences)
        async with self._database.begin() as conn:
            await write_insight(conn, item.id, insight, evidence, seq)
        self._pauses.forget(item.key)

    async def _read_transcript(self, due: DueInsight) -> tuple[int, list[Sentence]]:
        async with self._database.connect() as conn:
            # The number comes first: at worst, the transcript has more than it says.
            seq = await transcript_queries.read_last_seq(conn, due.team_id, due.meeting_id)
            sentences = await transcript_queries.read_sentences(conn, due.team_id, due.meeting_id)
        if not sentences:
            raise InvalidInputError("the meeting", "has no sentence yet")
        return seq, sentences

    def _build_request(self, due: DueInsight, template: InsightTemplate, sentences: list[Sentence]) -> InsightRequest:
        schema = rows_schema(template.expected_output_format)
        system, task = render_prompts(
            template,
            TemplateFacts(
                speakers=tuple(dict.fromkeys(sentence.speaker for sentence in sentences)),
                duration_s=max(sentence.end for sentence in sentences) - sentences[0].start,
                language=language_name(due.language),
                instructions=due.instructions,
            ),
        )
        return InsightRequest(
            team_id=due.team_id,
            meeting_id=str(due.meeting_id),
            role=InsightRole.INSIGHT,
            instructions=system if schema is None else f"{system}\n{NUMBERED_LINES_INSTRUCTION}".strip(),
            transcript_lines=transcript_lines(sentences, numbered=schema is not None),
            task=task,
            language=due.language,
            schema=schema,
            max_tokens=template.default_max_tokens,
            temperature=template.default_temperature,
        )

    def _find_evidence(
        self, template: InsightTemplate, insight: Insight, sentences: list[Sentence]
    ) -> EvidentRows | None:
        if template.expected_output_format == "markdown":
            if not insight.text.strip():
                raise MalformedResponseError("the model gave no text")
            return None
        return resolve_rows(insight.data, [sentence.id for sentence in sentences])

    async def _record_failure(self, item: DueInsight, error: BaseException) -> None:
        failure = describe_failure(error)
        # A timeout after so long is no passing outage.
        counts = not failure.is_outage or isinstance(error, TimeoutError)
        wait_s = FIRST_PAUSE_S * PAUSE_FACTOR**item.failures if counts else self._pauses.next_s(item.key)
        # What can never succeed is not tried again.
        max_failures = 1 if isinstance(error, InvalidInputError) else MAX_FAILURES
        async with self._database.begin() as conn:
            await write_insight_failure(conn, item.id, failure.reason, wait_s, counts=counts, max_failures=max_failures)
