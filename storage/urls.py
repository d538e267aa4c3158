"""Checks the URLs of an operator's own Postgres and Redis before anything connects. An error never repeats one."""

from __future__ import annotations

from urllib.parse import urlsplit

import redis
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from operators.errors import Invalid
from storage.embedded import StoreUrls

POSTGRES_URL, REDIS_URL = "PARLEY_POSTGRES_URL", "PARLEY_REDIS_URL"
"""The settings that name them."""
_POSTGRES_FIX = "must begin with postgresql:// and be such as postgresql://user:password@host/database"
_REDIS_FIX = "must begin with redis:// or rediss:// and be such as redis://:password@host/0"
_ENCODE = "must have the marks in its user and password percent-encoded, such as %40 for @"


def check_postgres_url(url: str) -> None:
    """Check the address of a Postgres.

    Raises:
        Invalid: names the setting and the fix.
    """
    try:
        parts = make_url(url)
    except (ArgumentError, ValueError):
        raise Invalid(POSTGRES_URL, _POSTGRES_FIX) from None
    if parts.get_backend_name() not in ("postgresql", "postgres"):
        raise Invalid(POSTGRES_URL, _POSTGRES_FIX)
    # Else a part of the password counts as the host or the database, and errors would show it.
    if "@" in f"{parts.host}{parts.database}":
        raise Invalid(POSTGRES_URL, _ENCODE)


def check_redis_url(url: str) -> None:
    """Check the address of a Redis or Valkey.

    Raises:
        Invalid: names the setting and the fix.
    """
    try:
        # It refuses other schemes, and ports that are none.
        redis.ConnectionPool.from_url(url)
        # It takes a number that is none for 0.
        if url.startswith("redis"):
            int(urlsplit(url).path.strip("/") or 0)
    except ValueError:
        raise Invalid(REDIS_URL, _REDIS_FIX) from None
    parts = urlsplit(url)
    # Else the password's beginning counts as the host, and errors would show it.
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":
        raise Invalid(REDIS_URL, _ENCODE)


def checked_stores(postgres_url: str, redis_url: str) -> StoreUrls:
    """Both addresses.

    Raises:
        Invalid: one is wrong; it names the setting and the fix.
    """
    check_postgres_url(postgres_url)
    check_redis_url(redis_url)
    return StoreUrls(postgres_url, redis_url)
