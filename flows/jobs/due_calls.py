"""Due calls: the loop of jobs that call a model for due rows, a few at a time, each by itself.

A row is due until its result is written. So what a crash or a stop interrupts is called again.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar
from uuid import UUID

import structlog
from cachetools import LRUCache
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from operators.errors import DeferredError, MalformedResponseError, ParleyError, UnavailableError
from operators.token_quota import QuotaExceededError
from storage.batch_commit.refused_content import is_refused_content
from storage.cancellation import cancel_tasks, raise_if_cancelled

FAILURE_PAUSE_S = 5.0
"""Seconds before a row is tried again whose outcome could not be stored."""
MAX_OUTAGES = 10_000
"""Maximum number of rows whose outages are counted in memory."""

log = structlog.get_logger(__name__)


class DueItem(Protocol):
    """A row that is due."""

    @property
    def key(self) -> UUID:
        """The row's id."""
        ...


ItemT = TypeVar("ItemT", bound=DueItem)


@dataclass(frozen=True, slots=True)
class CallFailure:
    """Why a call failed.

    Attributes:
        reason: in words for the user, without transcript text.
        is_outage: whether the service is unavailable, for reasons that don't concern this call.
    """

    reason: str
    is_outage: bool


def describe_failure(error: BaseException) -> CallFailure:
    """Tell whether an error of a call is an outage, and describe it.

    A call that took too long counts as an outage: an overloaded service, or one that loads its model, takes long for all.
    """
    if isinstance(error, TimeoutError):
        return CallFailure("the engine took too long", is_outage=True)
    if isinstance(error, asyncio.CancelledError):
        return CallFailure("the engine cancelled the call", is_outage=True)
    if is_refused_content(error):
        return CallFailure("its answer can't be stored", is_outage=False)
    if isinstance(error, (OperationalError, InterfaceError, PoolTimeout)):
        return CallFailure("the database is unavailable", is_outage=True)
    if isinstance(error, QuotaExceededError):
        return CallFailure(str(error), is_outage=True)
    if isinstance(error, DeferredError):
        return CallFailure("no engine serves it at the moment", is_outage=True)
    # Ray wraps the error of a replica.
    cause = getattr(error, "cause", error)
    is_outage = isinstance(cause, UnavailableError) and not isinstance(cause, MalformedResponseError)
    reason = str(cause) if isinstance(cause, ParleyError) else ""
    return CallFailure(reason or f"the engine failed: {type(cause).__name__}", is_outage)


class OutagePauses:
    """The pauses between attempts during an outage: one second first, then twice as long each time.

    Args:
        max_s: the longest pause, in seconds.
    """

    def __init__(self, max_s: float) -> None:
        self._max_s = max_s
        self._counts = LRUCache[UUID, int](MAX_OUTAGES)

    def next_s(self, key: UUID) -> float:
        """Count an outage for a row, and return the seconds until it is tried again."""
        count = self._counts[key] = self._counts.get(key, 0) + 1
        return min(self._max_s, 2.0 ** min(count - 1, 16))

    def forget(self, key: UUID) -> None:
        """Forget the outages of a row."""
        self._counts.pop(key, None)


class DueCalls(ABC, Generic[ItemT]):
    """Processes due rows.

    Args:
        max_calls: most rows that are processed at once.
        poll_s: seconds between two checks for due rows.
    """

    def __init__(self, max_calls: int, poll_s: float) -> None:
        self._max_calls, self._poll_s = max_calls, poll_s
        self._running: dict[UUID, asyncio.Task[None]] = {}
        self._held_until: dict[UUID, float] = {}

    @abstractmethod
    async def _read_due(self, except_ids: Sequence[UUID], limit: int) -> list[ItemT]:
        """Read due rows, other than those with these ids."""

    @abstractmethod
    async def _process(self, item: ItemT) -> None:
        """Call the model for a row, and store the result."""

    @abstractmethod
    async def _record_failure(self, item: ItemT, error: BaseException) -> None:
        """Store that a row could not be processed, and when it is due again. An error of this holds the row for a while."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Process due rows until stopped. Those under way are processed again after the next start."""
        stop_wait = asyncio.ensure_future(stopping.wait())
        try:
            while not stopping.is_set():
                pause_s = self._poll_s
                try:
                    await self.start_due()
                except SQLAlchemyError as error:
                    log.warning("due calls postponed", job=type(self).__name__, error=type(error).__name__)
                except Exception as error:  # noqa: BLE001 - an unreadable row must not end the job, or the jobs beside it
                    log.error("due calls failed", job=type(self).__name__, error=type(error).__name__)
                    pause_s = FAILURE_PAUSE_S
                waits = {stop_wait, *self._running.values()}
                await asyncio.wait(waits, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop_wait.cancel()
            await cancel_tasks(list(self._running.values()))

    async def start_due(self) -> int:
        """Start to process as many due rows as may run at once.

        Returns:
            The number of those that run.
        """
        now = time.monotonic()
        self._running = {key: task for key, task in self._running.items() if not task.done()}
        self._held_until = {key: until for key, until in self._held_until.items() if until > now}
        free = self._max_calls - len(self._running)
        if free > 0:
            for item in await self._read_due([*self._running, *self._held_until], free):
                self._running[item.key] = asyncio.create_task(self._process_alone(item))
        return len(self._running)

    async def finish_running(self) -> None:
        """Wait until the rows under way are processed."""
        await asyncio.gather(*self._running.values())

    async def _process_alone(self, item: ItemT) -> None:
        try:
            try:
                await self._process(item)
            except (asyncio.CancelledError, Exception) as error:  # noqa: BLE001 - one row must not stop the others: it is recorded
                raise_if_cancelled()
                log.warning("due call failed", job=type(self).__name__, key=str(item.key), error=type(error).__name__)
                await self._record_failure(item, error)
        except (asyncio.CancelledError, Exception) as error:  # noqa: BLE001 - as above: the row is held, and tried again
            raise_if_cancelled()
            log.warning("due call not stored", job=type(self).__name__, key=str(item.key), error=type(error).__name__)
            self._held_until[item.key] = time.monotonic() + FAILURE_PAUSE_S
