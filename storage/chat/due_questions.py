"""Due questions: pending ones that the maintenance actor answers. A query, not a queue, so no crash loses one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from operators.chat.claims import CitedAnswer, Support
from operators.chat.question_request import CHAT_PROMPT_VERSION, Turn
from operators.errors import InvalidInputError
from operators.insight_requests import Insight
from operators.stream import Sentence, SentenceBoundary
from storage.chat.chat_queries import OUTCOME_TEXTS
from storage.chat.chat_records import AnswerOutcome, TranscriptReach
from storage.postgres.transcript_search import SEARCH_TIMEOUT_MS, limit_search
from storage.records import OPEN_STATUSES

MAX_TEAM_SENTENCES = 400
"""Most sentences of all meetings that a question is answered from."""
MAX_SEARCH_WORDS = 40
"""Most words of a question that are searched for."""
NO_SUPPORT_TEXT = OUTCOME_TEXTS["no_source"]
"""What a later request has in place of an answer of which nothing is supported."""

_SELECT_DUE = text(
    "select m.id, m.conversation_id, c.team_id, c.meeting_id, c.sentence_ids, c.last_minutes, m.number, m.question, m.language,"
    " m.failures, m.created_at from chat_messages m join conversations c on c.id = m.conversation_id"
    " where m.due_at <= now() and m.id <> all(:except_ids) order by m.due_at, m.id limit :limit"
)
_SELECT_TURNS = text(
    "select question, claims, outcome from chat_messages where conversation_id = :conversation_id and number < :number"
    " and status = 'ready' order by number desc limit :limit"
)
_SELECT_PROGRESS = text(
    "select coalesce(sum(last_accepted - last_committed), 0)::bigint as behind,"
    " coalesce(bool_or(status = any(:open)), false) as is_live from meetings"
    " where team_id = :team_id and (cast(:meeting_id as uuid) is null or id = :meeting_id)"
)
_TEAM_SENTENCE_COLUMNS = (
    's.meeting_id, m.title as meeting_title, s.id, s.revision, s.speaker, s.speaker_id, s.text, s.start, s."end", s.boundary,'
    " s.language, s.first_emitted, s.first_text, s.original_text, s.original_text is not null as corrected"
)
_SELECT_OF_TEAM = text(
    # Any word of the question may match, and rare words count more. Full-text search would split no Chinese, Japanese or Thai.
    "with matched as (select s.meeting_id, s.id,"  # noqa: S608 - a constant
    " array(select pattern from unnest(cast(:patterns as text[])) as pattern where s.text ilike pattern) as patterns"
    " from sentences s where s.team_id = :team_id and not s.retracted and s.text ilike any(:patterns)),"
    " weights as (select pattern, ln(1 + (select count(*) from matched)::float / count(*)) as weight"
    " from matched, unnest(patterns) as pattern group by pattern),"
    " best as (select m.meeting_id, m.id, (select sum(weight) from weights where pattern = any(m.patterns)) as score"
    " from matched m order by score desc, m.meeting_id desc, m.id limit :limit)"
    f" select {_TEAM_SENTENCE_COLUMNS} from best"
    " join sentences s on s.meeting_id = best.meeting_id and s.id = best.id join meetings m on m.id = s.meeting_id"
    " order by best.score desc, best.meeting_id desc, best.id"
)
_SELECT_BY_ID = text(
    f"select {_TEAM_SENTENCE_COLUMNS}"  # noqa: S608 - a constant
    " from unnest(cast(:meeting_ids as uuid[]), cast(:sentence_ids as text[])) as wanted (meeting_id, sentence_id)"
    " join sentences s on s.meeting_id = wanted.meeting_id and s.id = wanted.sentence_id join meetings m on m.id = s.meeting_id"
    " where s.team_id = :team_id and not s.retracted"
)
_HAS_SENTENCE = text("select exists (select 1 from sentences where team_id = :team_id and not retracted)")
_WRITE = text(
    "update chat_messages set status = 'ready', claims = cast(:claims as jsonb), outcome = :outcome,"
    " dropped_claims = :dropped_claims, dropped_sentences = :dropped_sentences, reach = cast(:reach as jsonb), engine = :engine,"
    " prompt_version = :prompt_version, prompt_tokens = :prompt_tokens, completion_tokens = :completion_tokens, reason = null,"
    " due_at = null, finished_at = now() where id = :id and status = 'pending'"
)
_WRITE_FAILURE = text(
    "update chat_messages set failures = failures + :counted, reason = :reason,"
    " status = case when :is_last then 'failed' else status end, finished_at = case when :is_last then now() end,"
    " due_at = case when :is_last then null else now() + :wait * interval '1 s' end where id = :id and status = 'pending'"
)


@dataclass(frozen=True, slots=True)
class DueQuestion:
    """A question to answer. Without a meeting it is about all meetings of the team."""

    id: UUID
    conversation_id: UUID
    team_id: str
    meeting_id: UUID | None
    sentence_ids: tuple[str, ...]
    last_minutes: float | None
    number: int
    question: str
    language: str | None
    failures: int
    created_at: datetime

    @property
    def key(self) -> UUID:
        """The question's id."""
        return self.id


@dataclass(frozen=True, slots=True)
class TeamSentence:
    """A sentence of one of a team's meetings."""

    meeting_id: UUID
    meeting_title: str
    sentence: Sentence


@dataclass(frozen=True, slots=True)
class Progress:
    """Whether a meeting is going on, and the number of accepted entries that are not processed yet."""

    is_live: bool
    behind: int


async def read_due_questions(conn: AsyncConnection, except_ids: Sequence[UUID], limit: int) -> list[DueQuestion]:
    """Read the next due questions of all teams, the oldest first.

    Args:
        except_ids: questions that are being answered.
        limit: most questions to return.
    """
    rows = await conn.execute(_SELECT_DUE, {"except_ids": list(except_ids), "limit": limit})
    due: list[DueQuestion] = []
    for row in rows.mappings():
        fields: dict[str, Any] = dict(row)
        fields["sentence_ids"] = tuple(fields["sentence_ids"])
        due.append(DueQuestion(**fields))
    return due


async def read_earlier_turns(conn: AsyncConnection, question: DueQuestion, limit: int) -> list[Turn]:
    """Read the last answered questions of a conversation before a question, oldest first.

    Only supported claims are part of the answers, without the ids of their sentences.
    """
    rows = await conn.execute(
        _SELECT_TURNS,
        {"conversation_id": question.conversation_id, "number": question.number, "limit": limit},
    )
    return [Turn(row.question, _supported_text(row.claims, row.outcome)) for row in reversed(rows.all())]


async def read_progress(conn: AsyncConnection, question: DueQuestion) -> Progress:
    """Read how far the meetings of a question are processed."""
    row = (
        await conn.execute(
            _SELECT_PROGRESS,
            {"team_id": question.team_id, "meeting_id": question.meeting_id, "open": list(OPEN_STATUSES)},
        )
    ).one()
    return Progress(row.is_live, row.behind)


async def search_team(
    conn: AsyncConnection, team_id: str, words: Sequence[str], limit: int = MAX_TEAM_SENTENCES
) -> list[TeamSentence]:
    """Find sentences of all meetings of a team that have a word. Those with more or rarer words come first.

    Args:
        words: words without punctuation, the first `MAX_SEARCH_WORDS` of which count.
        limit: most sentences to return.

    Raises:
        InvalidInputError: the search took longer than `SEARCH_TIMEOUT_MS`. The transaction has ended.
    """
    # A letter of the alphabet is in nearly every sentence; a Chinese character is a word.
    wanted = [word for word in dict.fromkeys(words) if len(word) > 1 or not word.isascii() or word.isdigit()]
    patterns = [f"%{word}%" for word in wanted[:MAX_SEARCH_WORDS]]
    if not patterns:
        return []
    parameters = {"team_id": team_id, "patterns": patterns, "limit": limit}
    too_long = InvalidInputError("question", "the search in all meetings took too long; ask about one meeting")
    async with limit_search(conn, SEARCH_TIMEOUT_MS, too_long):
        rows = await conn.execute(_SELECT_OF_TEAM, parameters)
    return [_to_team_sentence(row) for row in rows.mappings()]


async def read_team_sentences(
    conn: AsyncConnection, team_id: str, keys: Collection[tuple[UUID, str]]
) -> list[TeamSentence]:
    """Read sentences of a team's meetings. Unknown and retracted ones are left out.

    Args:
        keys: the meeting and the id of each sentence.
    """
    parameters = {
        "team_id": team_id,
        "meeting_ids": [meeting_id for meeting_id, _ in keys],
        "sentence_ids": [sentence_id for _, sentence_id in keys],
    }
    return [_to_team_sentence(row) for row in (await conn.execute(_SELECT_BY_ID, parameters)).mappings()]


async def has_sentence(conn: AsyncConnection, team_id: str) -> bool:
    """Tell whether anything was said in the team's meetings."""
    return (await conn.execute(_HAS_SENTENCE, {"team_id": team_id})).scalar_one()


async def write_answer(
    conn: AsyncConnection,
    question_id: UUID,
    answer: CitedAnswer,
    outcome: AnswerOutcome,
    insights: Sequence[Insight],
    reach: TranscriptReach,
) -> None:
    """Write an answer. A question that was deleted meanwhile stays deleted.

    Args:
        answer: the answer.
        outcome: whether it has claims, or why not.
        insights: the responses of the model, the answer first.
        reach: how far the transcript reached.
    """
    claims = [
        {
            "text": claim.text,
            "sentences": [asdict(source) for source in claim.sources],
            "support": claim.support.value,
        }
        for claim in answer.claims
    ]
    await conn.execute(
        _WRITE,
        {
            "id": question_id,
            "claims": orjson.dumps(claims).decode(),
            "outcome": outcome,
            "dropped_claims": answer.dropped_claims,
            "dropped_sentences": answer.dropped_sources,
            "reach": reach.model_dump_json(),
            "engine": insights[0].engine if insights else None,
            "prompt_version": CHAT_PROMPT_VERSION,
            "prompt_tokens": sum(insight.prompt_tokens for insight in insights),
            "completion_tokens": sum(insight.completion_tokens for insight in insights),
        },
    )


async def write_question_failure(
    conn: AsyncConnection, question_id: UUID, reason: str, wait_s: float, *, counts: bool, is_last: bool
) -> None:
    """Record that a question could not be answered, and when it is tried again.

    Args:
        reason: why.
        wait_s: seconds until the next attempt.
        counts: whether it counts as a failure.
        is_last: whether it is not tried again: the answer has failed.
    """
    await conn.execute(
        _WRITE_FAILURE,
        {"id": question_id, "reason": reason, "wait": wait_s, "counted": int(counts), "is_last": is_last},
    )


def _to_team_sentence(row: RowMapping) -> TeamSentence:
    fields: dict[str, Any] = dict(row)
    meeting_id, title = fields.pop("meeting_id"), fields.pop("meeting_title")
    fields["boundary"] = SentenceBoundary(fields["boundary"])
    return TeamSentence(meeting_id, title, Sentence(**fields))


def _supported_text(claims: Sequence[Mapping[str, Any]], outcome: str) -> str:
    if not claims:
        return OUTCOME_TEXTS[outcome]
    return " ".join(claim["text"] for claim in claims if claim["support"] == Support.SUPPORTED) or NO_SUPPORT_TEXT
