"""Routes for conversations about meetings. Each answer names the sentences it rests on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Self
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from sqlalchemy.exc import SQLAlchemyError

from operators.characters import require_storable
from operators.errors import NotFoundError
from operators.fields import Language, Name, StrictModel, Title, require_non_blank
from operators.insight_requests import InsightRole
from serve.http.dependencies.services import Services, ServicesDep
from serve.http.intelligence.questions import await_answer, read_answer
from serve.http.intelligence.request_checks import require_engine, require_tokens
from serve.http.intelligence.waiting import MAX_WAIT_S
from serve.http.problems import problem_responses
from storage.chat import chat_queries
from storage.chat.chat_records import ChatMessage, Conversation
from storage.notes import note_queries
from storage.postgres import meeting_queries
from storage.records import DEFAULT_TEAM_ID

router = APIRouter(prefix="/api/intelligence", tags=["intelligence"])

MAX_QUESTION_CHARS = 2_000
"""Maximum length of a question, in characters."""
MAX_SELECTED = 500
"""Most sentences that a conversation may be about."""
DEFAULT_WAIT_S = 60.0
"""Seconds that a request waits for its answer, unless it says otherwise."""
PING_S = 5.0
"""Seconds between two comments of an event stream, which keep its connection open."""
SUGGESTIONS = (
    "What was decided?",
    "Who will do what, and until when?",
    "Which questions are still open?",
    "What were the main points?",
    "Where do people disagree?",
)
"""Questions that fit any meeting."""


class CreateConversationRequest(StrictModel):
    """What a conversation is about: selected sentences, the last minutes of speech, or all of the meeting."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"last_minutes": 10}]})

    sentences: Annotated[tuple[Name, ...], Field(max_length=MAX_SELECTED)] = ()
    last_minutes: Annotated[float, Field(gt=0, le=7 * 24 * 60)] | None = None
    title: Title = ""

    @model_validator(mode="after")
    def _require_one_part(self) -> Self:
        if self.sentences and self.last_minutes is not None:
            raise ValueError("give `sentences` or `last_minutes`, not both")
        return self


class CreateTeamConversationRequest(StrictModel):
    """A conversation about all meetings of the team."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"title": "The budget"}]})

    title: Title = ""


class AskRequest(StrictModel):
    """A question. The answer is in `language`, or in the language of the question."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"question": "Who sends the contract?"}]})

    question: Annotated[
        str, Field(max_length=MAX_QUESTION_CHARS), AfterValidator(require_non_blank), AfterValidator(require_storable)
    ]
    language: Language | None = None


class ConversationPage(BaseModel):
    """Conversations, newest first and without their messages. Send `before` to get the next page; it is null on the last page."""

    conversations: list[Conversation]
    before: UUID | None


class SuggestionList(BaseModel):
    """Questions that a reader may ask."""

    suggestions: list[str]


LimitParameter = Annotated[int, Query(ge=1, le=chat_queries.MAX_CONVERSATIONS)]
WaitParameter = Annotated[
    float, Query(ge=0, le=MAX_WAIT_S, description="Seconds to wait for the answer.", examples=[60])
]


@router.post("/sessions/{meeting_id}/agent/conversations", status_code=201, responses=problem_responses(404))
async def create_conversation(
    meeting_id: UUID, services: ServicesDep, request: CreateConversationRequest | None = None
) -> Conversation:
    """Begin a conversation about a meeting. The meeting may still be going on."""
    wanted = request or CreateConversationRequest()
    async with services.database.begin() as conn:
        await meeting_queries.read_meeting(conn, DEFAULT_TEAM_ID, meeting_id)
        await note_queries.read_note_sentences(conn, DEFAULT_TEAM_ID, meeting_id, wanted.sentences)
        return await chat_queries.create_conversation(
            conn, DEFAULT_TEAM_ID, meeting_id, wanted.sentences, wanted.last_minutes, wanted.title
        )


@router.get("/sessions/{meeting_id}/agent/conversations", responses=problem_responses(404))
async def list_conversations(
    meeting_id: UUID,
    services: ServicesDep,
    limit: LimitParameter = chat_queries.MAX_CONVERSATIONS,
    before: UUID | None = None,
) -> ConversationPage:
    """List the conversations about a meeting, newest first."""
    async with services.database.connect() as conn:
        await meeting_queries.read_meeting(conn, DEFAULT_TEAM_ID, meeting_id)
    return await _read_page(services, meeting_id, limit, before)


@router.post("/agent/conversations", status_code=201)
async def create_team_conversation(
    services: ServicesDep, request: CreateTeamConversationRequest | None = None
) -> Conversation:
    """Begin a conversation about all meetings of the team."""
    title = "" if request is None else request.title
    async with services.database.begin() as conn:
        return await chat_queries.create_conversation(conn, DEFAULT_TEAM_ID, None, title=title)


@router.get("/agent/conversations")
async def list_team_conversations(
    services: ServicesDep, limit: LimitParameter = chat_queries.MAX_CONVERSATIONS, before: UUID | None = None
) -> ConversationPage:
    """List the conversations about all meetings of the team, newest first."""
    return await _read_page(services, None, limit, before)


@router.get("/agent/conversations/{conversation_id}", responses=problem_responses(404))
async def get_conversation(conversation_id: UUID, services: ServicesDep) -> Conversation:
    """Get a conversation, with its questions and answers."""
    async with services.database.connect() as conn:
        return await chat_queries.read_conversation(conn, DEFAULT_TEAM_ID, conversation_id)


@router.delete(
    "/agent/conversations/{conversation_id}",
    status_code=204,
    response_class=Response,
    responses=problem_responses(404),
)
async def delete_conversation(conversation_id: UUID, services: ServicesDep) -> None:
    """Delete a conversation."""
    async with services.database.begin() as conn:
        await chat_queries.delete_conversation(conn, DEFAULT_TEAM_ID, conversation_id)


@router.post(
    "/agent/conversations/{conversation_id}/messages", status_code=201, responses=problem_responses(404, 409, 429)
)
async def ask_question(
    conversation_id: UUID, request: AskRequest, services: ServicesDep, wait_s: WaitParameter = DEFAULT_WAIT_S
) -> ChatMessage:
    """Ask a question, and wait for its answer.

    After the wait the answer may still be `pending`. `GET /api/intelligence/agent/messages/ID` has it later.
    """
    message = await _add_question(services, conversation_id, request)
    return await await_answer(services, message, wait_s)


@router.post(
    "/agent/conversations/{conversation_id}/messages/stream",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Server-sent events: `question`, then `answer`, `pending` or `error`. They have the question, with its"
            " answer as far as there is one; an error has its reason.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    }
    | problem_responses(404, 409, 429),
)
async def ask_question_in_stream(
    conversation_id: UUID, request: AskRequest, services: ServicesDep
) -> StreamingResponse:
    """Ask a question, and get server-sent events: the question at once, and the answer once its claims are checked.

    After two minutes without an answer, the last event is `pending`. `GET /api/intelligence/agent/messages/ID` has the answer
    later.
    """
    message = await _add_question(services, conversation_id, request)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_stream_answer(services, message), media_type="text/event-stream", headers=headers)


@router.get("/agent/messages/{message_id}", responses=problem_responses(404))
async def get_message(message_id: UUID, services: ServicesDep, wait_s: WaitParameter = 0.0) -> ChatMessage:
    """Get a question with its answer, once it is answered or after the wait."""
    return await read_answer(services, message_id, wait_s)


@router.get("/sessions/{meeting_id}/agent/suggestions", responses=problem_responses(404))
async def list_suggestions(meeting_id: UUID, services: ServicesDep) -> SuggestionList:
    """List questions that a reader may ask about a meeting."""
    async with services.database.connect() as conn:
        await meeting_queries.read_meeting(conn, DEFAULT_TEAM_ID, meeting_id)
    return SuggestionList(suggestions=list(SUGGESTIONS))


async def _read_page(services: Services, meeting_id: UUID | None, limit: int, before: UUID | None) -> ConversationPage:
    async with services.database.connect() as conn:
        # One more than the page shows whether there is a next page.
        found = await chat_queries.list_conversations(conn, DEFAULT_TEAM_ID, meeting_id, limit=limit + 1, before=before)
    page = found[:limit]
    return ConversationPage(conversations=page, before=page[-1].id if len(found) > limit else None)


async def _add_question(services: Services, conversation_id: UUID, request: AskRequest) -> ChatMessage:
    async with services.database.begin() as conn:
        message = await chat_queries.add_question(
            conn, DEFAULT_TEAM_ID, conversation_id, request.question, request.language
        )
        # An unknown conversation is the more useful answer. Without an engine or tokens, the question is rolled back.
        await require_engine(conn, "chat")
        await require_tokens(conn, services, InsightRole.CHAT)
        return message


async def _stream_answer(services: Services, message: ChatMessage) -> AsyncIterator[bytes]:
    yield _event("question", message.model_dump(mode="json"))
    deadline = asyncio.get_running_loop().time() + MAX_WAIT_S
    try:
        while message.status == "pending" and asyncio.get_running_loop().time() < deadline:
            message = await await_answer(services, message, PING_S)
            if message.status == "pending":
                yield b": ping\n\n"
    except NotFoundError:
        yield _event("error", {"reason": "the conversation was deleted"})
    except SQLAlchemyError:
        yield _event("error", {"reason": "the database is unavailable"})
    else:
        name = "pending" if message.status == "pending" else "answer"
        yield _event(name, message.model_dump(mode="json"))


def _event(name: str, data: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(data))
