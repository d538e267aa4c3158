"""Engine of a model on an OpenAI-compatible server, over Chat Completions: vLLM, Ollama, llama.cpp, Groq, a gateway, OpenAI."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, cast

import httpx2
import openai
import structlog
from openai import Omit, Timeout, omit
from openai.types.chat import ChatCompletionMessageParam
from openai.types.shared_params import ResponseFormatJSONSchema

from operators.errors import MalformedResponseError, UnavailableError
from serve.engines.protocol import Generation, Prompt, ReasoningOnlyError, StreamAccumulator, generate_token, probe
from serve.engines.remote.chat_completions import CompletionDelta, read_completion
from serve.engines.remote.finish_reasons import parse_finish_reason
from serve.engines.remote.openai_client import (
    CONNECT_S,
    DEFAULT_TIMEOUT,
    WRITE_S,
    make_openai_client,
    map_connection_error,
)
from serve.engines.remote.request_parameters import (
    OptionalParameter,
    build_parameters,
    find_unsupported_parameter,
    without_system_role,
)
from serve.engines.server_errors import error_from_status

log = structlog.get_logger(__name__)


class OpenAiEngine:
    """Calls a model on an OpenAI-compatible server.

    A parameter that the server does not support is omitted, once a request without it was accepted.

    Args:
        url: base URL of the API, like `http://127.0.0.1:11434/v1`.
        model: the model's name on that server.
        key: the API key; None if the server needs none.
        body: extra fields for each request body, like `{"reasoning_effort": "none"}`.
    """

    name = "openai"

    def __init__(self, url: str, model: str, key: str | None = None, body: Mapping[str, Any] | None = None) -> None:
        self.version = model
        self._body = dict(body or {})
        self._omitted = frozenset[OptionalParameter]()
        self._client = make_openai_client(url, key)

    def generate(self, request: Prompt) -> AsyncGenerator[str | Generation]:
        """Answer a prompt. Closing the stream early closes the connection, at which servers cancel the request.

        Raises:
            NonRetryableError: the server rejects this request, or filtered its answer.
            UnavailableError: the server can't be reached, rejects the key or the model, or is overloaded.
            MalformedResponseError: the response is no answer, or was interrupted.
        """
        return self._generate_within(request, DEFAULT_TIMEOUT)

    @property
    def omitted_parameters(self) -> tuple[OptionalParameter, ...]:
        """The parameters that the server does not support, sorted by name."""
        return tuple(sorted(self._omitted))

    async def load(self, silence_s: float) -> None:
        """Have the server produce a token, with time to load its model for that.

        Args:
            silence_s: seconds for which the server may send nothing.

        Raises:
            NonRetryableError: the server rejects even a control request. `ReasoningOnlyError`: it works, and produced no text.
            ModelLoadingError: the server reports that it loads its model.
            UnavailableError: the server does not answer.
        """
        timeout = Timeout(connect=CONNECT_S, read=silence_s, write=WRITE_S, pool=None)
        await generate_token(lambda prompt: self._generate_within(prompt, timeout))

    async def check_health(self) -> None:
        """Have the server produce a token.

        Raises:
            UnavailableError: the server produces none.
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
                        # The empty piece shows the caller that the model works.
                        yield ""
        # `from None`: a server's message may quote the prompt.
        except openai.APIStatusError as error:
            retry_after = error.response.headers.get("retry-after")
            raise error_from_status(error.status_code, error.body, prompt, retry_after) from None
        except openai.APIConnectionError as error:
            raise map_connection_error(error) from None
        except (openai.APIError, httpx2.HTTPError) as error:
            raise UnavailableError(f"the model's server: {type(error).__name__}") from None
        except (ValueError, TypeError, AttributeError) as error:
            # The response doesn't follow the API's contract.
            raise MalformedResponseError(f"the model's server sent no answer: {type(error).__name__}") from None
        finish_reason = parse_finish_reason(finish, accumulator.text or ("…" if has_reasoning else ""))
        if has_reasoning and not accumulator.text.strip():
            raise ReasoningOnlyError
        yield accumulator.complete(self.version, finish_reason, *usage)

    async def _stream_deltas(self, prompt: Prompt, limits: Timeout) -> AsyncGenerator[CompletionDelta]:
        """Yield the parts of an answer. If the server rejects a parameter, the request is sent again without it."""
        omitted: frozenset[OptionalParameter] = self._omitted
        while True:
            try:
                async with self._send(prompt, omitted, limits) as response:
                    if omitted - self._omitted:
                        self._remember_omitted(omitted)
                    # A body that is left in the middle would keep the client's generators for the garbage collector.
                    async with (
                        aclosing(response.iter_bytes()) as body,
                        aclosing(read_completion(body, prompt)) as parts,
                    ):
                        async for part in parts:
                            yield part
                return
            except openai.APIStatusError as error:
                # Parameters that the operator set in `body` are never omitted.
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
            "the model's server rejects a parameter: requests omit it from now on",
            engine=self.name,
            model=self.version,
            parameters=sorted(omitted - self._omitted),
        )
        self._omitted |= omitted


def _response_format(schema: Mapping[str, Any] | None) -> ResponseFormatJSONSchema | Omit:
    """Build `response_format` for an answer with a schema. Without one it is omitted, because not every server knows it."""
    if schema is None:
        return omit
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": dict(schema), "strict": True}}
