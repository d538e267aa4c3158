"""Reads from the engines' replicas why they can't answer: the server rejects every request, or loads its model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from ray import serve as ray_serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from serve.application_status import ApplicationStatuses

_QUERY_TIMEOUT_S = 1.0
"""Seconds that a replica has to report its problem. A replica too busy for that still processes requests."""
_CACHE_S = 2.0
"""Seconds for which a result is reused: every open page of a meeting requests it."""
_MAX_REPLICA_COUNT = 4
"""The most replicas of an application that are queried. Each replica detects problems separately."""


class EngineProblems:
    """Reads the problems of applications' engines, and caches them for a moment."""

    def __init__(self) -> None:
        self._cache: dict[str, tuple[float, str]] = {}

    async def find_problems(self, names: Iterable[str], statuses: ApplicationStatuses) -> dict[str, str]:
        """Find the applications whose engines can't answer at the moment.

        Args:
            names: the applications. Without a running replica an application is not queried: that would start one.
            statuses: the statuses of all applications.

        Returns:
            The problem of each application that has one.
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
        # The application's status shows that a replica is gone.
        return ""
