"""Tools that ask a language model of the system about meetings, and wait for its answer."""

from __future__ import annotations

from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, Field, model_validator

from operators.fields import StrictModel
from serve.http.dependencies.services import Services
from serve.http.intelligence import MAX_WAIT_S, AskRequest, ask_in_new_conversation, await_answer
from serve.http.intelligence import read_answer as read_stored_answer
from serve.http.mcp.tool import Tool
from storage.chat.chat_records import ChatMessage

DEFAULT_WAIT_S = 45.0
"""Seconds that a call waits for an answer. Many clients end a call after a minute."""

Wait = Annotated[float, Field(ge=0, le=MAX_WAIT_S, description="Seconds to wait for the answer.")]


class AskArguments(AskRequest):
    """A question, and what it is about."""

    meeting_id: Annotated[
        UUID | None, Field(description="The meeting that the question is about. Leave it out for all meetings.")
    ] = None
    last_minutes: Annotated[
        float | None,
        Field(gt=0, le=7 * 24 * 60, description="Only the last minutes of the meeting's speech."),
    ] = None
    wait_s: Wait = DEFAULT_WAIT_S

    @model_validator(mode="after")
    def _require_meeting(self) -> Self:
        if self.last_minutes is not None and self.meeting_id is None:
            raise ValueError("last_minutes needs meeting_id: it is a part of one meeting")
        return self


class AnswerArguments(StrictModel):
    """The question whose answer to read."""

    message_id: Annotated[UUID, Field(description="The `id` of the message that `ask` returned.")]
    wait_s: Wait = DEFAULT_WAIT_S


class Answer(BaseModel):
    """A question with its answer, as far as there is one.

    `waiting_for` says what a pending answer waits for, and how to read it later. It is null once the message is not pending.
    """

    message: ChatMessage
    waiting_for: str | None


async def ask(services: Services, arguments: AskArguments) -> Answer:
    """Ask a question in a new conversation, and wait for the answer.

    Raises:
        NotFoundError: there is no such meeting.
        ConflictError: no engine serves chats.
    """
    message = await ask_in_new_conversation(
        services, arguments.question, arguments.language, arguments.meeting_id, arguments.last_minutes
    )
    return _to_answer(await await_answer(services, message, arguments.wait_s))


async def read_answer(services: Services, arguments: AnswerArguments) -> Answer:
    """Read a question with its answer, once it is answered or after the wait.

    Raises:
        NotFoundError: there is no such question.
    """
    return _to_answer(await read_stored_answer(services, arguments.message_id, arguments.wait_s))


def _to_answer(message: ChatMessage) -> Answer:
    if message.status != "pending":
        return Answer(message=message, waiting_for=None)
    reason = f" Its last attempt failed: {message.reason}." if message.reason else ""
    waiting_for = (
        f"The engine that serves chats has not answered yet.{reason}"
        f" Call `read_answer` with this message's id, for up to {MAX_WAIT_S:.0f} s a call."
    )
    return Answer(message=message, waiting_for=waiting_for)


TOOLS = (
    Tool(
        name="ask",
        title="Ask about meetings",
        description=(
            "Has the system's language model answer a question from the transcript of a meeting, or of all meetings. Each claim of"
            " the answer names its sentences, and says whether they support it. The `outcome` says why there is no claim."
            f" The call waits {DEFAULT_WAIT_S:.0f} s unless `wait_s` says otherwise. It stores the question in a new conversation"
            " that people see, and changes nothing else."
        ),
        arguments=AskArguments,
        result=Answer,
        run=ask,
        is_read_only=False,
    ),
    Tool(
        name="read_answer",
        title="Read an answer",
        description="Reads the answer to an earlier question, for which `ask` did not wait long enough.",
        arguments=AnswerArguments,
        result=Answer,
        run=read_answer,
    ),
)
