"""The token budget of a model: token counts of prompts, exact if its engine counts tokens and estimated otherwise."""

from __future__ import annotations

from operators.token_estimate import estimate_text_tokens
from serve.engines.protocol import CountsTokens, Engine, Prompt

_MESSAGE_OVERHEAD_TOKENS = 8
"""Tokens that a chat template adds to each message."""


def estimate_tokens(prompt: Prompt) -> int:
    """Estimate a prompt's length in tokens, for any model. The estimate is rather too high than too low."""
    return sum(_MESSAGE_OVERHEAD_TOKENS + estimate_text_tokens(message.content) for message in prompt.messages)


class TokenBudget:
    """The token budget of a model.

    Args:
        engine: the model's engine.
        window_tokens: tokens of prompt and answer together, used with estimated counts if the engine doesn't count tokens.
    """

    def __init__(self, engine: Engine[Prompt], window_tokens: int) -> None:
        self._tokenizer = engine if isinstance(engine, CountsTokens) else None
        self.window_tokens = window_tokens if self._tokenizer is None else self._tokenizer.context_window

    async def count_tokens(self, prompt: Prompt) -> int:
        """Return the number of a prompt's tokens."""
        return estimate_tokens(prompt) if self._tokenizer is None else await self._tokenizer.count_tokens(prompt)

    async def tokens_left(self, prompt: Prompt) -> int:
        """Return the tokens of the window left by prompt and answer; negative if they don't fit."""
        return self.window_tokens - prompt.max_tokens - await self.count_tokens(prompt)

    async def fits(self, prompt: Prompt) -> bool:
        """Whether prompt and answer fit the window."""
        return await self.tokens_left(prompt) >= 0
