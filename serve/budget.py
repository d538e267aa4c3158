"""What fits into a model's window, in its own tokens where its engine counts them."""

from __future__ import annotations

import re
from math import ceil

from serve.engines.engine import Counts, Engine, Prompt

_PLAIN = re.compile(r"[A-Za-z ]+")
_PLAIN_PER_TOKEN = 3
"""Letters without accents and spaces of one token. Vocabularies hold whole words of these: speech has four or five."""
_BYTES_PER_TOKEN = 1.6
"""Bytes in UTF-8 of one token, of all other letters: a Chinese one takes two. That is for a model of few languages; those of
many take half as much."""
_MESSAGE = 8
"""Tokens that a chat template puts around a message."""


def estimate(prompt: Prompt) -> int:
    """About how many tokens a prompt is, whatever the model: rather too many than too few.

    Counted are a token for three plain letters, for every digit and mark, and for 1.6 bytes of anything else.
    """
    return sum(_MESSAGE + _tokens(message.content) for message in prompt.messages)


def _tokens(text: str) -> int:
    plain = sum(map(len, _PLAIN.findall(text)))
    marks = len(text.encode("ascii", "ignore")) - plain
    rest = len(text.encode()) - plain - marks
    return ceil(plain / _PLAIN_PER_TOKEN) + marks + ceil(rest / _BYTES_PER_TOKEN)


class Budget:
    """How much a model can be told.

    Args:
        engine: the model's.
        window: tokens that question and answer may have together, where the engine doesn't know. It then estimates.
    """

    def __init__(self, engine: Engine[Prompt], window: int) -> None:
        self._counts = engine if isinstance(engine, Counts) else None
        self.window = window if self._counts is None else self._counts.window

    async def count(self, prompt: Prompt) -> int:
        """The tokens of a question."""
        return estimate(prompt) if self._counts is None else await self._counts.count(prompt)

    async def left(self, prompt: Prompt) -> int:
        """The tokens that question and answer leave of the window; below 0 where they don't fit."""
        return self.window - prompt.max_tokens - await self.count(prompt)

    async def fits(self, prompt: Prompt) -> bool:
        """Whether question and answer fit the window."""
        return await self.left(prompt) >= 0
