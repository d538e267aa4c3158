"""Queries of the API: conversations, their questions and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid6 import uuid7

from operators.errors import ConflictError, NotFoundError
from storage.chat.chat_records import AnswerClaim, ChatMessage, CitedSentence, Conversation
from storage.postgres.meeting_transaction import rows_parameter

MAX_MESSAGES = 200
"""Most questions of a conversation."""
MAX_CONVERSATIONS = 200
"""Most conversations of a page."""
OUTCOME_TEXTS = {
    "not_said": "The meeting doesn't say.",
    "not_found": "The sentences that were read don't say.",
    "no_sentence": "Nothing was said yet.",
    "no_source": "There is no answer that names what was said.",
}
"""The text of an answer without claims, by its outcome."""
SUPPORT_REMARKS = {
    "supported": "",
    "unsupported": " (not supported by these sentences)",
    "unchecked": " (not checked against these sentences)",
}
"""What follows a claim in the text of an answer, by its support."""

_COLUMNS = "id, meeting_id, sentence_ids, last_minutes, title, created_at"
_MESSAGE_COLUMNS = (
    "m.id, m.conversation_id, m.number, m.question, m.language, m.status, m.claims, m.outcome, m.dropped_claims,"
    " m.dropped_sentences, m.reach, m.engine, m.prompt_version, m.prompt_tokens, m.completion_tokens, m.reason, m.created_at,"
    " m.finished_at"
)
_INSERT = text(
    "insert into conversations (id, team_id, meeting_id, sentence_ids, last_minutes, title)"
    " values (:id, :team_id, :meeting_id, :sentence_ids, :last_minutes, :title)"
)
_READ = text(f"select {_COLUMNS} from conversations where team_id = :team_id and id = :id")  # noqa: S608 - a constant
_LIST = text(
    f"select {_COLUMNS} from conversations where team_id = :team_id and meeting_id is not distinct from :meeting_id"  # noqa: S608 - a constant
    # Ids grow with time. A deleted conversation is still a place to continue at.
    " and (cast(:before as uuid) is null or id < cast(:before as uuid)) order by id desc limit :limit"
)
_LOCK = text("select id from conversations where team_id = :team_id and id = :id for update")
_DELETE = text("delete from conversations where team_id = :team_id and id = :id returning id")
_MESSAGES = text(
    f"select {_MESSAGE_COLUMNS} from chat_messages m where m.conversation_id = :conversation_id order by m.number"  # noqa: S608 - a constant
)
_MESSAGE = text(
    f"select {_MESSAGE_COLUMNS} from chat_messages m join conversations c on c.id = m.conversation_id"  # noqa: S608 - a constant
    " where c.team_id = :team_id and m.id = :id"
)
_PRESENT_SENTENCES = text(
    "select s.meeting_id, s.id, s.speaker, s.text from jsonb_to_recordset(cast(:rows as jsonb))"
    " as r(meeting_id uuid, sentence_id text) join sentences s on s.meeting_id = r.meeting_id and s.id = r.sentence_id"
    " where not s.retracted"
)
_COUNT_MESSAGES = text("select count(*) from chat_messages where conversation_id = :conversation_id")
_INSERT_MESSAGE = text(
    "insert into chat_messages (id, conversation_id, number, question, language, due_at)"
    " select :id, :conversation_id, coalesce(max(number), 0) + 1, :question, :language, now() from chat_messages"
    " where conversation_id = :conversation_id"
)


async def create_conversation(
    conn: AsyncConnection,
    team_id: str,
    meeting_id: UUID | None,
    sentence_ids: Sequence[str] = (),
    last_minutes: float | None = None,
    title: str = "",
) -> Conversation:
    """Begin a conversation.

    Args:
        meeting_id: the meeting; None for all meetings of the team.
        sentence_ids: the sentences that it is about; empty for no selection.
        last_minutes: the length of the speech that it is about, counted back from its end; None for all of it.
        title: for display.
    """
    conversation_id = uuid7()
    await conn.execute(
        _INSERT,
        {
            "id": conversation_id,
            "team_id": team_id,
            "meeting_id": meeting_id,
            "sentence_ids": list(sentence_ids),
            "last_minutes": last_minutes,
            "title": title,
        },
    )
    return await read_conversation(conn, team_id, conversation_id)


async def read_conversation(conn: AsyncConnection, team_id: str, conversation_id: UUID) -> Conversation:
    """Read a team's conversation, with its messages.

    Raises:
        NotFoundError: the team has no such conversation.
    """
    row = (await conn.execute(_READ, {"team_id": team_id, "id": conversation_id})).mappings().one_or_none()
    if row is None:
        raise NotFoundError("there is no such conversation")
    messages = await conn.execute(_MESSAGES, {"conversation_id": conversation_id})
    found = [_to_message(message) for message in messages.mappings()]
    return _to_conversation(row, await _with_present_sentences(conn, found))


async def list_conversations(
    conn: AsyncConnection, team_id: str, meeting_id: UUID | None, *, limit: int, before: UUID | None = None
) -> list[Conversation]:
    """List a team's conversations about a meeting, or about all meetings, newest first and without messages.

    Args:
        limit: most conversations to return.
        before: id of the last conversation of the previous page; None for the first page.
    """
    values = {"team_id": team_id, "meeting_id": meeting_id, "limit": limit, "before": before}
    rows = await conn.execute(_LIST, values)
    return [_to_conversation(row, []) for row in rows.mappings()]


async def delete_conversation(conn: AsyncConnection, team_id: str, conversation_id: UUID) -> None:
    """Delete a team's conversation.

    Raises:
        NotFoundError: the team has no such conversation.
    """
    if (await conn.execute(_DELETE, {"team_id": team_id, "id": conversation_id})).scalar_one_or_none() is None:
        raise NotFoundError("there is no such conversation")


async def add_question(
    conn: AsyncConnection, team_id: str, conversation_id: UUID, question: str, language: str | None
) -> ChatMessage:
    """Add a question to a team's conversation. It is pending until it is answered.

    Args:
        question: the question.
        language: the answer's language, as a tag; None for that of the question.

    Raises:
        NotFoundError: the team has no such conversation.
        ConflictError: the conversation has too many questions.
    """
    if (await conn.execute(_LOCK, {"team_id": team_id, "id": conversation_id})).scalar_one_or_none() is None:
        raise NotFoundError("there is no such conversation")
    count = (await conn.execute(_COUNT_MESSAGES, {"conversation_id": conversation_id})).scalar_one()
    if count >= MAX_MESSAGES:
        raise ConflictError("limit", f"a conversation may have {MAX_MESSAGES} questions; begin another one")
    message_id = uuid7()
    await conn.execute(
        _INSERT_MESSAGE,
        {"id": message_id, "conversation_id": conversation_id, "question": question, "language": language},
    )
    return await read_message(conn, team_id, message_id)


async def read_message(conn: AsyncConnection, team_id: str, message_id: UUID) -> ChatMessage:
    """Read a question of a team, with its answer.

    Raises:
        NotFoundError: the team has no such question.
    """
    row = (await conn.execute(_MESSAGE, {"team_id": team_id, "id": message_id})).mappings().one_or_none()
    if row is None:
        raise NotFoundError("there is no such question")
    (message,) = await _with_present_sentences(conn, [_to_message(row)])
    return message


async def _with_present_sentences(conn: AsyncConnection, messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Return messages whose claims have their sentences as they are now."""
    rows = {
        (str(sentence.meeting_id), sentence.sentence_id)
        for message in messages
        for claim in message.claims or ()
        for sentence in claim.sentences
    }
    if not rows:
        return list(messages)
    parameters = rows_parameter([{"meeting_id": meeting, "sentence_id": sentence} for meeting, sentence in rows])
    present = {(row.meeting_id, row.id): row for row in await conn.execute(_PRESENT_SENTENCES, parameters)}

    def to_present(sentence: CitedSentence) -> CitedSentence:
        row = present.get((sentence.meeting_id, sentence.sentence_id))
        if row is None:
            return sentence.model_copy(update={"changed": True})
        changed = row.text != sentence.text
        return sentence.model_copy(update={"speaker": row.speaker, "text": row.text, "changed": changed})

    def claims_of(message: ChatMessage) -> list[AnswerClaim] | None:
        if message.claims is None:
            return None
        return [
            claim.model_copy(update={"sentences": [to_present(sentence) for sentence in claim.sentences]})
            for claim in message.claims
        ]

    return [message.model_copy(update={"claims": claims_of(message)}) for message in messages]


def _to_conversation(row: Mapping[Any, Any], messages: list[ChatMessage]) -> Conversation:
    return Conversation(**row, messages=messages)


def _to_message(row: Mapping[Any, Any]) -> ChatMessage:
    return ChatMessage(**row, text=answer_text(row["claims"], row["outcome"]))


def answer_text(claims: Sequence[Mapping[str, Any]] | None, outcome: str | None) -> str | None:
    """Return an answer as text: its claims, each with the numbers of its sentences; None without an answer.

    The numbers count the answer's sentences in the order in which its claims name them.
    """
    if claims is None:
        return None
    if not claims:
        return OUTCOME_TEXTS[outcome or "not_said"]
    parsed = [AnswerClaim.model_validate(claim) for claim in claims]
    numbers: dict[tuple[UUID, str], int] = {}
    for sentence in (sentence for claim in parsed for sentence in claim.sentences):
        numbers.setdefault((sentence.meeting_id, sentence.sentence_id), len(numbers) + 1)
    return "\n".join(
        f"{claim.text} [{', '.join(str(numbers[each.meeting_id, each.sentence_id]) for each in claim.sentences)}]"
        + SUPPORT_REMARKS[claim.support]
        for claim in parsed
    )
