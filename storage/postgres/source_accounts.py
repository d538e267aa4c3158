"""The accounts of teams at sources: the keys, the secret of webhooks, and the config of meetings that come from there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from operators.meeting_config import MeetingConfig

_BY_SOURCE = text("select * from source_accounts where team_id = :team_id and source = :source")
_SAVE = text(
    "insert into source_accounts (team_id, source, encrypted_key, key_variable, encrypted_webhook_secret,"
    " webhook_secret_variable, options, config)"
    " values (:team_id, :source, :encrypted_key, :key_variable, :encrypted_webhook_secret, :webhook_secret_variable,"
    " cast(:options as jsonb), cast(:config as jsonb))"
    " on conflict (team_id, source) do update set encrypted_key = excluded.encrypted_key,"
    " key_variable = excluded.key_variable, encrypted_webhook_secret = excluded.encrypted_webhook_secret,"
    " webhook_secret_variable = excluded.webhook_secret_variable, options = excluded.options, config = excluded.config,"
    " updated_at = now() returning *"
)
_COUNT = text(
    "update source_accounts set counters = jsonb_set(counters, array[cast(:name as text)],"
    " to_jsonb(coalesce(cast(counters ->> cast(:name as text) as bigint), 0) + 1))"
    " where team_id = :team_id and source = :source"
)


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """A secret: encrypted, or the name of an environment variable that holds it. Both are None if there is none."""

    encrypted: str | None = field(default=None, repr=False)
    variable: str | None = None

    def __bool__(self) -> bool:
        return self.encrypted is not None or self.variable is not None


@dataclass(frozen=True, slots=True)
class SourceAccount:
    """A team's account at a source.

    Attributes:
        key: the key of the source's API.
        webhook_secret: the secret of the webhooks that the source sends.
        options: options of the connector, such as the plan.
        config: the config of new meetings.
        counters: number of webhooks by event and outcome.
        updated_at: when it was last changed; None if it was never saved.
    """

    key: StoredSecret = StoredSecret()
    webhook_secret: StoredSecret = StoredSecret()
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    config: MeetingConfig = field(default_factory=MeetingConfig)
    counters: Mapping[str, int] = field(default_factory=dict[str, int])
    updated_at: datetime | None = None


async def read_account(conn: AsyncConnection, team_id: str, source: str) -> SourceAccount:
    """Read a team's account at a source. An account that was never saved is empty."""
    row = (await conn.execute(_BY_SOURCE, {"team_id": team_id, "source": source})).one_or_none()
    if row is None:
        return SourceAccount()
    return SourceAccount(
        StoredSecret(row.encrypted_key, row.key_variable),
        StoredSecret(row.encrypted_webhook_secret, row.webhook_secret_variable),
        row.options,
        MeetingConfig.model_validate(row.config),
        row.counters,
        row.updated_at,
    )


async def save_account(conn: AsyncConnection, team_id: str, source: str, account: SourceAccount) -> None:
    """Save a team's account at a source. Its counters stay as they are."""
    await conn.execute(
        _SAVE,
        {
            "team_id": team_id,
            "source": source,
            "encrypted_key": account.key.encrypted,
            "key_variable": account.key.variable,
            "encrypted_webhook_secret": account.webhook_secret.encrypted,
            "webhook_secret_variable": account.webhook_secret.variable,
            "options": json.dumps(account.options),
            "config": account.config.model_dump_json(),
        },
    )


async def count_webhook(conn: AsyncConnection, team_id: str, source: str, name: str) -> None:
    """Count a webhook.

    Args:
        name: its event or its outcome.
    """
    await conn.execute(_COUNT, {"team_id": team_id, "source": source, "name": name})
