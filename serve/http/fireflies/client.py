"""The client of Fireflies' API for a request: with the request's own key, or else with that of the team's account."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import SecretStr, StringConstraints, field_validator, model_validator

from operators.address_check import PRIVATE_SETTING, AddressRule, is_loopback_address
from operators.engine_config import ServerUrl
from operators.errors import ConflictError, InvalidInputError, MisconfiguredError, SetupError
from operators.fields import StrictModel
from operators.sources.fireflies import FIREFLIES
from serve.http.dependencies.host_lookup import resolve_host
from serve.http.dependencies.request_budgets import build_budget
from serve.http.dependencies.services import Services
from storage.encryption import SecretCipher
from storage.outbound_connections import RefusedAddressError, open_http_client
from storage.postgres.source_accounts import StoredSecret, read_account
from storage.records import DEFAULT_TEAM_ID
from storage.source_apis.fireflies import DEFAULT_BASE_URL, FirefliesApi

PlanName = Literal["free", "pro", "business", "enterprise"]
KeyVariable = Annotated[str, StringConstraints(pattern=r"^PARLEY_FIREFLIES_[A-Z0-9_]{1,60}$")]
"""An environment variable with a key of Fireflies. A request must not send any other secret to an address that it names."""
MAX_SECRET_CHARS = 1_000
"""Maximum length of a key or a secret."""


def check_secret(secret: SecretStr | None) -> SecretStr | None:
    """Check a key or a secret that a request has.

    Raises:
        ValueError: it is empty, too long, or has characters that no header can have.
    """
    if secret is not None:
        text = secret.get_secret_value()
        if not 0 < len(text) <= MAX_SECRET_CHARS or not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError(f"must have from 1 to {MAX_SECRET_CHARS} visible ASCII characters, without spaces")
    return secret


class KeyFields(StrictModel):
    """The account of a request. Without a key, the team's account is used, with its plan and address.

    `api_key` is the key itself, `key_variable` the name of an environment variable that holds it. The plan decides how many
    requests are allowed.
    """

    api_key: SecretStr | None = None
    key_variable: KeyVariable | None = None
    plan: PlanName | None = None
    api_base_url: ServerUrl | None = None

    _check_key = field_validator("api_key")(check_secret)

    @model_validator(mode="after")
    def _require_one_key(self) -> KeyFields:
        if self.api_key is not None and self.key_variable is not None:
            raise ValueError("must have `api_key` or `key_variable`, not both")
        return self

    @property
    def has_key(self) -> bool:
        """Whether the request has a key of its own."""
        return self.api_key is not None or self.key_variable is not None

    def options(self) -> dict[str, Any]:
        """Return the options of a connector with this key."""
        return {"plan": self.plan or "free", "api_base_url": self.api_base_url or DEFAULT_BASE_URL}


def encrypt_secret(services: Services, secret: SecretStr) -> str:
    """Encrypt a secret to store it.

    Raises:
        ConflictError: there is no key for that.
    """
    try:
        return SecretCipher(services.options.encryption_key).encrypt(secret.get_secret_value())
    except SetupError as error:
        raise ConflictError("no_encryption_key", str(error)) from None


async def store_key(services: Services, fields: KeyFields) -> tuple[StoredSecret, dict[str, Any]]:
    """Return a request's key as it is stored, and its options; else those of the team's account.

    Raises:
        ConflictError: there is no key, or no key to encrypt it.
    """
    if fields.has_key:
        await check_base_url(services, fields)
    if fields.api_key is not None:
        return StoredSecret(encrypted=encrypt_secret(services, fields.api_key)), fields.options()
    if fields.key_variable is not None:
        return StoredSecret(variable=fields.key_variable), fields.options()
    async with services.database.connect() as conn:
        account = await read_account(conn, DEFAULT_TEAM_ID, FIREFLIES.name)
    if not account.key:
        raise ConflictError("no_key", "give `api_key` or `key_variable`, or set the key by PUT /api/fireflies/config")
    return account.key, dict(account.options)


async def read_key(services: Services, fields: KeyFields) -> tuple[str, dict[str, Any]]:
    """Return a request's key, and its options; else those of the team's account.

    Raises:
        ConflictError: there is no key, or it can't be read.
    """
    if fields.api_key is not None:
        await check_base_url(services, fields)
        return fields.api_key.get_secret_value(), fields.options()
    key, options = await store_key(services, fields)
    return read_stored_key(services, key), options


def read_stored_key(services: Services, key: StoredSecret) -> str:
    """Return a stored key.

    Raises:
        ConflictError: it can't be read, or it was deleted because its session is over.
    """
    if not key:
        raise ConflictError("no_key", "the session is over, so its key was deleted")
    try:
        return SecretCipher(services.options.encryption_key).read_secret(key.encrypted, key.variable)
    except SetupError as error:
        raise ConflictError("no_key", str(error)) from None


@asynccontextmanager
async def open_api(services: Services, fields: KeyFields) -> AsyncGenerator[FirefliesApi]:
    """Open the client for a request, with its key or that of the team's account. See `connect_api` for the errors."""
    key, options = await read_key(services, fields)
    async with connect_api(services, key, options) as api:
        yield api


@asynccontextmanager
async def connect_api(services: Services, key: str, options: Mapping[str, Any]) -> AsyncGenerator[FirefliesApi]:
    """Open the client with a key. An error about the key names the request's field.

    Args:
        key: the key.
        options: the plan, and the address of the API.

    Raises:
        InvalidInputError: Fireflies refuses the key.
    """
    async with open_http_client(_address_rule(services)) as http:
        try:
            yield FirefliesApi(
                http, str(options.get("api_base_url") or DEFAULT_BASE_URL), key, build_budget(services, key, options)
            )
        except RefusedAddressError as error:
            raise InvalidInputError("api_base_url", str(error)) from None
        except MisconfiguredError as error:
            raise InvalidInputError("api_key", str(error)) from None


async def check_base_url(services: Services, fields: KeyFields) -> None:
    """Check the address of the API that a request has. The address is checked again at each connection.

    Raises:
        InvalidInputError: its host can't be resolved, or has an address that is refused. Only loopback addresses may be without
            TLS, unless private addresses are allowed.
    """
    url, rule = fields.api_base_url, _address_rule(services)
    if url in (None, DEFAULT_BASE_URL) or rule.private_allowed:
        return
    parts = urlsplit(url)
    addresses = await resolve_host("api_base_url", parts.hostname or "", parts.port or 443, rule)
    if parts.scheme != "https" and not all(is_loopback_address(address) for address in addresses):
        raise InvalidInputError("api_base_url", f"must begin with https:// ({PRIVATE_SETTING} allows http://)")


def _address_rule(services: Services) -> AddressRule:
    return AddressRule(services.options.private_addresses, services.options.loopback_allowed)
