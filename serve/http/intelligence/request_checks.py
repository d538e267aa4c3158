"""Checks that an engine serves a role, before a request is stored that nothing would answer."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from operators.engine_config import Role
from operators.errors import ConflictError
from storage.postgres.engine_config_versions import read_current_config


async def require_engine(conn: AsyncConnection, role: Role) -> None:
    """Check that an engine serves a role.

    Raises:
        ConflictError: none does.
        InvalidInputError: this release can't read the engine configuration.
    """
    version = await conn.run_sync(read_current_config)
    if version is None or not version.config.engines_for(role):
        raise ConflictError("no_engine", f"no engine serves {role}: name one by `parley config`")
