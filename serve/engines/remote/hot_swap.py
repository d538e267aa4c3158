"""Wraps remote engines so that one can replace another while in use, without a restart of the replica."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from operators.engine_config import EngineConfig
from operators.errors import UnavailableError
from serve.engines.protocol import Engine, Generation, Prompt, problem_of


class HotSwapEngine:
    """Answers with the engine of the latest configuration. A request in flight ends with the engine that it began with.

    Args:
        create_engine: creates an engine from its configuration.
    """

    def __init__(self, create_engine: Callable[[EngineConfig], Engine[Prompt]]) -> None:
        self._create_engine = create_engine
        self._config: EngineConfig | None = None
        self._engine: Engine[Prompt] | None = None
        self._in_flight = Counter[Engine[Prompt]]()
        self._replaced: set[Engine[Prompt]] = set()
        self._close_tasks: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        """Name of the current engine."""
        return self._current().name

    @property
    def version(self) -> str:
        """Version of the current engine."""
        return self._current().version

    @property
    def problem(self) -> str | None:
        """Why the current engine answers no request at the moment; None if no problem is known."""
        return problem_of(self._engine)

    def swap(self, config: EngineConfig) -> bool:
        """Answer with the engine of this configuration from now on. The previous one is closed after its last request.

        Returns:
            Whether the configuration differs from the current one.

        Raises:
            SetupError: the engine can't be created; the previous one stays in use.
        """
        if config == self._config:
            return False
        previous, self._engine, self._config = self._engine, self._create_engine(config), config
        if previous is not None:
            self._replaced.add(previous)
            self._close_idle()
        return True

    async def generate(self, request: Prompt) -> AsyncGenerator[str | Generation]:
        """Answer a prompt.

        Raises:
            NonRetryableError: as the engine does.
            UnavailableError: as the engine does; or no engine is configured yet.
        """
        engine = self._current()
        self._in_flight[engine] += 1
        try:
            async with aclosing(engine.generate(request)) as stream:
                async for piece in stream:
                    yield piece
        finally:
            self._in_flight[engine] -= 1
            self._close_idle()

    async def check_health(self) -> None:
        """Have the current engine produce a token.

        Raises:
            UnavailableError: as the engine does; or no engine is configured yet.
        """
        await self._current().check_health()

    async def close(self) -> None:
        """Close the current engine, and the replaced ones."""
        for engine in {*self._replaced, *([self._engine] if self._engine else [])}:
            await engine.close()
        self._replaced.clear()

    def _current(self) -> Engine[Prompt]:
        if self._engine is None:
            raise UnavailableError("the engine is not configured yet")
        return self._engine

    def _close_idle(self) -> None:
        for engine in [replaced for replaced in self._replaced if not self._in_flight[replaced]]:
            self._replaced.discard(engine)
            del self._in_flight[engine]
            task = asyncio.ensure_future(engine.close())
            self._close_tasks.add(task)
            task.add_done_callback(self._close_tasks.discard)
