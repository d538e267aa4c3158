"""What any translator must be able to do, whatever runs behind it."""

from __future__ import annotations

from typing import Protocol

from operators.errors import ParleyError
from operators.model import TranslationRequest


class Untranslatable(ParleyError):
    """This engine will never translate this text, however often it is asked. The message, free of speech, says why."""


class TranslationEngine(Protocol):
    """A translator. One instance serves many calls at once on one event loop."""

    @property
    def name(self) -> str:
        """What it is called, in captions and metrics."""
        ...

    @property
    def version(self) -> str:
        """Its version: answers of another one are never reused."""
        ...

    @property
    def sources(self) -> frozenset[str]:
        """The languages (without region) it translates from."""
        ...

    def supports(self, source: str, target: str) -> bool:
        """Whether it translates between two languages, given as tags; regions do not matter."""
        ...

    async def translate(self, request: TranslationRequest, source: str) -> str:
        """Translate a request's text into its language.

        Args:
            request: what to translate; its context is a help, never part of the answer.
            source: the tag of the language that the text is in.

        Returns:
            The translation.

        Raises:
            Untranslatable: it never will be.
            Unavailable: not now; trying again later is right.
        """
        ...

    async def check(self) -> None:
        """Really translate a token.

        Raises:
            Unavailable: the engine does not work.
        """
        ...

    async def close(self) -> None:
        """Give back what it holds. No call may follow."""
        ...
