"""A language model that a test tells what to say. Its tokens are words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from serve.engines.protocol import Generation, Prompt, TokenStream

ScriptedReply = str | Exception
"""What a model says to a prompt, or how it fails."""


class ScriptedModel:
    """Answers by a rule; says where it is cut off.

    Args:
        says: the rule: from a prompt and how many were asked before it.
        window: words that a question and its answer may have together.
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
        return count_words(prompt)

    async def generate(self, question: Prompt) -> TokenStream:
        self.prompts.append(question)
        assert count_words(question) + question.max_tokens <= self.context_window, "the model would refuse this"
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
        pass

    async def close(self) -> None:
        self.is_closed = True


def count_words(prompt: Prompt) -> int:
    """The words of a prompt, and one more for each message."""
    return sum(1 + len(message.content.split()) for message in prompt.messages)
