"""The question answerer: answers questions about meetings, and has the claims of each answer checked.

An answer names sentences. What doesn't exist is removed, and a claim whose sentences don't say so is marked. An outage of the
model is waited out for `MAX_OUTAGE_S`, because a person waits for the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.jobs.due_calls import DueCalls, describe_failure
from flows.jobs.question_sources import EmbedQuestion, QuestionSources, find_sources
from operators.chat.claims import CitedAnswer, SourceSentence, apply_verdicts, resolve_claims
from operators.chat.question_request import (
    MAX_EARLIER_TURNS,
    Turn,
    answer_request,
    check_request,
    transcript_room,
)
from operators.errors import InvalidInputError
from operators.insight_requests import Insight, InsightRequest
from operators.token_quota import QuotaExceededError
from storage.cancellation import raise_if_cancelled
from storage.chat.chat_records import AnswerOutcome, TranscriptReach
from storage.chat.due_questions import (
    DueQuestion,
    Progress,
    read_due_questions,
    read_earlier_turns,
    read_progress,
    write_answer,
    write_question_failure,
)

MAX_CALLS = 8
"""Questions that are answered at once."""
CALL_TIMEOUT_S = 120.0
"""Timeout of one answer, in seconds."""
CHECK_TIMEOUT_S = 60.0
"""Timeout of the check of an answer's claims, in seconds."""
MAX_OUTAGE_S = 120.0
"""Seconds since the question for which outages are waited out. Then there is no answer."""
MAX_FAILURES = 2
"""Failures, outages aside, after which there is no answer."""
PAUSE_S = 2.0
"""Seconds before another attempt."""
POLL_S = 0.25
"""Seconds between two checks for due questions."""
SMALLER_ROOM = 3
"""Divisor of the transcript's room for a second attempt, if the model's window is smaller than expected."""

Answer = Callable[[InsightRequest], Awaitable[Insight]]

log = structlog.get_logger(__name__)


class QuestionAnswerer(DueCalls[DueQuestion]):
    """Answers due questions.

    Args:
        database: the database.
        answer: the chat service. It raises `UnavailableError` during an outage.
        embed: returns the vector of a question; None if no engine can embed it now. Then only its words are searched for.
    """

    def __init__(self, database: AsyncEngine, answer: Answer, embed: EmbedQuestion) -> None:
        super().__init__(MAX_CALLS, POLL_S)
        self._database, self._answer, self._embed = database, answer, embed

    async def _read_due(self, except_ids: Sequence[UUID], limit: int) -> list[DueQuestion]:
        async with self._database.connect() as conn:
            return await read_due_questions(conn, except_ids, limit)

    async def _process(self, item: DueQuestion) -> None:
        question = item
        async with self._database.connect() as conn:
            # The progress comes first: at worst, the transcript has more than it says.
            progress = await read_progress(conn, question)
            earlier = await read_earlier_turns(conn, question, MAX_EARLIER_TURNS)
            # A question such as "When?" is about what the one before it was about.
            query = " ".join([*(turn.question for turn in earlier[-1:]), question.question])
        answer, insights = CitedAnswer(), list[Insight]()
        room = transcript_room(question.question, earlier)
        sources = await find_sources(self._database, self._embed, question, query, room)
        lines, reach = await asyncio.to_thread(_select, question, sources, progress, room)
        if lines:
            insight = await self._ask(question, lines, earlier, reach)
            if insight.part_count > 1:
                # The numbers of the lines don't survive the summary of a split transcript.
                lines, reach = await asyncio.to_thread(_select, question, sources, progress, room // SMALLER_ROOM)
                insight = await self._ask(question, lines, earlier, reach)
            if insight.part_count > 1:
                raise InvalidInputError("transcript", "it is too long for the model's window; ask about a part of it")
            answer, insights = await self._check(question, resolve_claims(insight.data, lines), insight)
        outcome = _find_outcome(answer, is_empty=sources.is_empty, is_excerpt=_is_excerpt(question, reach))
        async with self._database.begin() as conn:
            await write_answer(conn, question.id, answer, outcome, insights, reach)

    async def _record_failure(self, item: DueQuestion, error: BaseException) -> None:
        failure = describe_failure(error)
        waited_s = (datetime.now(UTC) - item.created_at).total_seconds()
        is_last = waited_s > MAX_OUTAGE_S if failure.is_outage else item.failures + 1 >= MAX_FAILURES
        # What can never succeed is not tried again, and nobody waits until tomorrow.
        is_last = is_last or isinstance(error, InvalidInputError | QuotaExceededError)
        async with self._database.begin() as conn:
            await write_question_failure(
                conn, item.id, failure.reason, PAUSE_S, counts=not failure.is_outage, is_last=is_last
            )

    async def _ask(
        self, question: DueQuestion, lines: Sequence[SourceSentence], earlier: Sequence[Turn], reach: TranscriptReach
    ) -> Insight:
        request = answer_request(
            question.team_id,
            str(question.conversation_id),
            question.question,
            lines,
            question.language or "und",
            earlier,
            is_excerpt=_is_excerpt(question, reach),
        )
        async with asyncio.timeout(CALL_TIMEOUT_S):
            return await self._answer(request)

    async def _check(
        self, question: DueQuestion, answer: CitedAnswer, insight: Insight
    ) -> tuple[CitedAnswer, list[Insight]]:
        """Return an answer with its claims checked, and the model's responses."""
        if not answer.claims:
            return answer, [insight]
        conversation = str(question.conversation_id)
        request = check_request(
            question.team_id, conversation, question.question, answer.claims, question.language or "und"
        )
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                verdict = await self._answer(request)
        except (asyncio.CancelledError, Exception) as error:  # noqa: BLE001 - the claims are shown as unchecked
            raise_if_cancelled()
            log.warning("claims not checked", conversation=conversation, error=type(error).__name__)
            return answer, [insight]
        if verdict.part_count > 1:
            log.warning("claims not checked", conversation=conversation, error="they don't fit the model's window")
            return answer, [insight, verdict]
        return apply_verdicts(answer, verdict.data["supported"]), [insight, verdict]


def _is_excerpt(question: DueQuestion, reach: TranscriptReach) -> bool:
    # What a search found is always a part.
    is_part = question.meeting_id is None or bool(question.sentence_ids) or question.last_minutes is not None
    return is_part or reach.read < reach.sentences


def _find_outcome(answer: CitedAnswer, *, is_empty: bool, is_excerpt: bool) -> AnswerOutcome:
    if answer.claims:
        return "answered"
    if answer.dropped_claims:
        return "no_source"
    if is_empty:
        return "no_sentence"
    return "not_found" if is_excerpt else "not_said"


def _select(
    question: DueQuestion, sources: QuestionSources, progress: Progress, room: int
) -> tuple[list[SourceSentence], TranscriptReach]:
    """Select what the model reads. Ranking a long transcript takes a while, so this runs in a thread."""
    lines = sources.select(room)
    is_one_meeting = question.meeting_id is not None
    reach = TranscriptReach(
        until_s=max((each.sentence.end for each in sources.sentences), default=0.0) if is_one_meeting else None,
        sentences=len(sources.sentences),
        read=len(lines),
        is_live=progress.is_live,
        behind=progress.behind,
    )
    return lines, reach
