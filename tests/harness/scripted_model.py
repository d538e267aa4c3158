"""A language model that a test tells what to say. Its tokens are words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from serve.engines.engine import Answer, Generation, Prompt

Said = str | Exception
"""What a model says to a prompt, or how it fails."""


class ScriptedModel:
    """Answers by a rule; says where it is cut off.

    Args:
        says: the rule: from a prompt and how many were asked before it.
        window: words that a question and its answer may have together.
    """

    name = "scripted"
    version = "1"

    def __init__(self, says: Callable[[Prompt, int], Said], window: int = 1_000) -> None:
        self.window = window
        self.asked: list[Prompt] = []
        self.at_work = 0
        self.most_at_work = 0
        self.given = 0
        self.closed = False
        self._says = says

    async def count(self, prompt: Prompt) -> int:
        return words(prompt)

    async def generate(self, question: Prompt) -> Answer:
        self.asked.append(question)
        assert words(question) + question.max_tokens <= self.window, "the model would refuse this"
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        try:
            said = self._says(question, len(self.asked) - 1)
            await asyncio.sleep(0)
            if isinstance(said, Exception):
                raise said
            tokens = said.split(" ")
            text = ""
            for token in tokens[: question.max_tokens]:
                await asyncio.sleep(0)
                self.given += 1
                piece = f" {token}" if text else token
                text += piece
                yield piece
            finish = "length" if len(tokens) > question.max_tokens else "stop"
            yield Generation(text, self.version, finish, words(question), len(text.split()), 0.0, 0.0)
        finally:
            self.at_work -= 1

    async def check_health(self) -> None:
        pass

    async def close(self) -> None:
        self.closed = True


def words(prompt: Prompt) -> int:
    """The words of a prompt, and one more for each message."""
    return sum(1 + len(message.content.split()) for message in prompt.messages)
