"""storage/connections.py: the driver of a Postgres URL."""

from __future__ import annotations

import pytest

from storage.connections import async_engine, sync_engine


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg", "postgresql+psycopg2"])
def test_every_postgres_url_uses_psycopg_3(scheme: str) -> None:
    url = f"{scheme}://someone:s%2Fcret@host:1/base"
    assert sync_engine(url).driver == "psycopg"
    made = async_engine(url)
    assert (made.driver, made.url.password) == ("psycopg", "s/cret")
