"""A model on a Triton Inference Server with its vLLM backend, over KServe v2's gRPC.

The contract is the backend's as published (`triton-inference-server/vllm_backend`, `src/model.py` and `src/utils/request.py`,
read in November 2026): a decoupled model with the inputs `text_input`, `stream`, `exclude_input_in_output` and
`sampling_parameters`, and the outputs `text_output` and, asked for by `return_…`, `finish_reason`, `num_input_tokens` and
`num_output_tokens`. Triton itself was not run: the tests have a server of their own that keeps to that contract.
"""

from __future__ import annotations

import asyncio
import json
import re
from codecs import getincrementaldecoder
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import grpc
import numpy as np
from tritonclient.grpc.aio import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from operators.errors import Malformed, SetupFailed, Unavailable, Unreachable
from serve.engines.engine import TOKEN, Generation, Prompt, Unanswerable, Written, prove
from serve.engines.finish_reasons import finish_of
from serve.engines.remote import is_here, refused

CHATML = "<|im_start|>{role}\n{content}<|im_end|>\n"
"""How most open models have a conversation written: Qwen's, SmolLM's, Yi's, and many that are tuned from others."""
_SPECIAL = re.compile(r"<\|(\w+)\|>")
"""A token that ends a message, or begins one. Somebody may say it: the backend would take it for one."""
_SILENCE_S = 30.0
"""Seconds. A server that says nothing for so long has lost the question: whoever asks may ask again."""
_UNBOUNDED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
_OUTPUTS = ("text_output", "finish_reason", "num_input_tokens", "num_output_tokens")
_NOT_YET = "None"
"""What the backend has for a reason before the end: Python's, as a text."""


class TritonEngine:
    """Asks a model on a Triton server.

    The backend takes plain text: the engine writes the conversation as the model was trained to read it. `Prompt.priority` is
    not sent, for the backend has no place for it.

    Args:
        url: where its gRPC service is, as `http://127.0.0.1:8001`; `https` for one behind TLS.
        model: the name that the server has for it.
        key: what a gateway before it asks for, where there is one; sent as a bearer's.
        template: how the model wants a message written, with `{role}` and `{content}`. The answer begins as one of the
            assistant's does. No token that the tokenizer puts before each text itself belongs into it (`<s>`).

    Raises:
        SetupFailed: the template lacks one of the two.
    """

    name = "triton"

    def __init__(self, url: str, model: str, key: str | None = None, template: str = CHATML) -> None:
        if "{role}" not in template or "{content}" not in template:
            raise SetupFailed("the template for Triton's model needs {role} and {content}, as " + repr(CHATML) + " has")
        self.version = model
        self._url = url
        self._template = template
        key = (key or "").strip()
        # Without the first, errors in a stream come without their status.
        self._headers = {"triton_grpc_error": "true"} | ({"authorization": f"Bearer {key}"} if key else {})
        self._connected: InferenceServerClient | None = None

    @property
    def _client(self) -> InferenceServerClient:
        """Made where it is first used, for it belongs to the event loop that runs there."""
        if self._connected is None:
            parts = urlsplit(self._url)
            self._connected = InferenceServerClient(
                parts.netloc if parts.port else f"{parts.netloc}:8001",
                ssl=parts.scheme == "https",
                channel_args=[*_UNBOUNDED, ("grpc.enable_http_proxy", int(not is_here(self._url)))],
            )
        return self._connected

    async def generate(self, question: Prompt) -> AsyncGenerator[str | Generation]:
        """Answer a prompt, in pieces as they come. Cancelled or closed early, the call is cancelled, and the backend told.

        Raises:
            Unanswerable: the server refuses this question.
            Unavailable: the server can't be reached, refuses the key or the model, or has too much to do.
            Malformed: it sent something else than an answer, or broke off.
        """
        written, tokens, asked = Written(), 0, 0
        # A character's bytes may come in two pieces.
        decoder = getincrementaldecoder("utf-8")("replace")
        finish = _NOT_YET
        parts: Any = self._client.stream_infer(_once(self._request(question)), headers=self._headers)
        try:
            while finish == _NOT_YET and (part := await _next(parts)) is not None:
                piece, finish, asked, more = part
                tokens += more
                if text := decoder.decode(piece):
                    yield written.add(text)
        # Without their cause: a server's message may quote the prompt.
        except grpc.aio.AioRpcError as error:
            raise _refused(error.code().name, error.details() or "", question) from None
        except InferenceServerException as error:
            raise _refused(_status(error), error.message() or "", question) from None
        except TimeoutError:
            raise Unavailable(f"the model's server said nothing for {_SILENCE_S:.0f} s") from None
        finally:
            parts.cancel()
        if finish == _NOT_YET:
            raise Malformed("the model's server broke off in the middle of an answer")
        yield written.whole(self.version, finish_of(finish, written.text), asked, tokens)

    async def check_health(self) -> None:
        """See whether the model is ready, and have it generate a token.

        Raises:
            Unavailable: it isn't, or doesn't.
        """
        try:
            ready = await self._client.is_model_ready(self.version, headers=self._headers, client_timeout=_SILENCE_S)
        except InferenceServerException as error:
            raise Unavailable(str(refused(_status(error), "", TOKEN))) from None
        if not ready:
            raise Unavailable("the model's server doesn't know the model, or has it not ready yet")
        await prove(self)

    async def close(self) -> None:
        """Close the connection."""
        if self._connected is not None:
            await self._connected.close()

    def _request(self, question: Prompt) -> dict[str, Any]:
        sampling: dict[str, Any] = {"max_tokens": question.max_tokens, "temperature": question.temperature}
        if question.schema is not None:
            # The backend wants it as a text within the text.
            sampling["structured_outputs"] = json.dumps({"json": dict(question.schema)})
        return {
            "model_name": self.version,
            "inputs": [
                _input("text_input", self._written(question)),
                _input("sampling_parameters", json.dumps(sampling)),
                *(_input(name, True) for name in ("stream", "exclude_input_in_output")),
                *(_input(f"return_{name}", True) for name in _OUTPUTS[1:]),
            ],
            "outputs": [InferRequestedOutput(name) for name in _OUTPUTS],
        }

    def _written(self, question: Prompt) -> str:
        """The conversation as one text, up to where the answer begins."""
        turns = [
            self._template.replace("{role}", message.role).replace(
                "{content}", _SPECIAL.sub(r"<| \1 |>", message.content)
            )
            for message in question.messages
        ]
        return "".join(turns) + self._template.partition("{content}")[0].replace("{role}", "assistant")


async def _once(request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    yield request


async def _next(parts: Any) -> tuple[bytes, str, int, int] | None:
    """The next piece of an answer, why it ends with that if it does, tokens of the question, and of the piece."""
    async with asyncio.timeout(_SILENCE_S):
        part = await anext(parts, None)
    if part is None:
        return None
    result, error = part
    if error is not None:
        raise error
    try:
        piece, finish, asked, tokens = (result.as_numpy(name).flat[0] for name in _OUTPUTS)
        return bytes(piece), finish.decode(), int(asked), int(tokens)
    except (AttributeError, IndexError, ValueError) as failure:
        raise Malformed(f"the model's server sent no answer: {type(failure).__name__}") from None


def _input(name: str, value: str | bool) -> InferInput:
    """A tensor of one element."""
    tensor = InferInput(name, [1], "BYTES" if isinstance(value, str) else "BOOL")
    tensor.set_data_from_numpy(
        np.array([value.encode()], dtype=np.object_) if isinstance(value, str) else np.array([value], dtype=bool)
    )
    return tensor


def _refused(status: str, details: str, question: Prompt) -> Unanswerable | Unavailable:
    if status == "UNAVAILABLE" and "failed to connect" in details:
        return Unreachable("nobody answers at the address of the model's server")
    return refused(status, details, question)


def _status(error: InferenceServerException) -> str:
    """gRPC's name of it. An old server says none in a stream."""
    return (error.status() or "INTERNAL").rpartition(".")[2]
