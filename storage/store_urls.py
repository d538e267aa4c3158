"""The URLs of Postgres and Redis, and checks of a user's URLs before anything connects. No error repeats a URL."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

import redis
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from operators.errors import InvalidInputError

POSTGRES_URL_SETTING, REDIS_URL_SETTING = "PARLEY_POSTGRES_URL", "PARLEY_REDIS_URL"
"""The settings that hold the URLs."""
_POSTGRES_URL_HINT = "must begin with postgresql:// and be such as postgresql://user:password@host/database"
_REDIS_URL_HINT = "must begin with redis:// or rediss:// and be such as redis://:password@host/0"
_ENCODING_HINT = "must have special characters in its user and password percent-encoded, such as %40 for @"


@dataclass(frozen=True, slots=True)
class StoreUrls:
    """The URLs of both servers. They contain passwords and must never be logged."""

    postgres: str = field(repr=False)
    redis: str = field(repr=False)


def check_postgres_url(url: str) -> None:
    """Check the URL of a Postgres server.

    Raises:
        InvalidInputError: the URL is wrong; the error names the setting and the fix.
    """
    try:
        parts = make_url(url)
    except (ArgumentError, ValueError):
        raise InvalidInputError(POSTGRES_URL_SETTING, _POSTGRES_URL_HINT) from None
    if parts.get_backend_name() not in ("postgresql", "postgres"):
        raise InvalidInputError(POSTGRES_URL_SETTING, _POSTGRES_URL_HINT)
    # Otherwise a part of the password counts as the host or the database, and errors would show it.
    if "@" in f"{parts.host}{parts.database}":
        raise InvalidInputError(POSTGRES_URL_SETTING, _ENCODING_HINT)


def check_redis_url(url: str) -> None:
    """Check the URL of a Redis or Valkey server.

    Raises:
        InvalidInputError: the URL is wrong; the error names the setting and the fix.
    """
    try:
        # redis-py rejects other schemes and invalid ports.
        redis.ConnectionPool.from_url(url)
        # redis-py uses database 0 if the number is invalid.
        if url.startswith("redis"):
            int(urlsplit(url).path.strip("/") or 0)
    except ValueError:
        raise InvalidInputError(REDIS_URL_SETTING, _REDIS_URL_HINT) from None
    parts = urlsplit(url)
    # Otherwise the beginning of the password counts as the host, and errors would show it.
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":
        raise InvalidInputError(REDIS_URL_SETTING, _ENCODING_HINT)


def check_store_urls(postgres_url: str, redis_url: str) -> StoreUrls:
    """Check both URLs and return them.

    Raises:
        InvalidInputError: a URL is wrong; the error names the setting and the fix.
    """
    check_postgres_url(postgres_url)
    check_redis_url(redis_url)
    return StoreUrls(postgres_url, redis_url)
