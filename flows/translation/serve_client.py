"""A flow's calls of the translation application of Ray Serve."""

from __future__ import annotations

import asyncio
from typing import Any

from ray import serve as ray_serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, RayServeException

from operators.errors import Unavailable
from operators.translation import CaptionStatus, Translation, TranslationRequest

LOOKUP_TIMEOUT_S = 5.0
"""Seconds that a call waits for Serve's controller to say where the application is."""
REFRESH_TIMEOUT_S = 0.5
"""The same where it was known, but a call failed: after that the call is tried there all the same."""


async def translation_is_off(request: TranslationRequest) -> Translation:
    """What a request is answered where nothing translates."""
    return Translation(CaptionStatus.UNTRANSLATED, None, "none", "translation is off")


class TranslationClient:
    """A translation application of Serve, for one event loop. Where it is, is asked once: the controller may be away while
    replicas answer as ever.

    Args:
        name: the application's.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._handle: Any = None
        self._stale = False
        self._lookup: asyncio.Task[Any] | None = None

    async def translate(self, request: TranslationRequest) -> Translation:
        """Ask for a translation.

        Raises:
            Unavailable: the application can't be reached, has too much to do, or lost the replica that was asked; whatever the
                application itself raised comes as it is.
        """
        return await self._call("translate", request)

    async def check_ready(self) -> None:
        """Have its engine give a token, where it gave none a moment ago. It waits for a replica that starts.

        Raises:
            Unavailable: it gave none, its server refuses every question or loads its model, or as above.
        """
        await self._call("check_ready")

    async def _call(self, method: str, *arguments: object) -> Any:
        response = None
        try:
            handle = await self._look_up() if self._handle is None or self._stale else self._handle
            response = getattr(handle, method).remote(*arguments)
            return await response
        except asyncio.CancelledError:
            # Serve goes on otherwise, with an answer that nobody waits for any more.
            if response is not None:
                response.cancel()
            raise
        except RayTaskError:
            raise
        except (RayError, RayServeException) as error:
            # One of several replicas may be gone, or all of the application: the next call asks.
            self._stale = self._stale or not isinstance(error, BackPressureError)
            raise Unavailable(f"translation: {type(error).__name__}") from error

    async def _look_up(self) -> Any:
        # Ray's own call blocks its thread for as long as the controller is away; the calls that wait for it share it.
        looking = self._lookup = self._lookup or asyncio.create_task(
            asyncio.to_thread(ray_serve.get_app_handle, self._name)
        )
        done, _ = await asyncio.wait([looking], timeout=LOOKUP_TIMEOUT_S if self._handle is None else REFRESH_TIMEOUT_S)
        if not done and self._handle is not None:
            return self._handle
        if not done:
            raise Unavailable("translation: Serve's controller does not answer")
        if self._lookup is looking:
            self._lookup = None
        try:
            self._handle = looking.result()
        except (RayError, RayServeException) as error:
            raise Unavailable(f"translation: {type(error).__name__}") from error
        self._stale = False
        return self._handle
