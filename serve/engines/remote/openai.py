"""A model behind an OpenAI-style server: vLLM's own, Ollama, llama.cpp, Groq, a gateway, OpenAI. It speaks Chat Completions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, cast

import httpx2
import openai
import structlog
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, Omit, Timeout, omit
from openai.types.chat import ChatCompletionMessageParam
from openai.types.shared_params import ResponseFormatJSONSchema

from operators.errors import MalformedResponseError, UnavailableError, UnreachableError
from serve.engines.protocol import Generation, Prompt, ReasoningOnlyError, StreamAccumulator, generate_token, probe
from serve.engines.remote.chat_completions import CompletionDelta, read_completion
from serve.engines.remote.finish_reasons import parse_finish_reason
from serve.engines.remote.request_parameters import (
    OptionalParameter,
    build_parameters,
    find_unsupported_parameter,
    without_system_role,
)
from serve.engines.server_errors import error_from_status, is_loopback

log = structlog.get_logger(__name__)

_CONNECT_S, _WRITE_S = 5.0, 10.0
_TIMEOUT = Timeout(connect=_CONNECT_S, read=30.0, write=_WRITE_S, pool=None)
"""Seconds. A server that says nothing for as long as it may be read has lost the question: whoever asks may ask again."""


class OpenAiEngine:
    """Asks a model on a server of somebody's.

    A parameter that the server does not take is left out from then on, once a question was taken without it.

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
        self._omitted = frozenset[OptionalParameter]()
        # Whoever asks retries, within a deadline that this client doesn't know.
        self._client = AsyncOpenAI(
            base_url=url,
            api_key=(key or "").strip() or "none",
            timeout=_TIMEOUT,
            max_retries=0,
            http_client=DefaultAsyncHttpxClient(trust_env=not is_loopback(url)),
        )

    def generate(self, request: Prompt) -> AsyncGenerator[str | Generation]:
        """Answer a prompt. Cancelled or closed early, the connection is cut, which servers take for the end of it.

        Raises:
            NonRetryableError: the server refuses this question, or its answer.
            UnavailableError: the server can't be reached, refuses the key or the model, or has too much to do.
            MalformedResponseError: it sent something else than an answer, or broke off.
        """
        return self._generate_within(request, _TIMEOUT)

    @property
    def omitted_parameters(self) -> tuple[OptionalParameter, ...]:
        """The parameters that the server does not take, by name."""
        return tuple(sorted(self._omitted))

    async def load(self, silence_s: float) -> None:
        """Have the server generate a token, however long it loads its model for that.

        Args:
            seconds: that it may be silent.

        Raises:
            NonRetryableError: it refuses even a control question. `ReasoningOnlyError`: it works, and gave no text.
            ModelLoadingError: it says that it loads its model.
            UnavailableError: it does not answer.
        """
        timeout = Timeout(connect=_CONNECT_S, read=silence_s, write=_WRITE_S, pool=None)
        await generate_token(lambda question: self._generate_within(question, timeout))

    async def check_health(self) -> None:
        """Have the server generate a token.

        Raises:
            UnavailableError: it doesn't.
        """
        await probe(self)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _generate_within(self, prompt: Prompt, limits: Timeout) -> AsyncGenerator[str | Generation]:
        accumulator, finish, usage, has_reasoning = StreamAccumulator(), "", (0, 0, 0), False
        try:
            async with aclosing(self._stream_deltas(prompt, limits)) as parts:
                async for part in parts:
                    finish, usage, has_reasoning = (
                        part.finish or finish,
                        part.usage or usage,
                        has_reasoning or part.has_reasoning,
                    )
                    if part.text:
                        yield accumulator.add(part.text)
                    elif part.has_reasoning:
                        # Who asks learns that the model works.
                        yield ""
        # Without their cause: a server's message may quote the prompt.
        except openai.APIStatusError as error:
            retry_after = error.response.headers.get("retry-after")
            raise error_from_status(error.status_code, error.body, prompt, retry_after) from None
        except openai.APIConnectionError as error:
            raise _connection_error(error) from None
        except (openai.APIError, httpx2.HTTPError) as error:
            raise UnavailableError(f"the model's server: {type(error).__name__}") from None
        except (ValueError, TypeError, AttributeError) as error:
            # It sent something else than the contract says.
            raise MalformedResponseError(f"the model's server sent no answer: {type(error).__name__}") from None
        finish_reason = parse_finish_reason(finish, accumulator.text or ("…" if has_reasoning else ""))
        if has_reasoning and not accumulator.text.strip():
            raise ReasoningOnlyError
        yield accumulator.complete(self.version, finish_reason, *usage)

    async def _stream_deltas(self, prompt: Prompt, limits: Timeout) -> AsyncGenerator[CompletionDelta]:
        """The parts of an answer. A parameter that the server refuses is left out, and the question is sent again."""
        omitted: frozenset[OptionalParameter] = self._omitted
        while True:
            try:
                async with self._send(prompt, omitted, limits) as response:
                    if omitted - self._omitted:
                        self._remember_omitted(omitted)
                    async for part in read_completion(response.iter_bytes(), prompt):
                        yield part
                return
            except openai.APIStatusError as error:
                # What the operator asks for by `body` is not ours to leave out.
                sent: set[OptionalParameter] = {"system role", *build_parameters(prompt, omitted)}
                removable: set[OptionalParameter] = {
                    name for name in sent if name not in omitted and name not in self._body
                }
                unsupported = find_unsupported_parameter(error.status_code, error.body, removable)
                if unsupported is None:
                    raise
                omitted = frozenset[OptionalParameter]((*omitted, unsupported))

    def _send(self, prompt: Prompt, omitted: frozenset[OptionalParameter], timeout: Timeout) -> Any:
        messages = without_system_role(prompt.messages) if "system role" in omitted else prompt.messages
        return self._client.chat.completions.with_streaming_response.create(
            model=self.version,
            messages=[
                cast(ChatCompletionMessageParam, {"role": message.role, "content": message.content})
                for message in messages
            ],
            **build_parameters(prompt, omitted),
            response_format=_response_format(prompt.schema),
            stream=True,
            extra_body=self._body,
            timeout=timeout,
        )

    def _remember_omitted(self, omitted: frozenset[OptionalParameter]) -> None:
        log.warning(
            "the model's server does not take a parameter: it is asked without it",
            engine=self.name,
            model=self.version,
            parameters=sorted(omitted - self._omitted),
        )
        self._omitted |= omitted


def _connection_error(error: openai.APIConnectionError) -> UnavailableError:
    """Why a request got no answer. A server that took it may be at work on it."""
    cause = error.__cause__
    if isinstance(cause, httpx2.ReadTimeout):
        return UnavailableError("the model's server said nothing for too long")
    if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout):
        return UnreachableError("nobody answers at the address of the model's server")
    return UnavailableError(f"the model's server: {type(error).__name__}")


def _response_format(schema: Mapping[str, Any] | None) -> ResponseFormatJSONSchema | Omit:
    """The form of an answer that must fit a schema. Where it is not asked for, nothing is said: not every server knows it."""
    if schema is None:
        return omit
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": dict(schema), "strict": True}}
