"""What fits into a model's window, in its own tokens where its engine counts them."""

from __future__ import annotations

import re
from math import ceil

from serve.engines.protocol import CountsTokens, Engine, Prompt

_ASCII_LETTERS = re.compile(r"[A-Za-z ]+")
_ASCII_LETTERS_PER_TOKEN = 3
"""Letters without accents and spaces of one token. Vocabularies hold whole words of these: speech has four or five."""
_BYTES_PER_TOKEN = 1.6
"""Bytes in UTF-8 of one token, of all other letters: a Chinese one takes two. That is for a model of few languages; those of
many take half as much."""
_MESSAGE_OVERHEAD_TOKENS = 8
"""Tokens that a chat template puts around a message."""


def estimate_tokens(prompt: Prompt) -> int:
    """About how many tokens a prompt is, whatever the model: rather too many than too few.

    Counted are a token for three plain letters, for every digit and mark, and for 1.6 bytes of anything else.
    """
    return sum(_MESSAGE_OVERHEAD_TOKENS + _estimate_text_tokens(message.content) for message in prompt.messages)


def _estimate_text_tokens(text: str) -> int:
    letter_count = sum(map(len, _ASCII_LETTERS.findall(text)))
    mark_count = len(text.encode("ascii", "ignore")) - letter_count
    other_bytes = len(text.encode()) - letter_count - mark_count
    return ceil(letter_count / _ASCII_LETTERS_PER_TOKEN) + mark_count + ceil(other_bytes / _BYTES_PER_TOKEN)


class TokenBudget:
    """How much a model can be told.

    Args:
        engine: the model's.
        window: tokens that question and answer may have together, where the engine doesn't know. It then estimates.
    """

    def __init__(self, engine: Engine[Prompt], window_tokens: int) -> None:
        self._tokenizer = engine if isinstance(engine, CountsTokens) else None
        self.window_tokens = window_tokens if self._tokenizer is None else self._tokenizer.context_window

    async def count_tokens(self, prompt: Prompt) -> int:
        """The tokens of a question."""
        return estimate_tokens(prompt) if self._tokenizer is None else await self._tokenizer.count_tokens(prompt)

    async def tokens_left(self, prompt: Prompt) -> int:
        """The tokens that question and answer leave of the window; below 0 where they don't fit."""
        return self.window_tokens - prompt.max_tokens - await self.count_tokens(prompt)

    async def fits(self, prompt: Prompt) -> bool:
        """Whether question and answer fit the window."""
        return await self.tokens_left(prompt) >= 0
