"""The rest of the requests that a source allows an account. So far only Fireflies has a limit that Parley counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.config import JsonDict

from operators.errors import SetupError
from operators.sources.fireflies import FIREFLIES
from serve.http.dependencies.services import Services
from storage.encryption import SecretCipher
from storage.ingest.request_budget import RequestBudget
from storage.postgres.source_accounts import StoredSecret
from storage.source_apis.fireflies import PLANS

BUDGET_EXAMPLE: JsonDict = {"plan": "business", "limit": 60, "remaining": 58, "resets_in_s": 41}


class BudgetView(BaseModel):
    """The requests that the account's plan allows: `remaining` of `limit`, and more in `resets_in_s` seconds."""

    model_config = ConfigDict(json_schema_extra={"examples": [BUDGET_EXAMPLE]})

    plan: str
    limit: int
    remaining: int
    resets_in_s: int


def build_budget(services: Services, key: str, options: Mapping[str, Any]) -> RequestBudget:
    """Build the budget of an account."""
    return RequestBudget(services.redis, FIREFLIES.name, key, PLANS[str(options.get("plan") or "free")])


async def read_budget(services: Services, key: StoredSecret, options: Mapping[str, Any]) -> BudgetView | None:
    """Return what is left of the budget of a stored key; None if the key can't be read."""
    try:
        secret = SecretCipher(services.options.encryption_key).read_secret(key.encrypted, key.variable)
    except SetupError:
        return None
    return BudgetView(**asdict(await build_budget(services, secret, options).read()))
