"""The daily token quotas of the teams: a request reserves its tokens, and its answer settles what it used in fact."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import date

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from operators.errors import DeferredError, MalformedResponseError, UnavailableError
from operators.insight_requests import Insight, InsightRequest
from operators.token_quota import QuotaExceededError, estimate_request_tokens, find_excess
from storage.postgres.token_usage import add_usage, correct_usage, read_usage_today

log = structlog.get_logger(__name__)


class Reservation:
    """The tokens reserved for one request."""

    def __init__(self) -> None:
        self.insight: Insight | None = None

    def settle(self, insight: Insight) -> None:
        """Charge what the answer used, in place of the estimate."""
        self.insight = insight


class TokenQuotas:
    """Counts the tokens of each team by day, and refuses requests beyond the quota.

    A request reserves an estimate of its tokens first, so requests at the same time can't all pass the check, and a crash
    leaves them charged. The use may exceed the quota by the answers under way. Several event loops may use this.

    Args:
        engine: the database.
        limit: the tokens that a team may use in a day; None for no limit.
    """

    def __init__(self, engine: Engine, limit: int | None) -> None:
        self._engine, self._limit = engine, limit

    @asynccontextmanager
    async def reserve(self, request: InsightRequest) -> AsyncGenerator[Reservation]:
        """Hold the tokens of a request while it is answered. Without an answer, an outage is free, and a failure isn't.

        Raises:
            QuotaExceededError: the team has used its tokens of the day.
            UnavailableError: the database is unavailable.
        """
        estimate = estimate_request_tokens(request)
        try:
            day = await asyncio.to_thread(self._add, request, estimate)
        except SQLAlchemyError as error:
            raise UnavailableError(f"the used tokens can't be read ({type(error).__name__})") from None
        reservation = Reservation()
        try:
            yield reservation
        except (UnavailableError, DeferredError) as error:
            if not isinstance(error, MalformedResponseError):
                await self._correct(request, day, -estimate, 0)
            raise
        if (insight := reservation.insight) is not None:
            await self._correct(request, day, insight.prompt_tokens - estimate, insight.completion_tokens)

    def _add(self, request: InsightRequest, estimate: int) -> date:
        with self._engine.begin() as connection:
            if self._limit is not None:
                today = read_usage_today(connection, request.team_id)
                if excess := find_excess(self._limit, today.tokens, request.role, today.resets_in_s):
                    raise QuotaExceededError(excess)
            return add_usage(connection, request.team_id, request.role, estimate)

    async def _correct(self, request: InsightRequest, day: date, prompt_tokens: int, completion_tokens: int) -> None:
        def write() -> None:
            with self._engine.begin() as connection:
                correct_usage(connection, request.team_id, request.role, day, prompt_tokens, completion_tokens)

        try:
            await asyncio.to_thread(write)
        except SQLAlchemyError as error:
            # The estimate stays charged. An answer is worth more than an exact count.
            log.warning("used tokens not corrected", role=request.role.value, error=type(error).__name__)
