"""Conversations as immutable values. The HTTP API describes and returns them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel

AnswerStatus = Literal["pending", "ready", "failed"]
AnswerOutcome = Literal["answered", "not_said", "not_found", "no_sentence", "no_source"]
ClaimSupport = Literal["supported", "unsupported", "unchecked"]


class CitedSentence(BaseModel, frozen=True):
    """A sentence that a claim names, as it is now.

    `changed` says whether its text has changed since the question was answered. A sentence that was retracted since has the text
    of that time.
    """

    meeting_id: UUID
    sentence_id: str
    speaker: str
    text: str
    meeting_title: str = ""
    changed: bool = False


class AnswerClaim(BaseModel, frozen=True):
    """A claim of an answer. `support` says whether its sentences say so, as far as the model checked it."""

    text: str
    sentences: list[CitedSentence]
    support: ClaimSupport


class TranscriptReach(BaseModel, frozen=True):
    """How far the transcript reached when the question was answered.

    `until_s` is the end of the last sentence, in seconds from the meeting's start; null for more than one meeting. `sentences` is
    the number of sentences that were there, and `read` the number of those that the model read. `is_live` says whether a meeting
    was still going on, and `behind` how many accepted entries were not processed yet.
    """

    until_s: float | None
    sentences: int
    read: int
    is_live: bool
    behind: int


class ChatMessage(BaseModel, frozen=True):
    """A question and its answer.

    The answer is `pending`, `ready`, or `failed` with a `reason`. Its `outcome` is `answered` if it has `claims`. Else the meeting
    doesn't say it (`not_said`), or the part that the model read doesn't (`not_found`). Or there is no sentence yet (`no_sentence`),
    or no claim named an existing one (`no_source`). `text` is the whole answer as text. `dropped_claims` counts claims that named
    no existing sentence, `dropped_sentences` named sentences that don't exist.
    """

    id: UUID
    conversation_id: UUID
    number: int
    question: str
    language: str | None
    status: AnswerStatus
    text: str | None
    claims: list[AnswerClaim] | None
    outcome: AnswerOutcome | None
    dropped_claims: int
    dropped_sentences: int
    reach: TranscriptReach | None
    engine: str | None
    prompt_version: int | None
    prompt_tokens: int
    completion_tokens: int
    reason: str | None
    created_at: datetime
    finished_at: datetime | None


class Conversation(BaseModel, frozen=True):
    """A conversation about a meeting, or about all meetings of the team if `meeting_id` is null.

    It is about the sentences `sentence_ids`, the last `last_minutes` of speech, or all of the meeting.
    """

    id: UUID
    meeting_id: UUID | None
    sentence_ids: tuple[str, ...]
    last_minutes: float | None
    title: str
    created_at: datetime
    messages: list[ChatMessage] = []
