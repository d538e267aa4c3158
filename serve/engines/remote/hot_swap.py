"""A language model elsewhere that may become another one while it is in use: no replica has to start for that."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from operators.engine_config import EngineConfig as Spec
from operators.errors import UnavailableError
from serve.engines.protocol import Engine, Generation, Prompt, problem_of


class HotSwapEngine:
    """Answers by the engine it was last told. A question that is under way ends with the engine it began with.

    Args:
        make: makes an engine of what the models' configuration says of it.
    """

    def __init__(self, create_engine: Callable[[Spec], Engine[Prompt]]) -> None:
        self._create_engine = create_engine
        self._config: Spec | None = None
        self._engine: Engine[Prompt] | None = None
        self._in_flight = Counter[Engine[Prompt]]()
        self._retired: set[Engine[Prompt]] = set()
        self._close_tasks: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        """The engine's."""
        return self._current().name

    @property
    def version(self) -> str:
        """The engine's."""
        return self._current().version

    @property
    def problem(self) -> str | None:
        """The engine's."""
        return problem_of(self._engine)

    def swap(self, config: Spec) -> bool:
        """Answer by another engine from now on; the one before is closed once it is asked nothing more.

        Returns:
            Whether it is another one.

        Raises:
            SetupError: it can't be made; the one before stays.
        """
        if config == self._config:
            return False
        previous, self._engine, self._config = self._engine, self._create_engine(config), config
        if previous is not None:
            self._retired.add(previous)
            self._close_idle()
        return True

    async def generate(self, request: Prompt) -> AsyncGenerator[str | Generation]:
        """Answer a prompt.

        Raises:
            Unanswerable, Unavailable: as the engine does.
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
        """Have the engine answer a token.

        Raises:
            UnavailableError: as the engine does.
        """
        await self._current().check_health()

    async def close(self) -> None:
        """Close the engine, and those before it."""
        for engine in {*self._retired, *([self._engine] if self._engine else [])}:
            await engine.close()
        self._retired.clear()

    def _current(self) -> Engine[Prompt]:
        if self._engine is None:
            raise UnavailableError("the engine was not told yet which one it is")
        return self._engine

    def _close_idle(self) -> None:
        for engine in [each for each in self._retired if not self._in_flight[each]]:
            self._retired.discard(engine)
            del self._in_flight[engine]
            task = asyncio.ensure_future(engine.close())
            self._close_tasks.add(task)
            task.add_done_callback(self._close_tasks.discard)
