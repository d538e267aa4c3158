"""Asks the replicas of models what keeps them from answering: a server that refuses every question, or loads its model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from ray import serve as ray_serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from serve.application_status import ApplicationStatuses

_QUERY_TIMEOUT_S = 1.0
"""Seconds that a replica has to say it. One that has too much to do to say it does answer."""
_CACHE_S = 2.0
"""Seconds for which an answer is used again: every page of a meeting asks."""
_MAX_REPLICA_COUNT = 4
"""Replicas of an application that are asked at most. Each finds out for itself."""


class EngineProblems:
    """What the engines of applications said, for a moment."""

    def __init__(self) -> None:
        self._cache: dict[str, tuple[float, str]] = {}

    async def find_problems(self, names: Iterable[str], statuses: ApplicationStatuses) -> dict[str, str]:
        """By application, why its engine answers nothing at the moment; those of which nothing is known are left out.

        Args:
            names: the applications. One without a replica is not asked: that would start one.
            standing: how they stand.
        """
        running = {name: count for name in names if (count := statuses.running_replicas(name))}
        problems = await asyncio.gather(
            *(self._find_problem(name, min(count, _MAX_REPLICA_COUNT)) for name, count in running.items())
        )
        return {name: problem for name, problem in zip(running, problems, strict=True) if problem}

    async def _find_problem(self, name: str, replicas: int) -> str:
        expires_at, problem = self._cache.get(name, (0.0, ""))
        if time.monotonic() < expires_at:
            return problem
        answers = await asyncio.gather(*(_query_replica(name) for _ in range(replicas)))
        problem = next(filter(None, answers), "")
        self._cache[name] = (time.monotonic() + _CACHE_S, problem)
        return problem


async def _query_replica(name: str) -> str:
    try:
        async with asyncio.timeout(_QUERY_TIMEOUT_S):
            handle = await asyncio.to_thread(ray_serve.get_app_handle, name)
            return await handle.problem.remote()
    except (TimeoutError, RayError, RayServeException):
        # How the application stands tells of one that is gone.
        return ""
