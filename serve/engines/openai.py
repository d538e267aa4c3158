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

from operators.errors import Malformed, Unavailable, Unreachable
from serve.engines.completions import Part, read
from serve.engines.engine import Generation, Prompt, ThoughtOnly, Written, answer_token, prove
from serve.engines.finish_reasons import finish_of
from serve.engines.parameters import Parameter, parameters, unsupported_parameter, without_system_role
from serve.engines.remote import is_here, refused

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
        self._omitted = frozenset[Parameter]()
        # Whoever asks retries, within a deadline that this client doesn't know.
        self._client = AsyncOpenAI(
            base_url=url,
            api_key=(key or "").strip() or "none",
            timeout=_TIMEOUT,
            max_retries=0,
            http_client=DefaultAsyncHttpxClient(trust_env=not is_here(url)),
        )

    def generate(self, question: Prompt) -> AsyncGenerator[str | Generation]:
        """Answer a prompt. Cancelled or closed early, the connection is cut, which servers take for the end of it.

        Raises:
            Unanswerable: the server refuses this question, or its answer.
            Unavailable: the server can't be reached, refuses the key or the model, or has too much to do.
            Malformed: it sent something else than an answer, or broke off.
        """
        return self._generated(question, _TIMEOUT)

    @property
    def omitted(self) -> tuple[Parameter, ...]:
        """The parameters that the server does not take, by name."""
        return tuple(sorted(self._omitted))

    async def load(self, seconds: float) -> None:
        """Have the server generate a token, however long it loads its model for that.

        Args:
            seconds: that it may be silent.

        Raises:
            Unanswerable: it refuses even a control question. `ThoughtOnly`: it works, and gave no text.
            Loading: it says that it loads its model.
            Unavailable: it does not answer.
        """
        patience = Timeout(connect=_CONNECT_S, read=seconds, write=_WRITE_S, pool=None)
        await answer_token(lambda question: self._generated(question, patience))

    async def check_health(self) -> None:
        """Have the server generate a token.

        Raises:
            Unavailable: it doesn't.
        """
        await prove(self)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _generated(self, question: Prompt, patience: Timeout) -> AsyncGenerator[str | Generation]:
        written, finish, usage, thought = Written(), "", (0, 0, 0), False
        try:
            async with aclosing(self._parts(question, patience)) as parts:
                async for part in parts:
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
        except openai.APIConnectionError as error:
            raise _not_reached(error) from None
        except (openai.APIError, httpx2.HTTPError) as error:
            raise Unavailable(f"the model's server: {type(error).__name__}") from None
        except (ValueError, TypeError, AttributeError) as error:
            # It sent something else than the contract says.
            raise Malformed(f"the model's server sent no answer: {type(error).__name__}") from None
        ended = finish_of(finish, written.text or ("…" if thought else ""))
        if thought and not written.text.strip():
            raise ThoughtOnly
        yield written.whole(self.version, ended, *usage)

    async def _parts(self, question: Prompt, patience: Timeout) -> AsyncGenerator[Part]:
        """The parts of an answer. A parameter that the server refuses is left out, and the question is sent again."""
        omitted: frozenset[Parameter] = self._omitted
        while True:
            try:
                async with self._sent(question, omitted, patience) as response:
                    if omitted - self._omitted:
                        self._learn(omitted)
                    async for part in read(response.iter_bytes(), question):
                        yield part
                return
            except openai.APIStatusError as error:
                # What the operator asks for by `body` is not ours to leave out.
                sent: set[Parameter] = {"system role", *parameters(question, omitted)}
                own: set[Parameter] = {name for name in sent if name not in omitted and name not in self._body}
                refused_one = unsupported_parameter(error.status_code, error.body, own)
                if refused_one is None:
                    raise
                omitted = frozenset[Parameter]((*omitted, refused_one))

    def _sent(self, question: Prompt, omitted: frozenset[Parameter], patience: Timeout) -> Any:
        messages = without_system_role(question.messages) if "system role" in omitted else question.messages
        return self._client.chat.completions.with_streaming_response.create(
            model=self.version,
            messages=[
                cast(ChatCompletionMessageParam, {"role": message.role, "content": message.content})
                for message in messages
            ],
            **parameters(question, omitted),
            response_format=_format(question.schema),
            stream=True,
            extra_body=self._body,
            timeout=patience,
        )

    def _learn(self, omitted: frozenset[Parameter]) -> None:
        log.warning(
            "the model's server does not take a parameter: it is asked without it",
            engine=self.name,
            model=self.version,
            parameters=sorted(omitted - self._omitted),
        )
        self._omitted |= omitted


def _not_reached(error: openai.APIConnectionError) -> Unavailable:
    """Why a request got no answer. A server that took it may be at work on it."""
    cause = error.__cause__
    if isinstance(cause, httpx2.ReadTimeout):
        return Unavailable("the model's server said nothing for too long")
    if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout):
        return Unreachable("nobody answers at the address of the model's server")
    return Unavailable(f"the model's server: {type(error).__name__}")


def _format(schema: Mapping[str, Any] | None) -> ResponseFormatJSONSchema | Omit:
    """The form of an answer that must fit a schema. Where it is not asked for, nothing is said: not every server knows it."""
    if schema is None:
        return omit
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": dict(schema), "strict": True}}
