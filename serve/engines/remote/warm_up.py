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

from operators.errors import MisconfiguredError, ModelLoadingError, UnavailableError
from serve.engines.protocol import Engine, Generation, NonRetryableError, Prompt
from serve.engines.server_errors import ServerRejectedError

log = structlog.get_logger(__name__)

DOWNSCALE_DELAY_S = 60.0
"""Seconds without an answer, after which a server may have unloaded its model."""
SILENCE_S = 5.0
"""Seconds without a word to anybody, after which a question that is given up tells the same."""
LOAD_WAIT_S = 2.0
"""Seconds that a question waits for the model."""
LOAD_RETRY_S = 1.0
"""Seconds before the next attempt of a request that was refused while the model loads."""


class LoadsOnDemand(Engine[Prompt], Protocol):
    """An engine whose server may load its model first."""

    async def load(self, silence_s: float) -> None:
        """Answer a token.

        Args:
            seconds: that the server may be silent.

        Raises:
            NonRetryableError: it refuses even a control question, or gave no text.
            ModelLoadingError: it says that it loads its model.
            UnavailableError: it does not answer.
        """
        ...


class WarmUpEngine:
    """An engine whose server is asked for a token of its own first.

    Args:
        engine: the one that asks the server. It is closed with this.
        patience: seconds that the server may take to load its model.
        keep_warm: seconds without a question after which it is asked for a token, so that it keeps its model; None for never.
    """

    def __init__(self, engine: LoadsOnDemand, load_timeout_s: float, keep_warm_s: float | None = None) -> None:
        self._engine = engine
        self._load_timeout_s, self._keep_warm_s = load_timeout_s, keep_warm_s
        self._last_output_at = -math.inf
        """When the server last gave something, by the monotonic clock."""
        self._load_task: asyncio.Task[None] | None = None
        self._load_started_at = 0.0
        self._keep_warm_task: asyncio.Task[None] | None = None

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
        is_loading = self._load_task is not None and not self._load_task.done()
        return _LOADING_MESSAGE if is_loading and time.monotonic() - self._load_started_at > LOAD_WAIT_S else None

    async def generate(self, request: Prompt) -> AsyncGenerator[str | Generation]:
        """Answer a question as the engine does, once the model is loaded.

        Raises:
            ModelLoadingError: it is being loaded.
            Unanswerable, Unavailable: as the engine does.
        """
        await self._warm_up()
        started_at = time.monotonic()
        try:
            async with aclosing(self._engine.generate(request)) as stream:
                async for piece in stream:
                    self._last_output_at = time.monotonic()
                    yield piece
        except NonRetryableError:
            self._last_output_at = time.monotonic()
            raise
        except ModelLoadingError:
            self._last_output_at = -math.inf
            raise
        finally:
            if self._last_output_at < started_at and time.monotonic() - started_at > SILENCE_S:
                self._last_output_at = -math.inf

    async def check_health(self) -> None:
        """Have the server answer a token. One that loads its model is sound.

        Raises:
            UnavailableError: it doesn't.
        """
        before = self._last_output_at
        try:
            await self._warm_up()
        except ModelLoadingError:
            return
        if self._last_output_at == before:
            await self._engine.check_health()
            self._last_output_at = time.monotonic()

    async def close(self) -> None:
        """Close the engine."""
        for task in (self._load_task, self._keep_warm_task):
            if task is not None:
                task.cancel()
        await self._engine.close()

    async def _warm_up(self) -> None:
        """Wait a little until the server has loaded its model, where it may have none.

        Raises:
            ModelLoadingError: it has not.
            UnavailableError: it can't be asked, or took too long.
        """
        if self._keep_warm_s is not None and self._keep_warm_task is None:
            self._keep_warm_task = asyncio.create_task(self._keep_warm_loop(self._keep_warm_s))
        if time.monotonic() - self._last_output_at <= DOWNSCALE_DELAY_S:
            return
        if self._load_task is None or self._load_task.done():
            self._load_started_at = time.monotonic()
            self._load_task = asyncio.create_task(self._load_until_ready())
        # A request that is cancelled doesn't cancel the load.
        done, _ = await asyncio.wait([self._load_task], timeout=LOAD_WAIT_S)
        if not done:
            raise ModelLoadingError(_LOADING_MESSAGE, LOAD_RETRY_S)
        if (error := self._load_task.exception()) is not None:
            raise error

    async def _load_until_ready(self) -> None:
        is_logged = False
        try:
            async with asyncio.timeout(self._load_timeout_s):
                while True:
                    try:
                        await self._engine.load(self._load_timeout_s)
                    except ServerRejectedError as error:
                        raise MisconfiguredError(
                            f"the model's server refuses every question: {error.server_message}"
                        ) from None
                    except NonRetryableError:
                        # It answers, if only with thoughts.
                        break
                    except ModelLoadingError as error:
                        if not is_logged:
                            log.info("the model's server loads its model", engine=self.name, model=self.version)
                        is_logged = True
                        await asyncio.sleep(error.retry_after_s or LOAD_RETRY_S)
                    else:
                        break
        except TimeoutError:
            raise UnavailableError(
                f"the model's server did not load its model within {self._load_timeout_s:.0f} s"
            ) from None
        self._last_output_at = time.monotonic()
        if (seconds := self._last_output_at - self._load_started_at) > LOAD_WAIT_S:
            log.info("the model's server has loaded its model", engine=self.name, model=self.version, seconds=seconds)

    async def _keep_warm_loop(self, interval_s: float) -> None:
        while True:
            await asyncio.sleep(max(LOAD_RETRY_S, self._last_output_at + interval_s - time.monotonic()))
            if time.monotonic() - self._last_output_at < interval_s:
                continue
            try:
                await self._engine.load(self._load_timeout_s)
            except NonRetryableError:
                pass
            except UnavailableError as error:
                # The next question finds out what it is.
                log.info("the model's server is not kept warm", engine=self.name, error=type(error).__name__)
                await asyncio.sleep(interval_s)
                continue
            self._last_output_at = time.monotonic()


_LOADING_MESSAGE = "the model's server loads its model"
