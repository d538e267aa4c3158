"""A question in a conversation of its own, and the wait for an answer."""

from __future__ import annotations

from uuid import UUID

from operators.insight_requests import InsightRole
from serve.http.dependencies.services import Services
from serve.http.intelligence.request_checks import require_engine, require_tokens
from serve.http.intelligence.waiting import wait_until_finished
from storage.chat import chat_queries
from storage.chat.chat_records import ChatMessage
from storage.postgres import meeting_queries
from storage.records import DEFAULT_TEAM_ID


async def ask_in_new_conversation(
    services: Services,
    question: str,
    language: str | None,
    meeting_id: UUID | None,
    last_minutes: float | None,
) -> ChatMessage:
    """Ask a question in a new conversation. It is pending.

    Args:
        services: the services of the replica.
        question: the question.
        language: the answer's language, as a tag; None for that of the question.
        meeting_id: the meeting that it is about; None for all meetings of the team.
        last_minutes: the length of the speech that it is about, counted back from its end; None for all of it.

    Raises:
        NotFoundError: the team has no such meeting.
        ConflictError: no engine serves chats.
        OverloadedError: the team has used its token quota of the day.
    """
    async with services.database.begin() as conn:
        if meeting_id is not None:
            await meeting_queries.read_meeting(conn, DEFAULT_TEAM_ID, meeting_id)
        await require_engine(conn, "chat")
        await require_tokens(conn, services, InsightRole.CHAT)
        conversation = await chat_queries.create_conversation(
            conn, DEFAULT_TEAM_ID, meeting_id, last_minutes=last_minutes
        )
        return await chat_queries.add_question(conn, DEFAULT_TEAM_ID, conversation.id, question, language)


async def read_answer(services: Services, message_id: UUID, wait_s: float) -> ChatMessage:
    """Read a question of the team with its answer, once it is answered or after `wait_s` seconds.

    Raises:
        NotFoundError: the team has no such question.
    """
    async with services.database.connect() as conn:
        message = await chat_queries.read_message(conn, DEFAULT_TEAM_ID, message_id)
    return await await_answer(services, message, wait_s)


async def await_answer(services: Services, message: ChatMessage, wait_s: float) -> ChatMessage:
    """Return a question once it is answered, or as it is after `wait_s` seconds."""
    return await wait_until_finished(
        services.database,
        message,
        lambda conn: chat_queries.read_message(conn, DEFAULT_TEAM_ID, message.id),
        lambda found: found.status == "pending",
        wait_s,
    )
