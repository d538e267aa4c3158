"""A language model elsewhere that may become another one while it is in use: no replica has to start for that."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from operators.errors import Unavailable
from operators.models import Engine as Spec
from serve.engines.engine import Engine, Generation, Prompt, problem_of


class Changing:
    """Answers by the engine it was last told. A question that is under way ends with the engine it began with.

    Args:
        make: makes an engine of what the models' configuration says of it.
    """

    def __init__(self, make: Callable[[Spec], Engine[Prompt]]) -> None:
        self._make = make
        self._spec: Spec | None = None
        self._engine: Engine[Prompt] | None = None
        self._asked = Counter[Engine[Prompt]]()
        self._left: set[Engine[Prompt]] = set()
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        """The engine's."""
        return self._now().name

    @property
    def version(self) -> str:
        """The engine's."""
        return self._now().version

    @property
    def problem(self) -> str | None:
        """The engine's."""
        return problem_of(self._engine)

    def change(self, spec: Spec) -> bool:
        """Answer by another engine from now on; the one before is closed once it is asked nothing more.

        Returns:
            Whether it is another one.

        Raises:
            SetupFailed: it can't be made; the one before stays.
        """
        if spec == self._spec:
            return False
        before, self._engine, self._spec = self._engine, self._make(spec), spec
        if before is not None:
            self._left.add(before)
            self._close_idle()
        return True

    async def generate(self, question: Prompt) -> AsyncGenerator[str | Generation]:
        """Answer a prompt.

        Raises:
            Unanswerable, Unavailable: as the engine does.
        """
        engine = self._now()
        self._asked[engine] += 1
        try:
            async with aclosing(engine.generate(question)) as answer:
                async for piece in answer:
                    yield piece
        finally:
            self._asked[engine] -= 1
            self._close_idle()

    async def check_health(self) -> None:
        """Have the engine answer a token.

        Raises:
            Unavailable: as the engine does.
        """
        await self._now().check_health()

    async def close(self) -> None:
        """Close the engine, and those before it."""
        for engine in {*self._left, *([self._engine] if self._engine else [])}:
            await engine.close()
        self._left.clear()

    def _now(self) -> Engine[Prompt]:
        if self._engine is None:
            raise Unavailable("the engine was not told yet which one it is")
        return self._engine

    def _close_idle(self) -> None:
        for engine in [each for each in self._left if not self._asked[each]]:
            self._left.discard(engine)
            del self._asked[engine]
            closing = asyncio.ensure_future(engine.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
