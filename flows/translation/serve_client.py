"""Client of one translation application on Ray Serve."""

from __future__ import annotations

from flows.serve_application import ServeApplication
from operators.translation_requests import CaptionStatus, Translation, TranslationRequest


async def translation_is_off(request: TranslationRequest) -> Translation:
    """Answer a request while translation is off: it is untranslated, with the reason."""
    return Translation(CaptionStatus.UNTRANSLATED, None, "none", "translation is off")


class TranslationClient:
    """Calls a translation application of Serve, from one event loop.

    Args:
        name: the application's name.
    """

    def __init__(self, name: str) -> None:
        self._application = ServeApplication(name, "translation")

    async def translate(self, request: TranslationRequest) -> Translation:
        """Translate a request.

        Raises:
            UnavailableError: the application can't be reached, rejects the call (backpressure), or lost the replica it used.
            RayTaskError: the application raised an error. It is an instance of that error's type as well.
        """
        return await self._application.call("translate", request)

    async def check_ready(self) -> None:
        """Check that the application's engine produces a token, unless it did a moment ago.

        The check waits for a replica that is starting.

        Raises:
            UnavailableError: the engine produced no token, its server refuses every request or still loads its model, or as
                for `translate`.
        """
        await self._application.call("check_ready")
