"""Whether this process is up, and whether all that it needs is there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel
from redis.exceptions import ResponseError
from sqlalchemy import text

from serve.http.models import translating
from serve.http.services import Services, Use
from storage.placement import list_lanes
from storage.readiness import loading

router = APIRouter(tags=["health"])

_PATIENCE_S = 3.0


class Health(BaseModel):
    """The process answers."""

    status: Literal["up"] = "up"


class Readiness(BaseModel):
    """Whether meetings can be served; for each part `ok`, or what is wrong with it."""

    ready: bool
    parts: dict[str, str]


@router.head("/health", include_in_schema=False)
@router.get("/health")
async def health() -> Health:
    """Whether the process is up. It asks nobody else."""
    return Health()


@router.head("/ready", include_in_schema=False)
@router.get("/ready", responses={503: {"model": Readiness}})
async def ready(response: Response, services: Use) -> Readiness:
    """Whether meetings can be served: 503 names the parts that are missing."""
    checks = {
        "postgres": _postgres(services),
        "redis": _redis(services),
        "lanes": _lanes(services),
        "translation": translating(services),
    }
    found = await asyncio.gather(*(_within_time(check) for check in checks.values()))
    parts = dict(zip(checks, found, strict=True))
    healthy = all(part.startswith("ok") for part in parts.values())
    if not healthy:
        response.status_code = 503
    return Readiness(ready=healthy, parts=parts)


async def _within_time(check: Awaitable[str]) -> str:
    try:
        return await asyncio.wait_for(check, _PATIENCE_S)
    except TimeoutError:
        return f"gave no answer within {_PATIENCE_S:.0f} s"
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a part is the answer
        return f"can't be reached: {type(error).__name__}"


async def _postgres(services: Services) -> str:
    async with services.database.connect() as conn:
        await conn.execute(text("select 1"))
    return "ok"


async def _redis(services: Services) -> str:
    # Where its user may not ask for that, the ping says it in its own words.
    with suppress(ResponseError):
        if (state := loading(await services.redis.info("persistence"))) is not None:
            return f"is {state.doing}"
    await services.redis.ping()
    return "ok"


async def _lanes(services: Services) -> str:
    async with services.database.connect() as conn:
        lanes = await list_lanes(conn)
    live = [lane for lane in lanes if lane.kind == "live" and not lane.draining]
    if not live:
        return "there is no live lane"
    now = datetime.now(UTC)
    dead = [
        lane.id
        for lane in live
        if lane.state != "running" or (now - lane.updated_at).total_seconds() > services.options.lane_silence
    ]
    return f"not running: {', '.join(dead)}" if dead else "ok"
