"""The URLs of Postgres and Redis, and checks of an operator's own before anything connects. An error never repeats one."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

import redis
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from operators.errors import InvalidInputError

POSTGRES_URL_SETTING, REDIS_URL_SETTING = "PARLEY_POSTGRES_URL", "PARLEY_REDIS_URL"
"""The settings that name them."""
_POSTGRES_URL_HINT = "must begin with postgresql:// and be such as postgresql://user:password@host/database"
_REDIS_URL_HINT = "must begin with redis:// or rediss:// and be such as redis://:password@host/0"
_ENCODING_HINT = "must have the marks in its user and password percent-encoded, such as %40 for @"


@dataclass(frozen=True, slots=True)
class StoreUrls:
    """Where the servers answer, with their passwords: never to be logged."""

    postgres: str = field(repr=False)
    redis: str = field(repr=False)


def check_postgres_url(url: str) -> None:
    """Check the address of a Postgres.

    Raises:
        InvalidInputError: names the setting and the fix.
    """
    try:
        parts = make_url(url)
    except (ArgumentError, ValueError):
        raise InvalidInputError(POSTGRES_URL_SETTING, _POSTGRES_URL_HINT) from None
    if parts.get_backend_name() not in ("postgresql", "postgres"):
        raise InvalidInputError(POSTGRES_URL_SETTING, _POSTGRES_URL_HINT)
    # Else a part of the password counts as the host or the database, and errors would show it.
    if "@" in f"{parts.host}{parts.database}":
        raise InvalidInputError(POSTGRES_URL_SETTING, _ENCODING_HINT)


def check_redis_url(url: str) -> None:
    """Check the address of a Redis or Valkey.

    Raises:
        InvalidInputError: names the setting and the fix.
    """
    try:
        # It refuses other schemes, and ports that are none.
        redis.ConnectionPool.from_url(url)
        # It takes a number that is none for 0.
        if url.startswith("redis"):
            int(urlsplit(url).path.strip("/") or 0)
    except ValueError:
        raise InvalidInputError(REDIS_URL_SETTING, _REDIS_URL_HINT) from None
    parts = urlsplit(url)
    # Else the password's beginning counts as the host, and errors would show it.
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":
        raise InvalidInputError(REDIS_URL_SETTING, _ENCODING_HINT)


def check_store_urls(postgres_url: str, redis_url: str) -> StoreUrls:
    """Both addresses.

    Raises:
        InvalidInputError: one is wrong; it names the setting and the fix.
    """
    check_postgres_url(postgres_url)
    check_redis_url(redis_url)
    return StoreUrls(postgres_url, redis_url)
