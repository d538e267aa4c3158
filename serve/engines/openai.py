"""A model behind an OpenAI-style server: vLLM's own, Ollama, llama.cpp, Groq, a gateway, OpenAI. It speaks Chat Completions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any, cast

import httpx2
import openai
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, Omit, Timeout, omit
from openai.types.chat import ChatCompletionMessageParam
from openai.types.shared_params import ResponseFormatJSONSchema

from operators.errors import Malformed, Unavailable
from serve.engines.completions import read
from serve.engines.engine import THOUGHT_ONLY, Generation, Prompt, Unanswerable, Written, prove
from serve.engines.finish_reasons import finish_of
from serve.engines.remote import is_here, refused

_TIMEOUT = Timeout(connect=5.0, read=30.0, write=10.0, pool=None)
"""Seconds. A server that says nothing for as long as it may be read has lost the question: whoever asks may ask again."""


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
        # Whoever asks retries, within a deadline that this client doesn't know.
        self._client = AsyncOpenAI(
            base_url=url,
            api_key=(key or "").strip() or "none",
            timeout=_TIMEOUT,
            max_retries=0,
            http_client=DefaultAsyncHttpxClient(trust_env=not is_here(url)),
        )

    async def generate(self, question: Prompt) -> AsyncGenerator[str | Generation]:
        """Answer a prompt. Cancelled or closed early, the connection is cut, which servers take for the end of it.

        Raises:
            Unanswerable: the server refuses this question, or its answer.
            Unavailable: the server can't be reached, refuses the key or the model, or has too much to do.
            Malformed: it sent something else than an answer, or broke off.
        """
        written, finish, usage, thought = Written(), "", (0, 0, 0), False
        try:
            async with self._client.chat.completions.with_streaming_response.create(
                model=self.version,
                messages=[
                    cast(ChatCompletionMessageParam, {"role": message.role, "content": message.content})
                    for message in question.messages
                ],
                max_tokens=question.max_tokens,
                temperature=question.temperature,
                response_format=_format(question.schema),
                stream=True,
                stream_options={"include_usage": True},
                extra_body=self._body,
            ) as response:
                async for part in read(response.iter_bytes(), question):
                    finish, usage, thought = part.finish or finish, part.usage or usage, thought or part.thought
                    if part.text:
                        yield written.add(part.text)
                    elif part.thought:
                        # Who asks learns that the model works.
                        yield ""
        # Without their cause: a server's message may quote the prompt.
        except openai.APIStatusError as error:
            retry_after = error.response.headers.get("retry-after")
            raise refused(error.status_code, error.body, question, retry_after) from None
        except (openai.APIError, httpx2.HTTPError) as error:
            raise Unavailable(f"the model's server: {type(error).__name__}") from None
        except (ValueError, TypeError, AttributeError) as error:
            # It sent something else than the contract says.
            raise Malformed(f"the model's server sent no answer: {type(error).__name__}") from None
        ended = finish_of(finish, written.text or ("…" if thought else ""))
        if thought and not written.text.strip():
            raise Unanswerable(THOUGHT_ONLY)
        yield written.whole(self.version, ended, *usage)

    async def check_health(self) -> None:
        """Have the server generate a token.

        Raises:
            Unavailable: it doesn't.
        """
        await prove(self)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def _format(schema: Mapping[str, Any] | None) -> ResponseFormatJSONSchema | Omit:
    """The form of an answer that must fit a schema. Where it is not asked for, nothing is said: not every server knows it."""
    if schema is None:
        return omit
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": dict(schema), "strict": True}}
