"""A handle to one application on Ray Serve, which survives the loss of Serve's controller.

Importing this module imports Ray Serve.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ray import serve as ray_serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, RayServeException

from operators.errors import UnavailableError

LOOKUP_TIMEOUT_S = 5.0
"""Seconds that a call waits for Serve's controller to look the application up."""
REFRESH_TIMEOUT_S = 0.5
"""Seconds to wait for a new lookup after a failed call. The known handle is used if that times out."""


class ServeApplication:
    """Calls an application of Serve, from one event loop.

    The application is looked up once, and again after a failed call. So calls succeed while Serve's controller is
    unavailable, as long as the replicas run.

    Args:
        name: the application's name.
        purpose: what it does, for error messages.
    """

    def __init__(self, name: str, purpose: str) -> None:
        self._name, self._purpose = name, purpose
        self._handle: Any = None
        self._stale = False
        self._lookup: asyncio.Task[Any] | None = None

    async def call(self, method: str, *arguments: object) -> Any:
        """Call a method. Cancelling the call cancels the work in the replica.

        Raises:
            UnavailableError: the application can't be reached, rejects the call (backpressure), or lost the replica it used.
            RayTaskError: the application raised an error. It is an instance of that error's type as well.
        """
        response = None
        try:
            handle = await self._look_up() if self._handle is None or self._stale else self._handle
            response = getattr(handle, method).remote(*arguments)
            return await response
        except asyncio.CancelledError:
            # Otherwise the replica would continue to work on a result that is no longer needed.
            if response is not None:
                response.cancel()
            raise
        except RayTaskError:
            raise
        except (RayError, RayServeException) as error:
            # A replica or the whole application may be gone: the next call looks it up again.
            self._stale = self._stale or not isinstance(error, BackPressureError)
            raise UnavailableError(f"{self._purpose}: {type(error).__name__}") from error

    async def _look_up(self) -> Any:
        # Ray's lookup blocks its thread while the controller is unavailable, so concurrent calls share one lookup.
        lookup = self._lookup = self._lookup or asyncio.create_task(
            asyncio.to_thread(ray_serve.get_app_handle, self._name)
        )
        done, _ = await asyncio.wait([lookup], timeout=LOOKUP_TIMEOUT_S if self._handle is None else REFRESH_TIMEOUT_S)
        if not done and self._handle is not None:
            return self._handle
        if not done:
            raise UnavailableError(f"{self._purpose}: Serve's controller does not answer")
        if self._lookup is lookup:
            self._lookup = None
        try:
            self._handle = lookup.result()
        except (RayError, RayServeException) as error:
            raise UnavailableError(f"{self._purpose}: {type(error).__name__}") from error
        self._stale = False
        return self._handle
