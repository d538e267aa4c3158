"""Routes for the team's account at Fireflies: its key, plan, secret of webhooks, and the config of new meetings."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body
from pydantic import BaseModel, ConfigDict, SecretStr, field_validator, model_validator
from pydantic.config import JsonDict

from operators.engine_config import SecretVariable
from operators.errors import InvalidInputError, MisconfiguredError
from operators.meeting_config import MeetingConfig
from operators.sources.fireflies import FIREFLIES
from serve.http.dependencies.request_budgets import BUDGET_EXAMPLE, BudgetView, read_budget
from serve.http.dependencies.services import Services, ServicesDep
from serve.http.fireflies.client import (
    KeyFields,
    PlanName,
    check_base_url,
    check_secret,
    encrypt_secret,
    open_api,
    store_key,
)
from serve.http.problems import problem_responses
from storage.postgres import connector_sessions, source_imports
from storage.postgres.source_accounts import SourceAccount, StoredSecret, read_account, save_account
from storage.postgres.source_imports import ImportState
from storage.records import DEFAULT_TEAM_ID
from storage.source_apis.fireflies import DEFAULT_BASE_URL, PLANS

router = APIRouter(prefix="/api/fireflies", tags=["fireflies"])

MAX_SESSION_COUNT = 1_000
"""Maximum number of open sessions that are counted."""
_CONFIG_EXAMPLE: JsonDict = {"source_language": "en", "target_languages": ["pt"]}
_ACCOUNT_EXAMPLE: JsonDict = {
    "has_key": True,
    "key_variable": "PARLEY_FIREFLIES_KEY",
    "has_webhook_secret": True,
    "webhook_secret_variable": "PARLEY_FIREFLIES_SECRET",
    "plan": "business",
    "api_base_url": DEFAULT_BASE_URL,
    "config": _CONFIG_EXAMPLE,
    "budget": BUDGET_EXAMPLE,
    "webhooks": {"meeting.transcribed": 12, "refused:signature": 1},
    "updated_at": "2026-11-30T09:00:00Z",
}
_KEY_CHECK_EXAMPLE: JsonDict = {
    "valid": True,
    "detail": "Fireflies accepts the key",
    "user": {"name": "Ann", "email": "ann@example.com"},
    "budget": BUDGET_EXAMPLE,
}
_HEALTH_EXAMPLE: JsonDict = {
    "status": "up",
    "has_key": True,
    "sessions": {"connecting": 0, "connected": 2, "reconnecting": 0},
    "imports": {"queued": 0, "running": 1, "done": 40, "failed": 0},
    "budget": BUDGET_EXAMPLE,
}
_DASHBOARD_EXAMPLE: JsonDict = {
    "has_key": True,
    "plans": [{"name": "free", "limit": 50, "window_s": 86_400}],
    "default_api_base_url": DEFAULT_BASE_URL,
    "display_modes": ["both", "source", "translation"],
    **_CONFIG_EXAMPLE,
}
_CONFIG_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {"example": _CONFIG_EXAMPLE}}}
}


class AccountRequest(KeyFields):
    """The account to save. Omitted fields stay as they are. `config` is the config of meetings that come from Fireflies.

    `webhook_secret` is the secret that was set for webhooks at Fireflies. `webhook_secret_variable` is the name of an environment
    variable that holds it.
    """

    webhook_secret: SecretStr | None = None
    webhook_secret_variable: SecretVariable | None = None
    config: MeetingConfig | None = None

    _check_webhook_secret = field_validator("webhook_secret")(check_secret)

    @model_validator(mode="after")
    def _require_one_secret(self) -> AccountRequest:
        if self.webhook_secret is not None and self.webhook_secret_variable is not None:
            raise ValueError("must have `webhook_secret` or `webhook_secret_variable`, not both")
        if not self.model_fields_set:
            raise ValueError("must have a field to change")
        return self


class AccountView(BaseModel):
    """The team's account. Keys and secrets are never shown: only whether they are set, or the names of their variables.

    `webhooks` counts the webhooks that arrived, by event and outcome.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [_ACCOUNT_EXAMPLE]})

    has_key: bool
    key_variable: str | None
    has_webhook_secret: bool
    webhook_secret_variable: str | None
    plan: str
    api_base_url: str
    config: MeetingConfig
    budget: BudgetView | None
    webhooks: dict[str, int]
    updated_at: datetime | None


class KeyCheck(BaseModel):
    """Whether Fireflies accepts a key, and the account's owner."""

    model_config = ConfigDict(json_schema_extra={"examples": [_KEY_CHECK_EXAMPLE]})

    valid: bool
    detail: str
    user: dict[str, Any] | None
    budget: BudgetView


class FirefliesHealth(BaseModel):
    """The state of the connection to Fireflies: open sessions by status, imports by state, and the budget of requests."""

    model_config = ConfigDict(json_schema_extra={"examples": [_HEALTH_EXAMPLE]})

    status: Literal["up"]
    has_key: bool
    sessions: dict[str, int]
    imports: dict[ImportState, int]
    budget: BudgetView | None


class PlanView(BaseModel):
    """A plan of Fireflies: `limit` requests in `window_s` seconds."""

    name: str
    limit: int
    window_s: int


class DashboardConfig(BaseModel):
    """The choices that a page offers: plans, display modes, and the defaults of new meetings."""

    model_config = ConfigDict(json_schema_extra={"examples": [_DASHBOARD_EXAMPLE]})

    has_key: bool
    plans: list[PlanView]
    default_api_base_url: str
    display_modes: list[str]
    source_language: str
    target_languages: list[str]


@router.get("/config")
async def get_fireflies_account(services: ServicesDep) -> AccountView:
    """Get the team's account at Fireflies, without its secrets."""
    return await _view(services, await _read(services))


@router.put("/config", responses=problem_responses(409))
async def change_fireflies_account(
    change: Annotated[
        AccountRequest,
        Body(
            openapi_examples={
                "key": {
                    "value": {
                        "key_variable": "PARLEY_FIREFLIES_KEY",
                        "plan": "business",
                        "webhook_secret_variable": "PARLEY_FIREFLIES_SECRET",
                        "config": {"source_language": "en", "target_languages": ["pt", "es"]},
                    }
                }
            }
        ),
    ],
    services: ServicesDep,
) -> AccountView:
    """Save the team's account at Fireflies. Omitted fields stay as they are.

    A key or secret is encrypted with `PARLEY_ENCRYPTION_KEY`; 409 says that this is missing. `key_variable` needs no encryption.
    """
    account = await _read(services)
    if change.has_key:
        key, _ = await store_key(services, change)
        account = replace(account, key=key)
    if change.webhook_secret is not None:
        encrypted = encrypt_secret(services, change.webhook_secret)
        account = replace(account, webhook_secret=StoredSecret(encrypted=encrypted))
    elif change.webhook_secret_variable is not None:
        account = replace(account, webhook_secret=StoredSecret(variable=change.webhook_secret_variable))
    options = {"plan": "free", "api_base_url": DEFAULT_BASE_URL} | dict(account.options)
    if change.api_base_url not in (None, options["api_base_url"]) and account.key and not change.has_key:
        # Else a change of the address would send the stored key to any server.
        raise InvalidInputError(
            "api_base_url", "needs `api_key` or `key_variable` again, because the key is sent there"
        )
    await check_base_url(services, change)
    options |= change.model_dump(include={"plan", "api_base_url"}, exclude_none=True)
    account = replace(account, options=options, config=change.config or account.config)
    return await _save(services, account)


@router.get("/config/translation", responses=_CONFIG_RESPONSE)
async def get_fireflies_translation_config(services: ServicesDep) -> MeetingConfig:
    """Get the config of meetings that come from Fireflies: languages, context, glossary and style."""
    return (await _read(services)).config


@router.put("/config/translation", responses=_CONFIG_RESPONSE)
async def change_fireflies_translation_config(
    config: Annotated[
        MeetingConfig,
        Body(openapi_examples={"languages": {"value": {"source_language": "en", "target_languages": ["pt"]}}}),
    ],
    services: ServicesDep,
) -> MeetingConfig:
    """Replace the config of meetings that come from Fireflies. Meetings that were opened before keep theirs."""
    account = await _read(services)
    options = {"plan": "free", "api_base_url": DEFAULT_BASE_URL} | dict(account.options)
    await _save(services, replace(account, config=config, options=options))
    return config


@router.post("/validate-key", responses=problem_responses(409, 429))
async def validate_fireflies_key(
    services: ServicesDep,
    fields: Annotated[
        KeyFields | None, Body(openapi_examples={"key": {"value": {"key_variable": "PARLEY_FIREFLIES_KEY"}}})
    ] = None,
) -> KeyCheck:
    """Ask Fireflies whether it accepts a key. It costs one request of the plan's budget."""
    async with open_api(services, fields or KeyFields()) as api:
        user: dict[str, Any] | None = None
        detail = "Fireflies accepts the key"
        try:
            user = dict(await api.read_user())
        except MisconfiguredError as error:
            detail = str(error)
        budget = BudgetView(**asdict(await api.budget.read()))
    return KeyCheck(valid=user is not None, detail=detail, user=user, budget=budget)


@router.get("/health")
async def get_fireflies_health(services: ServicesDep) -> FirefliesHealth:
    """Get the state of the connection to Fireflies. It costs no request of the budget."""
    async with services.database.connect() as conn:
        account = await read_account(conn, DEFAULT_TEAM_ID, FIREFLIES.name)
        sessions = await connector_sessions.list_sessions(
            conn, DEFAULT_TEAM_ID, include_closed=False, limit=MAX_SESSION_COUNT
        )
        imports = await source_imports.count_imports(conn, DEFAULT_TEAM_ID, FIREFLIES.name)
    counts: dict[str, int] = {"connecting": 0, "connected": 0, "reconnecting": 0}
    for session in sessions:
        counts[session.status] += 1
    return FirefliesHealth(
        status="up",
        has_key=bool(account.key),
        sessions=counts,
        imports=imports,
        budget=await read_budget(services, account.key, account.options) if account.key else None,
    )


@router.get("/dashboard/config")
async def get_fireflies_dashboard_config(services: ServicesDep) -> DashboardConfig:
    """Get what a page needs to offer connections to Fireflies."""
    account = await _read(services)
    return DashboardConfig(
        has_key=bool(account.key),
        plans=[PlanView(name=plan.name, limit=plan.limit, window_s=plan.window_s) for plan in PLANS.values()],
        default_api_base_url=DEFAULT_BASE_URL,
        display_modes=["both", "source", "translation"],
        source_language=account.config.source_language,
        target_languages=list(account.config.target_languages),
    )


async def _read(services: Services) -> SourceAccount:
    async with services.database.connect() as conn:
        return await read_account(conn, DEFAULT_TEAM_ID, FIREFLIES.name)


async def _save(services: Services, account: SourceAccount) -> AccountView:
    async with services.database.begin() as conn:
        await save_account(conn, DEFAULT_TEAM_ID, FIREFLIES.name, account)
    return await _view(services, await _read(services))


async def _view(services: Services, account: SourceAccount) -> AccountView:
    plan: PlanName = account.options.get("plan") or "free"
    return AccountView(
        has_key=bool(account.key),
        key_variable=account.key.variable,
        has_webhook_secret=bool(account.webhook_secret),
        webhook_secret_variable=account.webhook_secret.variable,
        plan=plan,
        api_base_url=str(account.options.get("api_base_url") or DEFAULT_BASE_URL),
        config=account.config,
        budget=await read_budget(services, account.key, account.options) if account.key else None,
        webhooks=dict(account.counters),
        updated_at=account.updated_at,
    )
