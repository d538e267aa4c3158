"""Tests flows/insight/token_quotas.py."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from sqlalchemy import Engine

from flows.insight.token_quotas import TokenQuotas
from operators.errors import DeferredError, MalformedResponseError, UnavailableError
from operators.insight_requests import Insight, InsightRequest, InsightRole
from operators.token_quota import QuotaExceededError, estimate_request_tokens
from storage.connections import sync_engine
from storage.postgres.token_usage import list_usage, read_usage_today

pytestmark = pytest.mark.usefixtures("clean_database")

REQUEST = InsightRequest("default", "m", InsightRole.CHAT, "", ("Ann: We meet on Monday at the lake.",), "When?", "en")
NOTE = replace(REQUEST, role=InsightRole.NOTE)
ESTIMATE = estimate_request_tokens(REQUEST)


def make_insight(prompt_tokens: int, completion_tokens: int) -> Insight:
    return Insight("Monday.", None, "scripted 1", prompt_tokens, completion_tokens, 1, "stop")


async def spend(quotas: TokenQuotas, request: InsightRequest, prompt_tokens: int, completion_tokens: int) -> None:
    async with quotas.reserve(request) as reservation:
        reservation.settle(make_insight(prompt_tokens, completion_tokens))


def used_today(engine: Engine) -> int:
    with engine.connect() as connection:
        return read_usage_today(connection, "default").tokens


async def test_an_answer_settles_what_it_used(engine: Engine) -> None:
    quotas = TokenQuotas(engine, None)
    async with quotas.reserve(REQUEST) as reservation:
        assert used_today(engine) == ESTIMATE
        reservation.settle(make_insight(70, 5))
    await spend(quotas, NOTE, 30, 2)
    await spend(quotas, REQUEST, 30, 3)
    with engine.connect() as connection:
        rows = [
            (row.role.value, row.prompt_tokens, row.completion_tokens) for row in list_usage(connection, "default", 1)
        ]
    assert rows == [("chat", 100, 8), ("note", 30, 2)]


async def test_notes_go_on_where_the_rest_waits_until_the_quota_is_used_up(engine: Engine) -> None:
    quotas = TokenQuotas(engine, 1_000)
    await spend(quotas, REQUEST, 700, 99)
    await spend(quotas, REQUEST, 1, 0)
    with pytest.raises(QuotaExceededError, match="used 800 of its 1,000 tokens of the day, and the rest is for"):
        await spend(quotas, REQUEST, 1, 1)
    await spend(quotas, NOTE, 200, 0)
    with pytest.raises(QuotaExceededError, match=r"used 1,000 of its 1,000 tokens of the day; more in \d+ h \d+ min"):
        await spend(quotas, NOTE, 1, 1)
    assert used_today(engine) == 1_000


async def test_requests_at_the_same_time_reserve_what_they_will_take(engine: Engine) -> None:
    quotas = TokenQuotas(engine, 10 * ESTIMATE)
    async with AsyncExitStack() as running:
        for _ in range(8):
            await running.enter_async_context(quotas.reserve(REQUEST))
        with pytest.raises(QuotaExceededError):
            await spend(quotas, REQUEST, 1, 1)


@pytest.mark.parametrize("outage", [UnavailableError("away"), DeferredError("none serves")])
async def test_an_outage_costs_nothing(engine: Engine, outage: Exception) -> None:
    with pytest.raises(type(outage)):
        async with TokenQuotas(engine, 1_000).reserve(REQUEST):
            raise outage
    assert used_today(engine) == 0


@pytest.mark.parametrize("failure", [MalformedResponseError("no text"), TimeoutError(), ValueError("refused")])
async def test_a_failure_costs_the_estimate(engine: Engine, failure: Exception) -> None:
    with pytest.raises(type(failure)):
        async with TokenQuotas(engine, 1_000).reserve(REQUEST):
            raise failure
    assert used_today(engine) == ESTIMATE


async def test_without_the_database_a_request_waits() -> None:
    away = sync_engine("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(UnavailableError, match="the used tokens can't be read"):
        await spend(TokenQuotas(away, 1_000), REQUEST, 1, 1)
    away.dispose()


def rename_table(engine: Engine, name: str, new_name: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(f"alter table {name} rename to {new_name}")


async def test_an_answer_survives_if_it_can_t_be_settled(engine: Engine) -> None:
    try:
        async with TokenQuotas(engine, None).reserve(REQUEST) as reservation:
            rename_table(engine, "token_usage", "hidden")
            reservation.settle(make_insight(70, 5))
    finally:
        rename_table(engine, "hidden", "token_usage")
    assert used_today(engine) == ESTIMATE


async def test_a_day_ends_at_midnight_in_utc(engine: Engine) -> None:
    quotas = TokenQuotas(engine, 1_000)
    await spend(quotas, NOTE, 1_000, 0)
    with engine.begin() as connection:
        connection.exec_driver_sql("update token_usage set day = day - 1")
    await spend(quotas, NOTE, 10, 0)
    with engine.connect() as connection:
        today = read_usage_today(connection, "default")
        assert (today.tokens, 0 < today.resets_in_s <= 86_400) == (10, True)
        assert len(list_usage(connection, "default", 1)) == 1
        assert [row.prompt_tokens for row in list_usage(connection, "default", 2)] == [10, 1_000]


async def test_teams_don_t_share_a_quota(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("insert into teams (id, name) values ('other', 'Other')")
    quotas = TokenQuotas(engine, 1_000)
    await spend(quotas, replace(NOTE, team_id="other"), 1_000, 0)
    await spend(quotas, REQUEST, 10, 0)
    assert used_today(engine) == 10
