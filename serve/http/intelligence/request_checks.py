"""Checks before a request is stored: that an engine serves it, and that the team has tokens left."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from operators.engine_config import Role
from operators.errors import ConflictError, OverloadedError
from operators.insight_requests import InsightRole
from operators.token_quota import find_excess
from serve.http.dependencies.services import Services
from storage.postgres.engine_config_versions import read_current_config
from storage.postgres.token_usage import read_usage_today
from storage.records import DEFAULT_TEAM_ID


async def require_engine(conn: AsyncConnection, role: Role) -> None:
    """Check that an engine serves a role.

    Raises:
        ConflictError: none does.
        InvalidInputError: this release can't read the engine configuration.
    """
    version = await conn.run_sync(read_current_config)
    if version is None or not version.config.engines_for(role):
        raise ConflictError("no_engine", f"no engine serves {role}: name one by `parley config`")


async def require_tokens(conn: AsyncConnection, services: Services, role: InsightRole) -> None:
    """Check that the team has tokens left for a request.

    Raises:
        OverloadedError: it has used its quota of the day.
    """
    limit = services.options.daily_tokens
    if limit is None:
        return
    today = await conn.run_sync(read_usage_today, DEFAULT_TEAM_ID)
    if excess := find_excess(limit, today.tokens, role, today.resets_in_s):
        raise OverloadedError("token_quota", f"{excess} (PARLEY_DAILY_TOKENS)", today.resets_in_s)
