"""A circuit breaker before a server elsewhere: one that is down is left alone for a while, and who asks is told so at once.

The states are purgatory's: closed, open after failures in a row, half open once its time is over, until an answer shows how
the server is. Its context manager would take a cancelled question for a good answer, so its state machine is asked directly.
What counts:

- `Unavailable` is a failure. `Unanswerable` is none: the server answered.
- A refusal that may be about every question (`RefusedByServer`) is about this one where the server answered another one a
  moment ago, or answers a control question. Else the server is misconfigured.
- A server that is misconfigured (`Misconfigured`) is left alone at once, for longer each time. The log tells it once. After
  each pause it is asked a control question, until it answers.
- A failure at a question (`FailedAtServer`) that would open it is about that question alone where the server answers a control
  question: one meeting must not shut a server for the others.
- A server that loads its model (`Loading`) is no failure: it answers once that is done.
- An answer that nobody waited for says nothing either way. A deadline tells more of whoever set it. Neither does one that
  is `Malformed`: broken answers to one meeting's questions must not stop the others'.
- Half open, one question at a time is let through: a server that just came back is not run over.
- A server that says for how long it wants to be left alone (`Unavailable.wait`) is left alone for that long.

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

from operators.errors import Loading, Malformed, Misconfigured, Unavailable
from serve.engines.engine import CONTROL, Engine, Generation, Prompt, Unanswerable, problem_of, whole
from serve.engines.remote import FailedAtServer, RefusedByServer
from serve.metric_tags import metric_tag

log = structlog.get_logger(__name__)

FAILURES = 5
"""In a row, that open it."""
OPEN_S = 30.0
"""Seconds for which it is open."""
_LONGEST_S = 600.0
"""Seconds for which a server is left alone at most, whatever it says: nothing else would find out that it is back."""
ANSWERED_S = 10.0
"""Seconds for which an answer shows that a server answers other questions than the one that it refuses."""
_FIRST_PROBE_S, _LAST_PROBE_S = 2.0, 60.0
"""Seconds for which a server that is misconfigured is left alone: at first, and what that doubles up to."""
_LEAST_PAUSE_S = 0.5
"""Seconds between two of these questions at least, whatever the server did in between."""
_NUMBERS = {CLOSED: 0, HALF_OPENED: 1, OPENED: 2}


class Guarded:
    """An engine behind a circuit breaker, which is its own: each replica finds out for itself.

    Args:
        engine: the one that asks a server elsewhere. It is closed with this.
    """

    def __init__(self, engine: Engine[Prompt]) -> None:
        self._engine = engine
        self._circuit = Context(engine.name, FAILURES, OPEN_S)
        self._left_alone = 0.0
        """Until when, by the monotonic clock, the server asked for it."""
        self._answered = False
        self._failures = 0
        """In a row."""
        self._trying = False
        """Whether a question is under way that is to show how the server is."""
        self._answered_at = -math.inf
        """When the server last answered, by the monotonic clock."""
        self._control: asyncio.Task[None] | None = None
        self._problem: str | None = None
        """Why the server refuses every question; None where it doesn't."""
        self._probe_s = _FIRST_PROBE_S
        self._probing: asyncio.Task[None] | None = None
        tags = {"engine": engine.name, "model": metric_tag(engine.version)}
        self._state = metrics.Gauge(
            "parley_engine_breaker",
            "State of an engine's circuit breaker: 0 closed, 1 half open, 2 open until its time is over and it is asked again",
            tag_keys=("engine", "model"),  # pyright: ignore[reportArgumentType] - typed for one key only
        )
        # Serve adds tags of its own to what it is given.
        self._state.set_default_tags(dict(tags))
        self._refused = metrics.Counter(
            "parley_engine_refused",
            "Questions that an engine's circuit breaker refused",
            tag_keys=("engine", "model"),  # pyright: ignore[reportArgumentType] - typed for one key only
        )
        self._refused.set_default_tags(dict(tags))
        self._tell()

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

    async def generate(self, question: Prompt) -> AsyncGenerator[str | Generation]:
        """Answer a question as the engine does.

        Raises:
            Unanswerable: as the engine does.
            Unavailable: as the engine does; or at once, with the seconds to wait, while the server is left alone.
        """
        self._let_through()
        trying = self._trying = self._circuit.state == HALF_OPENED
        try:
            async with aclosing(self._engine.generate(question)) as answer:
                async for piece in answer:
                    if isinstance(piece, Generation):
                        self._note_answer()
                    yield piece
        except RefusedByServer:
            if time.monotonic() - self._answered_at >= ANSWERED_S:
                await self._ask_control()
            self._note_sound()
            raise
        except FailedAtServer as error:
            if (trying or self._failures + 1 >= FAILURES) and await self._answers_control():
                raise Malformed("the model's server fails at this question, and answers another one") from error
            self._note_failure(error)
            raise
        except Unanswerable:
            self._note_answer()
            raise
        except (Malformed, Loading):
            raise
        except Unavailable as error:
            self._note_failure(error)
            raise
        finally:
            if trying:
                self._trying = False
            self._tell()

    async def check_health(self) -> None:
        """Have the engine answer a token, past the breaker, until it has answered once.

        From then on it is sound, wherever its server is: another replica would not bring that back, and it may be paid by
        the token.

        Raises:
            Unavailable: it never did.
        """
        if not self._answered:
            await self._engine.check_health()
            self._answered = True

    async def close(self) -> None:
        """Close the engine."""
        for task in (self._control, self._probing):
            if task is not None:
                task.cancel()
        await self._engine.close()

    async def _ask_control(self) -> None:
        """Find out whether a server that refuses a question, or fails at it, answers another one.

        Raises:
            Unavailable: it doesn't, either for now or because it is misconfigured.
        """
        # Questions that are refused at the same time share it, and none of them ends it for the others.
        if self._control is None or self._control.done():
            self._control = asyncio.create_task(self._asked_control())
            self._control.add_done_callback(_taken)
        await asyncio.shield(self._control)

    async def _answers_control(self) -> bool:
        try:
            await self._ask_control()
        except Unavailable:
            return False
        return True

    async def _asked_control(self) -> None:
        try:
            await whole(self._engine.generate(CONTROL))
        except RefusedByServer as error:
            # It quotes nothing but the control question.
            problem = Misconfigured(f"the model's server refuses every question: {error.words}")
            self._note_failure(problem)
            raise problem from None
        except Unanswerable:
            self._note_answer()
        except (Malformed, Loading):
            raise
        except Unavailable as error:
            self._note_failure(error)
            raise
        else:
            self._note_answer()

    def _note_answer(self) -> None:
        self._answered = True
        self._answered_at = time.monotonic()
        self._note_sound()
        if self._problem is not None:
            log.info("the model's server answers again", engine=self.name, model=self.version)
            self._problem, self._probe_s = None, _FIRST_PROBE_S

    def _note_sound(self) -> None:
        self._failures = 0
        self._circuit.handle_end_request()

    def _note_failure(self, error: Unavailable) -> None:
        left = self._left_alone - time.monotonic()
        if isinstance(error, Misconfigured) and self._problem is not None and left > 0:
            # Another question was refused at the same time.
            error.wait = left
        elif isinstance(error, Misconfigured):
            error.wait, self._probe_s = self._probe_s, min(2 * self._probe_s, _LAST_PROBE_S)
            if str(error) != self._problem:
                self._problem = str(error)
                log.error(
                    "the model's server refuses every question",
                    engine=self.name,
                    model=self.version,
                    problem=self._problem,
                )
            if self._probing is None or self._probing.done():
                self._probing = asyncio.create_task(self._probe())
        else:
            self._failures += 1
            self._circuit.handle_exception(error)
        if error.wait is not None:
            # Whoever asks again after that wait is held to the bound as well.
            error.wait = min(error.wait, _LONGEST_S)
            self._left_alone = max(self._left_alone, time.monotonic() + error.wait)

    async def _probe(self) -> None:
        """Ask a server that refuses every question until it answers, after ever longer pauses."""
        while True:
            await asyncio.sleep(max(_LEAST_PAUSE_S, self._left_alone - time.monotonic()))
            if self._problem is None:
                return
            if time.monotonic() < self._left_alone:
                continue
            with suppress(Unanswerable, Unavailable):
                # What it raises was noted.
                await whole(self.generate(CONTROL))

    def _let_through(self) -> None:
        """Refuse a question while the server is left alone.

        Raises:
            Unavailable: it is, for so many seconds; or another question is just finding out how it is.
        """
        wait = self._left_alone - time.monotonic()
        if wait <= 0:
            try:
                self._circuit.handle_new_request()
            except OpenedState as opened:
                # It goes by the wall clock: one that was set back must not keep it open for longer.
                opened.opened_at = min(opened.opened_at, time.time())
                wait = max(0.001, opened.opened_at + OPEN_S - time.time())
                # It is one object for as long as it is open, and would hold on to every question that was refused.
                opened.with_traceback(None)
        self._tell()
        if wait > 0 or self._trying:
            self._refused.inc()
            reason = self._problem or "it failed too often, or asked for it"
            raise Unavailable(f"the model's server is left alone for a while: {reason}", wait if wait > 0 else None)

    def _tell(self) -> None:
        # Its events are for whoever keeps the states elsewhere.
        self._circuit.messages.clear()
        alone = time.monotonic() < self._left_alone
        self._state.set(_NUMBERS[OPENED if alone else self._circuit.state])


def _taken(control: asyncio.Task[None]) -> None:
    # Whoever waited for it may be gone.
    if not control.cancelled():
        control.exception()
