"""The client of Fireflies' API for a team: with the key of a job, or else with that of the team's account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import redis.asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from operators.errors import SetupError
from operators.sources.fireflies import FIREFLIES
from storage.encryption import SecretCipher
from storage.ingest.request_budget import RequestBudget
from storage.postgres.source_accounts import SourceAccount, StoredSecret, read_account
from storage.source_apis.fireflies import DEFAULT_BASE_URL, PLANS, FirefliesApi


class FirefliesAccounts:
    """Builds clients.

    Args:
        database: the database.
        client: Redis, with decoded responses.
        cipher: decrypts the keys.
        http: the HTTP client.
    """

    def __init__(
        self, database: AsyncEngine, client: redis.asyncio.Redis, cipher: SecretCipher, http: httpx.AsyncClient
    ) -> None:
        self._database, self._redis, self._cipher, self._http = database, client, cipher, http

    async def read(self, team_id: str) -> SourceAccount:
        """Return a team's account."""
        async with self._database.connect() as conn:
            return await read_account(conn, team_id, FIREFLIES.name)

    async def open_api(self, team_id: str, key: StoredSecret, options: Mapping[str, Any]) -> FirefliesApi:
        """Return a client.

        Args:
            key: the key of a job; empty if the team's account has it.
            options: the job's plan and address of the API; for the account's key, the account has them.

        Raises:
            SetupError: there is no key, or it can't be read.
        """
        if not key:
            account = await self.read(team_id)
            key, options = account.key, account.options
        if not key:
            raise SetupError("there is no API key: set it by PUT /api/fireflies/config")
        secret = self._cipher.read_secret(key.encrypted, key.variable)
        plan = PLANS[str(options.get("plan") or "free")]
        base_url = str(options.get("api_base_url") or DEFAULT_BASE_URL)
        budget = RequestBudget(self._redis, FIREFLIES.name, secret, plan)
        return FirefliesApi(self._http, base_url, secret, budget)
