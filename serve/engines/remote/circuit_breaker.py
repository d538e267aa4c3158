"""Circuit breaker in front of a remote model server: while the server is down, requests fail at once.

`circuit_state` has the states. This module decides what counts as a failure. The rules:

- `UnavailableError` is a failure. `NonRetryableError` is none: the server answered.
- A rejection may affect every request (`ServerRejectedError`). If the server answered another one within `RECENT_ANSWER_S`, or
  answers a control request, the rejection affects this request only. Otherwise the server is misconfigured.
- A misconfigured server (`MisconfiguredError`) gets no requests for a pause, which grows each time. It is logged once. After
  each pause the server gets a control request, until it answers.
- A failure at a request (`ServerFailureError`) that would open the breaker is followed by a control request. If the server
  answers that one, the failure affects this request only: one meeting must not block a server for the others.
- A server that loads its model (`ModelLoadingError`) is no failure: it answers once the model is loaded.
- A cancelled request counts neither way, because its deadline is the caller's. Nor does `MalformedResponseError`: broken
  answers to one meeting's requests must not stop the others'.
- While half open, one request at a time passes, so that a server that just recovered isn't overloaded.
- A server that names a time to wait (`UnavailableError.retry_after_s`) gets no requests for that long.

Health checks bypass the breaker. If they counted, a server that is down while idle would open it before the first caption.
If they were rejected, Serve would replace a healthy replica, which would not bring the server back. They request a token
only until the first answer, so they don't flood the server.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

import structlog
from ray.serve import metrics

from operators.errors import MalformedResponseError, MisconfiguredError, ModelLoadingError, UnavailableError
from serve.engines.protocol import CONTROL_PROMPT, Engine, Generation, NonRetryableError, Prompt, collect, problem_of
from serve.engines.remote.circuit_state import CircuitBreaker, CircuitState
from serve.engines.server_errors import ServerFailureError, ServerRejectedError
from serve.metric_tags import metric_tag
from storage.cancellation import retrieve_exception

log = structlog.get_logger(__name__)

MAX_FAILURE_COUNT = 5
"""Consecutive failures that open the breaker."""
OPEN_S = 30.0
"""Seconds from the opening until the breaker is half open."""
_MAX_RETRY_AFTER_S = 600.0
"""The longest wait in seconds that a server may name: nothing else would notice that it recovered."""
RECENT_ANSWER_S = 10.0
"""Seconds after an answer during which a rejection affects that one request only."""
_FIRST_PROBE_PAUSE_S, _MAX_PROBE_PAUSE_S = 2.0, 60.0
"""First and longest pause in seconds before the next control request to a misconfigured server. The pause doubles."""
_MIN_PROBE_PAUSE_S = 0.5
"""Shortest pause in seconds between two control requests to a misconfigured server."""


class CircuitBreakerEngine:
    """An engine behind a circuit breaker. Each replica has its own breaker.

    Args:
        engine: the engine that calls a remote server. `close` closes it as well.
    """

    def __init__(self, engine: Engine[Prompt]) -> None:
        self._engine = engine
        self._circuit = CircuitBreaker(MAX_FAILURE_COUNT, OPEN_S)
        self._has_answered = False
        self._trial_in_flight = False
        """Whether the one request that a half-open breaker lets through is in flight."""
        self._last_answer_at = -math.inf
        """Time of the server's last answer, on the monotonic clock."""
        self._control_task: asyncio.Task[None] | None = None
        self._problem: str | None = None
        """Why the server rejects every request; None if it doesn't."""
        self._probe_pause_s = _FIRST_PROBE_PAUSE_S
        self._probe_task: asyncio.Task[None] | None = None
        tags = {"engine": engine.name, "model": metric_tag(engine.version)}
        self._state_gauge = metrics.Gauge(
            "parley_engine_breaker",
            "State of an engine's circuit breaker: 0 closed, 1 half open, 2 open",
            tag_keys=("engine", "model"),  # pyright: ignore[reportArgumentType] - typed for one key only
        )
        # A copy, because Serve adds its own tags to the dictionary.
        self._state_gauge.set_default_tags(dict(tags))
        self._rejection_counter = metrics.Counter(
            "parley_engine_refused",
            "Requests that an engine's circuit breaker rejected",
            tag_keys=("engine", "model"),  # pyright: ignore[reportArgumentType] - typed for one key only
        )
        self._rejection_counter.set_default_tags(dict(tags))
        self._update_gauge()

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
        """Why the server rejects every request, or the wrapped engine's problem; None if no problem is known."""
        return self._problem or problem_of(self._engine)

    async def generate(self, request: Prompt) -> AsyncGenerator[str | Generation]:
        """Answer a request with the wrapped engine.

        Raises:
            NonRetryableError: as the engine does.
            UnavailableError: as the engine does; or at once, with the seconds to wait, while the breaker is open.
        """
        is_trial = self._trial_in_flight = self._admit() is CircuitState.HALF_OPEN
        try:
            async with aclosing(self._engine.generate(request)) as stream:
                async for piece in stream:
                    if isinstance(piece, Generation):
                        self._record_answer()
                    yield piece
        except ServerRejectedError:
            if time.monotonic() - self._last_answer_at >= RECENT_ANSWER_S:
                await self._check_control()
            self._circuit.record_success(time.monotonic())
            raise
        except ServerFailureError as error:
            if (is_trial or self._circuit.is_next_failure_last) and await self._is_control_answered():
                raise MalformedResponseError(
                    "the model's server fails at this request, and answers another one"
                ) from error
            self._record_failure(error)
            raise
        except NonRetryableError:
            self._record_answer()
            raise
        except (MalformedResponseError, ModelLoadingError):
            raise
        except UnavailableError as error:
            self._record_failure(error)
            raise
        finally:
            if is_trial:
                self._trial_in_flight = False
            self._update_gauge()

    async def check_health(self) -> None:
        """Have the engine produce a token, past the breaker, unless it has ever answered.

        After its first answer the engine counts as healthy even if its server is down: a new replica would not bring the server
        back, and each token may cost money.

        Raises:
            UnavailableError: the engine has never answered, and doesn't now.
        """
        if not self._has_answered:
            await self._engine.check_health()
            self._has_answered = True

    async def close(self) -> None:
        """Close the wrapped engine."""
        for task in (self._control_task, self._probe_task):
            if task is not None:
                task.cancel()
        await self._engine.close()

    async def _check_control(self) -> None:
        """Check that a server which rejected a request, or failed at it, answers a control request.

        Raises:
            UnavailableError: the server doesn't answer it, either for now or because it is misconfigured.
        """
        # Requests that are rejected at the same time share one control request, and none of them cancels it for the others.
        if self._control_task is None or self._control_task.done():
            self._control_task = asyncio.create_task(self._run_control_prompt())
            self._control_task.add_done_callback(retrieve_exception)
        await asyncio.shield(self._control_task)

    async def _is_control_answered(self) -> bool:
        try:
            await self._check_control()
        except UnavailableError:
            return False
        return True

    async def _run_control_prompt(self) -> None:
        try:
            await collect(self._engine.generate(CONTROL_PROMPT))
        except ServerRejectedError as error:
            # The message can quote nothing but the control request.
            problem = MisconfiguredError(f"the model's server refuses every request: {error.server_message}")
            self._record_failure(problem)
            raise problem from None
        except NonRetryableError:
            self._record_answer()
        except (MalformedResponseError, ModelLoadingError):
            raise
        except UnavailableError as error:
            self._record_failure(error)
            raise
        else:
            self._record_answer()

    def _record_answer(self) -> None:
        self._has_answered = True
        self._last_answer_at = time.monotonic()
        self._circuit.record_success(self._last_answer_at)
        if self._problem is not None:
            log.info("the model's server answers again", engine=self.name, model=self.version)
            self._problem, self._probe_pause_s = None, _FIRST_PROBE_PAUSE_S

    def _record_failure(self, error: UnavailableError) -> None:
        now = time.monotonic()
        remaining_s = self._circuit.blocked_s(now)
        if isinstance(error, MisconfiguredError) and self._problem is not None and remaining_s > 0:
            # Another request was rejected at the same time, and has set the pause.
            error.retry_after_s = remaining_s
        elif isinstance(error, MisconfiguredError):
            error.retry_after_s, self._probe_pause_s = (
                self._probe_pause_s,
                min(2 * self._probe_pause_s, _MAX_PROBE_PAUSE_S),
            )
            if str(error) != self._problem:
                self._problem = str(error)
                log.error(
                    "the model's server refuses every request",
                    engine=self.name,
                    model=self.version,
                    problem=self._problem,
                )
            if self._probe_task is None or self._probe_task.done():
                self._probe_task = asyncio.create_task(self._probe_until_answered())
        else:
            self._circuit.record_failure(now)
        if error.retry_after_s is not None:
            # The bound applies to the caller's retry as well.
            error.retry_after_s = min(error.retry_after_s, _MAX_RETRY_AFTER_S)
            self._circuit.block(now + error.retry_after_s)

    async def _probe_until_answered(self) -> None:
        """Send control requests to a server that rejects every request, after growing pauses, until it answers."""
        while True:
            await asyncio.sleep(max(_MIN_PROBE_PAUSE_S, self._circuit.blocked_s(time.monotonic())))
            if self._problem is None:
                return
            if self._circuit.blocked_s(time.monotonic()) > 0:
                continue
            with suppress(NonRetryableError, UnavailableError):
                # `generate` has recorded the error.
                await collect(self.generate(CONTROL_PROMPT))

    def _admit(self) -> CircuitState:
        """Reject a request while the breaker is open.

        Returns:
            The state in which the request passes: closed or half open.

        Raises:
            UnavailableError: the breaker is open, with the seconds to wait; or half open, and its trial request is in flight.
        """
        now = time.monotonic()
        wait_s = self._circuit.wait_s(now)
        self._update_gauge()
        if wait_s > 0 or self._trial_in_flight:
            self._rejection_counter.inc()
            reason = self._problem or "it failed repeatedly, or asked to wait"
            raise UnavailableError(f"the model's server gets no requests for a while: {reason}", wait_s or None)
        return self._circuit.state(now)

    def _update_gauge(self) -> None:
        self._state_gauge.set(self._circuit.state(time.monotonic()))
