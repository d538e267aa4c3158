"""Route for the tokens that the team's notes, insights and answers used."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from serve.http.dependencies.services import ServicesDep
from storage.postgres.token_usage import RoleUsage, list_usage, read_usage_today
from storage.records import DEFAULT_TEAM_ID

router = APIRouter(prefix="/api/intelligence", tags=["intelligence"])

MAX_DAYS = 366
"""Most days of one answer."""
DEFAULT_DAYS = 7
"""Days of an answer, unless the request says otherwise."""


class TokenUsage(BaseModel):
    """The tokens used today and on the days before it, in UTC. `daily_tokens` is the quota; it is null without one."""

    used_today: int
    daily_tokens: int | None
    resets_in_s: int
    usage: list[RoleUsage]


@router.get("/usage")
async def get_usage(services: ServicesDep, days: Annotated[int, Query(ge=1, le=MAX_DAYS)] = DEFAULT_DAYS) -> TokenUsage:
    """Get the tokens that notes, insights and answers used, by day and role. Captions are not counted here."""
    async with services.database.connect() as conn:
        today = await conn.run_sync(read_usage_today, DEFAULT_TEAM_ID)
        usage = await conn.run_sync(list_usage, DEFAULT_TEAM_ID, days)
    return TokenUsage(
        used_today=today.tokens,
        daily_tokens=services.options.daily_tokens,
        resets_in_s=today.resets_in_s,
        usage=usage,
    )
