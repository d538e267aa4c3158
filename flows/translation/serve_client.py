"""Client of one translation application on Ray Serve."""

from __future__ import annotations

import asyncio
from typing import Any

from ray import serve as ray_serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, RayServeException

from operators.errors import UnavailableError
from operators.translation_requests import CaptionStatus, Translation, TranslationRequest

LOOKUP_TIMEOUT_S = 5.0
"""Seconds that a call waits for Serve's controller to look the application up."""
REFRESH_TIMEOUT_S = 0.5
"""Seconds to wait for a new lookup after a failed call. The known handle is used if that times out."""


async def translation_is_off(request: TranslationRequest) -> Translation:
    """Answer a request while translation is off: it is untranslated, with the reason."""
    return Translation(CaptionStatus.UNTRANSLATED, None, "none", "translation is off")


class TranslationClient:
    """Calls a translation application of Serve, from one event loop.

    The application is looked up once, and again after a failed call. So calls succeed while Serve's controller is
    unavailable, as long as the replicas run.

    Args:
        name: the application's name.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._handle: Any = None
        self._stale = False
        self._lookup: asyncio.Task[Any] | None = None

    async def translate(self, request: TranslationRequest) -> Translation:
        """Translate a request.

        Raises:
            UnavailableError: the application can't be reached, rejects the call (backpressure), or lost the replica it used.
            RayTaskError: the application raised an error. It is an instance of that error's type as well.
        """
        return await self._call("translate", request)

    async def check_ready(self) -> None:
        """Check that the application's engine produces a token, unless it did a moment ago.

        The check waits for a replica that is starting.

        Raises:
            UnavailableError: the engine produced no token, its server refuses every request or still loads its model, or as
                for `translate`.
        """
        await self._call("check_ready")

    async def _call(self, method: str, *arguments: object) -> Any:
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
            raise UnavailableError(f"translation: {type(error).__name__}") from error

    async def _look_up(self) -> Any:
        # Ray's lookup blocks its thread while the controller is unavailable, so concurrent calls share one lookup.
        lookup = self._lookup = self._lookup or asyncio.create_task(
            asyncio.to_thread(ray_serve.get_app_handle, self._name)
        )
        done, _ = await asyncio.wait([lookup], timeout=LOOKUP_TIMEOUT_S if self._handle is None else REFRESH_TIMEOUT_S)
        if not done and self._handle is not None:
            return self._handle
        if not done:
            raise UnavailableError("translation: Serve's controller does not answer")
        if self._lookup is lookup:
            self._lookup = None
        try:
            self._handle = lookup.result()
        except (RayError, RayServeException) as error:
            raise UnavailableError(f"translation: {type(error).__name__}") from error
        self._stale = False
        return self._handle
