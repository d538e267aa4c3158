"""Has a server load its model before it is asked anything else: Ollama, LM Studio and llama-swap load on demand.

Such a server loads its model while the first question waits, and begins anew where that is given up. So a question of our own,
which nobody gives up, goes before the others: where the server never answered, was not asked for a while, or said nothing to a
question. Meanwhile the others wait a little, or are told that the model is being loaded.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

import structlog

from operators.errors import Loading, Misconfigured, Unavailable
from serve.engines.engine import Engine, Generation, Prompt, Unanswerable
from serve.engines.remote import RefusedByServer

log = structlog.get_logger(__name__)

IDLE_S = 60.0
"""Seconds without an answer, after which a server may have unloaded its model."""
SILENT_S = 5.0
"""Seconds without a word to anybody, after which a question that is given up tells the same."""
WAIT_S = 2.0
"""Seconds that a question waits for the model."""
AGAIN_S = 1.0
"""Seconds before the next attempt of a request that was refused while the model loads."""


class LoadsOnDemand(Engine[Prompt], Protocol):
    """An engine whose server may load its model first."""

    async def load(self, seconds: float) -> None:
        """Answer a token.

        Args:
            seconds: that the server may be silent.

        Raises:
            Unanswerable: it refuses even a control question, or gave no text.
            Loading: it says that it loads its model.
            Unavailable: it does not answer.
        """
        ...


class Warming:
    """An engine whose server is asked for a token of its own first.

    Args:
        engine: the one that asks the server. It is closed with this.
        patience: seconds that the server may take to load its model.
        keep_warm: seconds without a question after which it is asked for a token, so that it keeps its model; None for never.
    """

    def __init__(self, engine: LoadsOnDemand, patience: float, keep_warm: float | None = None) -> None:
        self._engine = engine
        self._patience, self._keep_warm = patience, keep_warm
        self._gave = -math.inf
        """When the server last gave something, by the monotonic clock."""
        self._load: asyncio.Task[None] | None = None
        self._load_began = 0.0
        self._keeping: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """The engine's."""
        return self._engine.name

    @property
    def version(self) -> str:
        """The engine's."""
        return self._engine.version

    @property
    def problem(self) -> str | None:
        """That the server loads its model, while it does."""
        loads = self._load is not None and not self._load.done()
        return _LOADS if loads and time.monotonic() - self._load_began > WAIT_S else None

    async def generate(self, question: Prompt) -> AsyncGenerator[str | Generation]:
        """Answer a question as the engine does, once the model is loaded.

        Raises:
            Loading: it is being loaded.
            Unanswerable, Unavailable: as the engine does.
        """
        await self._warm_up()
        asked = time.monotonic()
        try:
            async with aclosing(self._engine.generate(question)) as answer:
                async for piece in answer:
                    self._gave = time.monotonic()
                    yield piece
        except Unanswerable:
            self._gave = time.monotonic()
            raise
        except Loading:
            self._gave = -math.inf
            raise
        finally:
            if self._gave < asked and time.monotonic() - asked > SILENT_S:
                self._gave = -math.inf

    async def check_health(self) -> None:
        """Have the server answer a token. One that loads its model is sound.

        Raises:
            Unavailable: it doesn't.
        """
        before = self._gave
        try:
            await self._warm_up()
        except Loading:
            return
        if self._gave == before:
            await self._engine.check_health()
            self._gave = time.monotonic()

    async def close(self) -> None:
        """Close the engine."""
        for task in (self._load, self._keeping):
            if task is not None:
                task.cancel()
        await self._engine.close()

    async def _warm_up(self) -> None:
        """Wait a little until the server has loaded its model, where it may have none.

        Raises:
            Loading: it has not.
            Unavailable: it can't be asked, or took too long.
        """
        if self._keep_warm is not None and self._keeping is None:
            self._keeping = asyncio.create_task(self._kept_warm(self._keep_warm))
        if time.monotonic() - self._gave <= IDLE_S:
            return
        if self._load is None or self._load.done():
            self._load_began = time.monotonic()
            self._load = asyncio.create_task(self._loaded())
        # A request that is cancelled doesn't cancel the load.
        done, _ = await asyncio.wait([self._load], timeout=WAIT_S)
        if not done:
            raise Loading(_LOADS, AGAIN_S)
        if (error := self._load.exception()) is not None:
            raise error

    async def _loaded(self) -> None:
        told = False
        try:
            async with asyncio.timeout(self._patience):
                while True:
                    try:
                        await self._engine.load(self._patience)
                    except RefusedByServer as error:
                        raise Misconfigured(f"the model's server refuses every question: {error.words}") from None
                    except Unanswerable:
                        # It answers, if only with thoughts.
                        break
                    except Loading as error:
                        if not told:
                            log.info("the model's server loads its model", engine=self.name, model=self.version)
                        told = True
                        await asyncio.sleep(error.wait or AGAIN_S)
                    else:
                        break
        except TimeoutError:
            raise Unavailable(f"the model's server did not load its model within {self._patience:.0f} s") from None
        self._gave = time.monotonic()
        if (seconds := self._gave - self._load_began) > WAIT_S:
            log.info("the model's server has loaded its model", engine=self.name, model=self.version, seconds=seconds)

    async def _kept_warm(self, every: float) -> None:
        while True:
            await asyncio.sleep(max(AGAIN_S, self._gave + every - time.monotonic()))
            if time.monotonic() - self._gave < every:
                continue
            try:
                await self._engine.load(self._patience)
            except Unanswerable:
                pass
            except Unavailable as error:
                # The next question finds out what it is.
                log.info("the model's server is not kept warm", engine=self.name, error=type(error).__name__)
                await asyncio.sleep(every)
                continue
            self._gave = time.monotonic()


_LOADS = "the model's server loads its model"
