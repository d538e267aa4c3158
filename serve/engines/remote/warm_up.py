"""Warm-up of servers that load their model on demand: Ollama, LM Studio, llama-swap.

Such a server loads its model while the first request waits, and starts over if that request is cancelled. So a warm-up request
without a deadline of a caller is sent first. It is sent if the server never answered, was idle for a while, or sent nothing for
a request. Meanwhile other requests wait briefly, and then fail with `ModelLoadingError`.
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
"""Seconds without output, after which a server may have unloaded its model."""
SILENCE_S = 5.0
"""Seconds after which a request that ends without any output means that the model may be unloaded."""
LOAD_WAIT_S = 2.0
"""Seconds that a request waits for the model to load."""
LOAD_RETRY_S = 1.0
"""Seconds before the next attempt of a request that was rejected while the model loads."""


class LoadsOnDemand(Engine[Prompt], Protocol):
    """Interface of an engine whose server may have to load its model first."""

    async def load(self, silence_s: float) -> None:
        """Have the server load its model and produce a token.

        Args:
            silence_s: seconds for which the server may send nothing.

        Raises:
            NonRetryableError: the server rejects even a control request, or produced no text.
            ModelLoadingError: the server reports that it loads its model.
            UnavailableError: the server does not answer.
        """
        ...


class WarmUpEngine:
    """An engine whose server gets a warm-up request before others.

    Args:
        engine: the engine that calls the server. `close` closes it as well.
        load_timeout_s: seconds that the server may take to load its model.
        keep_warm_s: idle seconds after which a token is requested, so that the server keeps its model; None for never.
    """

    def __init__(self, engine: LoadsOnDemand, load_timeout_s: float, keep_warm_s: float | None = None) -> None:
        self._engine = engine
        self._load_timeout_s, self._keep_warm_s = load_timeout_s, keep_warm_s
        self._last_output_at = -math.inf
        """Time of the server's last output, on the monotonic clock; minus infinity if its model may be unloaded."""
        self._load_task: asyncio.Task[None] | None = None
        self._load_started_at = 0.0
        self._keep_warm_task: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """Name of the wrapped engine."""
        return self._engine.name

    @property
    def version(self) -> str:
        """Version of the wrapped engine."""
        return self._engine.version

    @property
    def problem(self) -> str | None:
        """A message while the server loads its model, after the first `LOAD_WAIT_S` seconds; None otherwise."""
        is_loading = self._load_task is not None and not self._load_task.done()
        return _LOADING_MESSAGE if is_loading and time.monotonic() - self._load_started_at > LOAD_WAIT_S else None

    async def generate(self, request: Prompt) -> AsyncGenerator[str | Generation]:
        """Answer a request with the wrapped engine, once the model is loaded.

        Raises:
            ModelLoadingError: the model is being loaded.
            NonRetryableError: as the engine does.
            UnavailableError: as the engine does; or the model could not be loaded.
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
        """Have the server produce a token. A server that loads its model counts as healthy.

        Raises:
            UnavailableError: the server produces none.
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
        """Close the wrapped engine, and stop the background requests."""
        for task in (self._load_task, self._keep_warm_task):
            if task is not None:
                task.cancel()
        await self._engine.close()

    async def _warm_up(self) -> None:
        """Have the server load its model if that may be unloaded, and wait up to `LOAD_WAIT_S` seconds for it.

        Raises:
            ModelLoadingError: the model is still being loaded.
            UnavailableError: the server can't be reached, is misconfigured, or took too long.
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
                            f"the model's server refuses every request: {error.server_message}"
                        ) from None
                    except NonRetryableError:
                        # The server answers, if only with reasoning.
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
                # The next request will show the problem.
                log.info("the model's server is not kept warm", engine=self.name, error=type(error).__name__)
                await asyncio.sleep(interval_s)
                continue
            self._last_output_at = time.monotonic()


_LOADING_MESSAGE = "the model's server loads its model"
