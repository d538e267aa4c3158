"""Routes for liveness and readiness."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel
from redis.exceptions import ResponseError

from serve.http.dependencies.services import Services, ServicesDep
from serve.http.engine_config_routes import translation_status
from storage.connections import ping
from storage.postgres.lane_registry import list_lanes
from storage.readiness import parse_loading_info

router = APIRouter(tags=["health"])

_CHECK_TIMEOUT_S = 3.0


class Health(BaseModel):
    """The process is running."""

    status: Literal["up"] = "up"


class Readiness(BaseModel):
    """Whether meetings can be served. Each part is `ok`, or says what is wrong with it."""

    ready: bool
    parts: dict[str, str]


@router.head("/health", include_in_schema=False)
@router.get("/health")
async def get_health() -> Health:
    """Report that the process is running. No other service is checked."""
    return Health()


@router.head("/ready", include_in_schema=False)
@router.get("/ready", responses={503: {"model": Readiness}})
async def get_readiness(response: Response, services: ServicesDep) -> Readiness:
    """Check that meetings can be served.

    The parts are `postgres`, `redis`, `lanes` and `translation`. The status is 503 if one of them fails.
    """
    checks = {
        "postgres": _check_postgres(services),
        "redis": _check_redis(services),
        "lanes": _check_lanes(services),
        "translation": translation_status(services),
    }
    results = await asyncio.gather(*(_with_timeout(check) for check in checks.values()))
    parts = dict(zip(checks, results, strict=True))
    healthy = all(part.startswith("ok") for part in parts.values())
    if not healthy:
        response.status_code = 503
    return Readiness(ready=healthy, parts=parts)


async def _with_timeout(check: Awaitable[str]) -> str:
    try:
        return await asyncio.wait_for(check, _CHECK_TIMEOUT_S)
    except TimeoutError:
        return f"did not answer within {_CHECK_TIMEOUT_S:.0f} s"
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a part is the answer
        return f"can't be reached: {type(error).__name__}"


async def _check_postgres(services: Services) -> str:
    async with services.database.connect() as conn:
        await ping(conn)
    return "ok"


async def _check_redis(services: Services) -> str:
    # If the Redis user may not run `info`, the ping's error names the state instead.
    with suppress(ResponseError):
        if (state := parse_loading_info(await services.redis.info("persistence"))) is not None:
            return f"is {state.activity}"
    await services.redis.ping()
    return "ok"


async def _check_lanes(services: Services) -> str:
    async with services.database.connect() as conn:
        lanes = await list_lanes(conn)
    live = [lane for lane in lanes if lane.kind == "live" and not lane.draining]
    if not live:
        return "there is no live lane"
    now = datetime.now(UTC)
    not_running = [
        lane.id
        for lane in live
        if lane.state != "running" or (now - lane.updated_at).total_seconds() > services.options.lane_silence
    ]
    return f"not running: {', '.join(not_running)}" if not_running else "ok"
