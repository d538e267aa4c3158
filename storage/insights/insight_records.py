"""Insights as immutable values. The HTTP API describes and returns `InsightRecord`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel

InsightStatus = Literal["pending", "ready", "failed"]
INSIGHT_PROMPT_VERSION = 1
"""Version of the rules that go with every template. It is stored with each insight."""


class InsightRecord(BaseModel, frozen=True):
    """What the model wrote about a meeting by a template.

    `template_version` is the template's version at that time. `number` counts the insights of the meeting by the same template
    in the same language. A new one never replaces an older one.

    `status` is `pending`, `ready`, or `failed` with a `reason`. `text` has the answer. If the template asks for rows, `rows` has
    them instead, each with the ids of the sentences that it rests on. `dropped_rows` counts rows without an existing sentence,
    `dropped_sentences` sentences that don't exist in the other rows.

    `transcript_seq` is the number of the meeting's last live event when the transcript was read: what came later is not in it.
    `part_count` is the number of parts in which the transcript was read. `finish` is `length` if the answer was cut off.
    """

    id: UUID
    meeting_id: UUID
    template: str
    template_version: int
    language: str
    instructions: str
    number: int
    status: InsightStatus
    text: str | None
    rows: list[dict[str, Any]] | None
    dropped_rows: int
    dropped_sentences: int
    transcript_seq: int | None
    engine: str | None
    prompt_version: int | None
    prompt_tokens: int
    completion_tokens: int
    part_count: int
    finish: str | None
    reason: str | None
    created_at: datetime
    finished_at: datetime | None
