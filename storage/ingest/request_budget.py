"""Budgets of requests to a source's API, kept in Redis over restarts and shared by all processes.

A plan allows a number of requests in each window of time. A server that refuses requests all the same is believed: the
account is blocked until the time that it named.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256

import redis
import redis.asyncio

from operators.errors import OverloadedError, UnavailableError
from storage import redis_keys


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """A plan of a source's API.

    Attributes:
        name: the plan's name at the source.
        limit: number of requests in a window.
        window_s: length of a window in seconds. Windows begin at multiples of it since the Unix epoch, such as at midnight UTC.
    """

    name: str
    limit: int
    window_s: int


@dataclass(frozen=True, slots=True)
class BudgetState:
    """The rest of a budget.

    Attributes:
        plan: the plan's name.
        limit: number of requests in a window.
        remaining: number of requests left in this window; 0 while the server refuses requests.
        resets_in_s: seconds until requests are allowed again, or until the window ends.
    """

    plan: str
    limit: int
    remaining: int
    resets_in_s: int


class RequestBudget:
    """The budget of one account.

    Args:
        client: a client that decodes its responses.
        source: the source's name.
        api_key: the account's key. Only a hash of it is stored.
        plan: the account's plan.
    """

    def __init__(self, client: redis.asyncio.Redis, source: str, api_key: str, plan: RequestPlan) -> None:
        self._redis = client
        self._account = f"{source}:{sha256(api_key.encode()).hexdigest()[:16]}"
        self._plan = plan

    @property
    def plan(self) -> RequestPlan:
        """The account's plan."""
        return self._plan

    async def read(self) -> BudgetState:
        """Return what is left.

        Raises:
            UnavailableError: Redis does not respond.
        """
        now_s = time.time()
        async with _available_redis(), self._redis.pipeline(transaction=False) as pipeline:
            pipeline.get(self._window_key(now_s))
            pipeline.pttl(redis_keys.request_block(self._account))
            used, blocked_ms = await pipeline.execute()
        remaining = max(0, self._plan.limit - int(used or 0))
        until_reset_s = self._plan.window_s - int(now_s) % self._plan.window_s
        if blocked_ms > 0:
            return BudgetState(self._plan.name, self._plan.limit, 0, -(-blocked_ms // 1000))
        return BudgetState(self._plan.name, self._plan.limit, remaining, until_reset_s)

    async def spend(self) -> None:
        """Count a request that is about to be sent.

        Raises:
            OverloadedError: nothing is left. The error says how long to wait. The request must not be sent.
            UnavailableError: Redis does not respond, so the request must not be sent.
        """
        state = await self.read()
        if state.remaining > 0:
            key = self._window_key(time.time())
            async with _available_redis(), self._redis.pipeline(transaction=True) as pipeline:
                pipeline.incr(key)
                pipeline.expire(key, self._plan.window_s)
                used, _ = await pipeline.execute()
            if used <= self._plan.limit:
                return
        raise OverloadedError(
            "request_budget",
            f"the plan `{self._plan.name}` allows {self._plan.limit} requests in {_describe(self._plan.window_s)}, and none is"
            f" left; more in {state.resets_in_s} s",
            state.resets_in_s,
        )

    async def block(self, seconds: float) -> None:
        """Record that the server refuses requests for so many seconds, at most for a window of the plan."""
        seconds = min(max(seconds, 0.001), self._plan.window_s)
        async with _available_redis():
            await self._redis.set(redis_keys.request_block(self._account), "1", px=round(seconds * 1000))

    def _window_key(self, now_s: float) -> str:
        return redis_keys.request_budget(self._account, str(int(now_s) // self._plan.window_s))


@asynccontextmanager
async def _available_redis() -> AsyncGenerator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise UnavailableError(f"the budget of requests can't be read ({type(error).__name__})") from None


def _describe(seconds: int) -> str:
    return {60: "a minute", 86_400: "a day"}.get(seconds, f"{seconds} s")
