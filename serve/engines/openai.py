"""A model behind an OpenAI-style server: vLLM's own, Ollama, llama.cpp, Groq, a gateway, OpenAI. It speaks Chat Completions."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, Mapping
from typing import Any, cast
from urllib.parse import urlsplit

import openai
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, Timeout
from openai.types.chat import ChatCompletionMessageParam

from operators.errors import Unavailable
from serve.engines.engine import Generation, Message, Prompt, Unanswerable, whole

_TOKEN = Prompt((Message("user", "OK?"),), max_tokens=1)
_TIMEOUT = Timeout(connect=5.0, read=30.0, write=10.0, pool=None)
"""Seconds. A server that says nothing for as long as it may be read has lost the question: whoever asks may ask again."""
_FINISH = {"stop", "length"}
_HERE = {"127.0.0.1", "localhost", "::1"}
_FOR_GOOD = re.compile(
    r"context.?length|context.?window|too long|too large|maximum.{0,20}tokens|content.?(?:filter|policy)", re.I
)
"""How servers say that a question is too much for the model, or that they don't answer such: each says 400 to it."""


class OpenAiEngine:
    """Asks a model on a server of somebody's.

    Args:
        url: where its API begins, as `http://127.0.0.1:11434/v1`.
        model: the name that the server has for it.
        key: what the server asks for, where it does.
        body: more of each request's body, as the server takes it: `{"reasoning_effort": "none"}`.
    """

    name = "openai"

    def __init__(self, url: str, model: str, key: str | None = None, body: Mapping[str, Any] | None = None) -> None:
        self.version = model
        self._body = dict(body or {})
        self._answered = False
        # Whoever asks retries, within a deadline that this client doesn't know.
        self._client = AsyncOpenAI(
            base_url=url,
            api_key=(key or "").strip() or "none",
            timeout=_TIMEOUT,
            max_retries=0,
            # Past any proxy that the environment names where the server is on this machine: that is for the world outside.
            http_client=DefaultAsyncHttpxClient(trust_env=urlsplit(url).hostname not in _HERE),
        )

    async def generate(self, question: Prompt) -> AsyncGenerator[str | Generation]:
        """Answer a prompt. Cancelled or closed early, the connection is cut, which servers take for the end of it.

        Raises:
            Unanswerable: the server refuses this question, or its answer.
            Unavailable: the server can't be reached, refuses the key or the model, has too much to do, or broke off.
        """
        began = time.monotonic()
        text, first, finish, usage = "", 0.0, None, (0, 0)
        try:
            async with await self._client.chat.completions.create(
                model=self.version,
                messages=[
                    cast(ChatCompletionMessageParam, {"role": message.role, "content": message.content})
                    for message in question.messages
                ],
                max_tokens=question.max_tokens,
                temperature=0.0,
                stream=True,
                stream_options={"include_usage": True},
                extra_body=self._body,
            ) as chunks:
                async for chunk in chunks:
                    if chunk.usage is not None:
                        usage = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
                    # The last one, with the usage, has no choice; some servers begin with one that has none, too.
                    for choice in chunk.choices or ():
                        finish = choice.finish_reason or finish
                        if piece := choice.delta.content:
                            first = first or time.monotonic() - began
                            text += piece
                            yield piece
        # Without their cause: a server's message may quote the prompt.
        except openai.APIStatusError as error:
            raise _refused(error) from None
        except openai.APIError as error:
            raise Unavailable(f"the model's server: {type(error).__name__}") from None
        except (ValueError, TypeError, AttributeError) as error:
            # It sent something else than the contract says: the client takes all for a part of an answer.
            raise Unavailable(f"the model's server sent no answer: {type(error).__name__}") from None
        if finish is None:
            raise Unavailable("the model's server broke off in the middle of an answer")
        if finish not in _FINISH:
            raise Unanswerable(f"the model's server gave the answer up: {finish}")
        self._answered = True
        seconds = time.monotonic() - began
        yield Generation(
            text, self.version, "stop" if finish == "stop" else "length", *usage, first or seconds, seconds
        )

    async def check_health(self) -> None:
        """Have the server generate a token, until it has answered once.

        From then on the engine is sound, wherever the server is: another replica would not bring that back, and it may be
        paid by the token.

        Raises:
            Unavailable: it never did.
        """
        if self._answered:
            return
        try:
            await whole(self.generate(_TOKEN))
        except Unanswerable as error:
            raise Unavailable(str(error)) from None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def _refused(error: openai.APIStatusError) -> Unanswerable | Unavailable:
    """What a status means for the question: whether it is the question's fault, or one that may be mended."""
    status = error.status_code
    if status == 413 or (status in (400, 422) and _FOR_GOOD.search(f"{error.code} {error.message}")):
        return Unanswerable(f"the model's server refuses this question: {status}")
    if status in (401, 403):
        return Unavailable("the model's server refuses the key: PARLEY_TRANSLATION_KEY")
    if status == 404:
        return Unavailable("the model's server doesn't know the model, or has no such API: PARLEY_TRANSLATION_URL")
    return Unavailable(f"the model's server answers {status}", _retry_after(error))


def _retry_after(error: openai.APIStatusError) -> float | None:
    """The seconds for which a server asks to be left alone, if it says so in seconds."""
    try:
        return max(0.0, float(error.response.headers.get("retry-after", "")))
    except ValueError:
        return None
