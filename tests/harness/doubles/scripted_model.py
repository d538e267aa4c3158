"""A language model with scripted replies. Its tokens are words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from serve.engines.protocol import Generation, Prompt, TokenStream

ScriptedReply = str | Exception
"""A model's reply to a prompt, or the error that it raises."""


class ScriptedModel:
    """Model that replies by a rule, and reports a reply cut off at the token limit.

    Args:
        reply_to: returns the reply to a prompt, given the number of earlier prompts.
        context_window: words that a prompt and its reply may have together.

    Attributes:
        prompts: the prompts, oldest first.
        in_flight: number of replies in progress.
        max_in_flight: the highest number of replies in progress.
        token_count: number of generated tokens.
        is_closed: whether `close` was called.
    """

    name = "scripted"
    version = "1"

    def __init__(self, reply_to: Callable[[Prompt, int], ScriptedReply], context_window: int = 1_000) -> None:
        self.context_window = context_window
        self.prompts: list[Prompt] = []
        self.in_flight = 0
        self.max_in_flight = 0
        self.token_count = 0
        self.is_closed = False
        self._reply_to = reply_to

    async def count_tokens(self, prompt: Prompt) -> int:
        """Return the number of a prompt's tokens."""
        return count_words(prompt)

    async def generate(self, question: Prompt) -> TokenStream:
        """Yield the scripted reply word by word, and the `Generation` at last.

        Raises:
            Exception: the scripted error.
        """
        self.prompts.append(question)
        assert count_words(question) + question.max_tokens <= self.context_window, "the prompt is too long"
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            reply = self._reply_to(question, len(self.prompts) - 1)
            await asyncio.sleep(0)
            if isinstance(reply, Exception):
                raise reply
            tokens = reply.split(" ")
            text = ""
            for token in tokens[: question.max_tokens]:
                await asyncio.sleep(0)
                self.token_count += 1
                piece = f" {token}" if text else token
                text += piece
                yield piece
            finish = "length" if len(tokens) > question.max_tokens else "stop"
            yield Generation(text, self.version, finish, count_words(question), len(text.split()), 0.0, 0.0)
        finally:
            self.in_flight -= 1

    async def check_health(self) -> None:
        """Report that the model is healthy."""

    async def close(self) -> None:
        """Set `is_closed`."""
        self.is_closed = True


def count_words(prompt: Prompt) -> int:
    """Count the words of a prompt, plus one for each message."""
    return sum(1 + len(message.content.split()) for message in prompt.messages)
