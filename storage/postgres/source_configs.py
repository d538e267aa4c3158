"""The configurations of transcript sources: the config of their meetings, and their signing secret."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from operators.errors import NotFoundError
from operators.meeting_config import MeetingConfigSummary

_SAVE = text(
    "insert into sources (team_id, name, config, encrypted_secret, secret_env)"
    " values (:team_id, :name, cast(:config as jsonb), :encrypted_secret, :secret_env)"
    " on conflict (team_id, name) do update set config = excluded.config, encrypted_secret = excluded.encrypted_secret,"
    " secret_env = excluded.secret_env, updated_at = now() returning *"
)
_BY_NAME = text("select * from sources where team_id = :team_id and name = :name")
_OF_TEAM = text("select * from sources where team_id = :team_id order by name")
_DELETE = text("delete from sources where team_id = :team_id and name = :name returning name")
_COUNT_REFUSED = text("update sources set refused_count = refused_count + 1 where team_id = :team_id and name = :name")


@dataclass(frozen=True, slots=True)
class SourceConfigRecord:
    """The configuration of a source.

    Attributes:
        name: the source's name.
        config: the config of meetings that the source opens.
        encrypted_secret: the signing secret, encrypted; hidden from `repr`.
        secret_env: name of the environment variable with the signing secret.
        refused_count: number of requests that were refused because of their signature.
    """

    name: str
    config: MeetingConfigSummary
    encrypted_secret: str | None = field(repr=False)
    secret_env: str | None
    refused_count: int
    updated_at: datetime


async def save_source_config(
    conn: AsyncConnection,
    team_id: str,
    name: str,
    config: MeetingConfigSummary,
    *,
    encrypted_secret: str | None,
    secret_env: str | None,
) -> SourceConfigRecord:
    """Save a source's configuration. An existing one is replaced; its count of refusals stays."""
    values = {
        "team_id": team_id,
        "name": name,
        "config": config.model_dump_json(),
        "encrypted_secret": encrypted_secret,
        "secret_env": secret_env,
    }
    return _to_record((await conn.execute(_SAVE, values)).mappings().one())


async def read_source_config(conn: AsyncConnection, team_id: str, name: str) -> SourceConfigRecord | None:
    """Read a source's configuration; None if there is none."""
    row = (await conn.execute(_BY_NAME, {"team_id": team_id, "name": name})).mappings().one_or_none()
    return None if row is None else _to_record(row)


async def list_source_configs(conn: AsyncConnection, team_id: str) -> list[SourceConfigRecord]:
    """List a team's configurations of sources, by name."""
    return [_to_record(row) for row in (await conn.execute(_OF_TEAM, {"team_id": team_id})).mappings()]


async def delete_source_config(conn: AsyncConnection, team_id: str, name: str) -> None:
    """Delete a source's configuration.

    Raises:
        NotFoundError: the source isn't configured.
    """
    if (await conn.execute(_DELETE, {"team_id": team_id, "name": name})).one_or_none() is None:
        raise NotFoundError(f"the source {name} is not configured")


async def count_refused_request(conn: AsyncConnection, team_id: str, name: str) -> None:
    """Count a request that was refused because of its signature."""
    await conn.execute(_COUNT_REFUSED, {"team_id": team_id, "name": name})


def _to_record(row: RowMapping) -> SourceConfigRecord:
    values = {name: value for name, value in row.items() if name != "team_id"}
    config = MeetingConfigSummary.model_validate(values.pop("config"))
    return SourceConfigRecord(config=config, **values)
