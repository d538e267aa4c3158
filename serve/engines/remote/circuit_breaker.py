"""A circuit breaker before a server elsewhere: one that is down is left alone for a while, and who asks is told so at once.

The states are purgatory's: closed, open after failures in a row, half open once its time is over, until an answer shows how
the server is. Its context manager would take a cancelled question for a good answer, so its state machine is asked directly.
What counts:

- `UnavailableError` is a failure. `NonRetryableError` is none: the server answered.
- A refusal that may be about every question (`ServerRejectedError`) is about this one where the server answered another one a
  moment ago, or answers a control question. Else the server is misconfigured.
- A server that is misconfigured (`MisconfiguredError`) is left alone at once, for longer each time. The log tells it once. After
  each pause it is asked a control question, until it answers.
- A failure at a question (`ServerFailureError`) that would open it is about that question alone where the server answers a control
  question: one meeting must not shut a server for the others.
- A server that loads its model (`ModelLoadingError`) is no failure: it answers once that is done.
- An answer that nobody waited for says nothing either way. A deadline tells more of whoever set it. Neither does one that
  is `MalformedResponseError`: broken answers to one meeting's questions must not stop the others'.
- Half open, one question at a time is let through: a server that just came back is not run over.
- A server that says for how long it wants to be left alone (`UnavailableError.wait`) is left alone for that long.

Health checks go past it. If they counted, a server that is away while nobody asks anything would find it open when the first
caption is asked for; if they were refused, Serve would replace a replica that is sound, since another one would not
bring the server back. They ask for a token only until the first one came, so nobody is flooded by it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

import structlog
from purgatory.domain.model import CLOSED, HALF_OPENED, OPENED, Context, OpenedState
from ray.serve import metrics

from operators.errors import MalformedResponseError, MisconfiguredError, ModelLoadingError, UnavailableError
from serve.engines.protocol import CONTROL_PROMPT, Engine, Generation, NonRetryableError, Prompt, collect, problem_of
from serve.engines.server_errors import ServerFailureError, ServerRejectedError
from serve.metric_tags import metric_tag

log = structlog.get_logger(__name__)

MAX_FAILURE_COUNT = 5
"""In a row, that open it."""
OPEN_S = 30.0
"""Seconds for which it is open."""
_MAX_RETRY_AFTER_S = 600.0
"""Seconds for which a server is left alone at most, whatever it says: nothing else would find out that it is back."""
RECENT_ANSWER_S = 10.0
"""Seconds for which an answer shows that a server answers other questions than the one that it refuses."""
_FIRST_PROBE_PAUSE_S, _MAX_PROBE_PAUSE_S = 2.0, 60.0
"""Seconds for which a server that is misconfigured is left alone: at first, and what that doubles up to."""
_MIN_PROBE_PAUSE_S = 0.5
"""Seconds between two of these questions at least, whatever the server did in between."""
_STATE_VALUES = {CLOSED: 0, HALF_OPENED: 1, OPENED: 2}


class CircuitBreakerEngine:
    """An engine behind a circuit breaker, which is its own: each replica finds out for itself.

    Args:
        engine: the one that asks a server elsewhere. It is closed with this.
    """

    def __init__(self, engine: Engine[Prompt]) -> None:
        self._engine = engine
        self._circuit = Context(engine.name, MAX_FAILURE_COUNT, OPEN_S)
        self._blocked_until = 0.0
        """Until when, by the monotonic clock, the server asked for it."""
        self._has_answered = False
        self._failure_count = 0
        """In a row."""
        self._trial_in_flight = False
        """Whether a question is under way that is to show how the server is."""
        self._last_answer_at = -math.inf
        """When the server last answered, by the monotonic clock."""
        self._control_task: asyncio.Task[None] | None = None
        self._problem: str | None = None
        """Why the server refuses every question; None where it doesn't."""
        self._probe_pause_s = _FIRST_PROBE_PAUSE_S
        self._probe_task: asyncio.Task[None] | None = None
        tags = {"engine": engine.name, "model": metric_tag(engine.version)}
        self._state_gauge = metrics.Gauge(
            "parley_engine_breaker",
            "State of an engine's circuit breaker: 0 closed, 1 half open, 2 open until its time is over and it is asked again",
            tag_keys=("engine", "model"),  # pyright: ignore[reportArgumentType] - typed for one key only
        )
        # Serve adds tags of its own to what it is given.
        self._state_gauge.set_default_tags(dict(tags))
        self._rejection_counter = metrics.Counter(
            "parley_engine_refused",
            "Questions that an engine's circuit breaker refused",
            tag_keys=("engine", "model"),  # pyright: ignore[reportArgumentType] - typed for one key only
        )
        self._rejection_counter.set_default_tags(dict(tags))
        self._update_gauge()

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
        """Why the server refuses every question, or why the engine answers nothing; None where nothing is known."""
        return self._problem or problem_of(self._engine)

    async def generate(self, request: Prompt) -> AsyncGenerator[str | Generation]:
        """Answer a question as the engine does.

        Raises:
            NonRetryableError: as the engine does.
            UnavailableError: as the engine does; or at once, with the seconds to wait, while the server is left alone.
        """
        self._admit()
        is_trial = self._trial_in_flight = self._circuit.state == HALF_OPENED
        try:
            async with aclosing(self._engine.generate(request)) as stream:
                async for piece in stream:
                    if isinstance(piece, Generation):
                        self._record_answer()
                    yield piece
        except ServerRejectedError:
            if time.monotonic() - self._last_answer_at >= RECENT_ANSWER_S:
                await self._check_control()
            self._record_success()
            raise
        except ServerFailureError as error:
            if (is_trial or self._failure_count + 1 >= MAX_FAILURE_COUNT) and await self._is_control_answered():
                raise MalformedResponseError(
                    "the model's server fails at this question, and answers another one"
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
        """Have the engine answer a token, past the breaker, until it has answered once.

        From then on it is sound, wherever its server is: another replica would not bring that back, and it may be paid by
        the token.

        Raises:
            UnavailableError: it never did.
        """
        if not self._has_answered:
            await self._engine.check_health()
            self._has_answered = True

    async def close(self) -> None:
        """Close the engine."""
        for task in (self._control_task, self._probe_task):
            if task is not None:
                task.cancel()
        await self._engine.close()

    async def _check_control(self) -> None:
        """Find out whether a server that refuses a question, or fails at it, answers another one.

        Raises:
            UnavailableError: it doesn't, either for now or because it is misconfigured.
        """
        # Questions that are refused at the same time share it, and none of them ends it for the others.
        if self._control_task is None or self._control_task.done():
            self._control_task = asyncio.create_task(self._run_control_prompt())
            self._control_task.add_done_callback(_retrieve_exception)
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
            # It quotes nothing but the control question.
            problem = MisconfiguredError(f"the model's server refuses every question: {error.server_message}")
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
        self._record_success()
        if self._problem is not None:
            log.info("the model's server answers again", engine=self.name, model=self.version)
            self._problem, self._probe_pause_s = None, _FIRST_PROBE_PAUSE_S

    def _record_success(self) -> None:
        self._failure_count = 0
        self._circuit.handle_end_request()

    def _record_failure(self, error: UnavailableError) -> None:
        remaining_s = self._blocked_until - time.monotonic()
        if isinstance(error, MisconfiguredError) and self._problem is not None and remaining_s > 0:
            # Another question was refused at the same time.
            error.retry_after_s = remaining_s
        elif isinstance(error, MisconfiguredError):
            error.retry_after_s, self._probe_pause_s = (
                self._probe_pause_s,
                min(2 * self._probe_pause_s, _MAX_PROBE_PAUSE_S),
            )
            if str(error) != self._problem:
                self._problem = str(error)
                log.error(
                    "the model's server refuses every question",
                    engine=self.name,
                    model=self.version,
                    problem=self._problem,
                )
            if self._probe_task is None or self._probe_task.done():
                self._probe_task = asyncio.create_task(self._probe_until_answered())
        else:
            self._failure_count += 1
            self._circuit.handle_exception(error)
        if error.retry_after_s is not None:
            # Whoever asks again after that wait is held to the bound as well.
            error.retry_after_s = min(error.retry_after_s, _MAX_RETRY_AFTER_S)
            self._blocked_until = max(self._blocked_until, time.monotonic() + error.retry_after_s)

    async def _probe_until_answered(self) -> None:
        """Ask a server that refuses every question until it answers, after ever longer pauses."""
        while True:
            await asyncio.sleep(max(_MIN_PROBE_PAUSE_S, self._blocked_until - time.monotonic()))
            if self._problem is None:
                return
            if time.monotonic() < self._blocked_until:
                continue
            with suppress(NonRetryableError, UnavailableError):
                # What it raises was noted.
                await collect(self.generate(CONTROL_PROMPT))

    def _admit(self) -> None:
        """Refuse a question while the server is left alone.

        Raises:
            UnavailableError: it is, for so many seconds; or another question is just finding out how it is.
        """
        wait_s = self._blocked_until - time.monotonic()
        if wait_s <= 0:
            try:
                self._circuit.handle_new_request()
            except OpenedState as opened:
                # It goes by the wall clock: one that was set back must not keep it open for longer.
                opened.opened_at = min(opened.opened_at, time.time())
                wait_s = max(0.001, opened.opened_at + OPEN_S - time.time())
                # It is one object for as long as it is open, and would hold on to every question that was refused.
                opened.with_traceback(None)
        self._update_gauge()
        if wait_s > 0 or self._trial_in_flight:
            self._rejection_counter.inc()
            reason = self._problem or "it failed too often, or asked for it"
            raise UnavailableError(
                f"the model's server is left alone for a while: {reason}", wait_s if wait_s > 0 else None
            )

    def _update_gauge(self) -> None:
        # Its events are for whoever keeps the states elsewhere.
        self._circuit.messages.clear()
        is_blocked = time.monotonic() < self._blocked_until
        self._state_gauge.set(_STATE_VALUES[OPENED if is_blocked else self._circuit.state])


def _retrieve_exception(task: asyncio.Task[None]) -> None:
    # Whoever waited for it may be gone.
    if not task.cancelled():
        task.exception()
