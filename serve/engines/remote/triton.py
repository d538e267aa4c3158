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

from operators.errors import MalformedResponseError, SetupError, UnavailableError, UnreachableError
from serve.engines.protocol import PROBE_PROMPT, Generation, NonRetryableError, Prompt, StreamAccumulator, probe
from serve.engines.remote.finish_reasons import parse_finish_reason
from serve.engines.server_errors import error_from_status, is_loopback

CHATML = "<|im_start|>{role}\n{content}<|im_end|>\n"
"""How most open models have a conversation written: Qwen's, SmolLM's, Yi's, and many that are tuned from others."""
_SPECIAL_TOKEN = re.compile(r"<\|(\w+)\|>")
"""A token that ends a message, or begins one. Somebody may say it: the backend would take it for one."""
_READ_TIMEOUT_S = 30.0
"""Seconds. A server that says nothing for so long has lost the question: whoever asks may ask again."""
_CHANNEL_OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
_OUTPUTS = ("text_output", "finish_reason", "num_input_tokens", "num_output_tokens")
_UNFINISHED = "None"
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
        SetupError: the template lacks one of the two.
    """

    name = "triton"

    def __init__(self, url: str, model: str, key: str | None = None, template: str = CHATML) -> None:
        if "{role}" not in template or "{content}" not in template:
            raise SetupError("the template for Triton's model needs {role} and {content}, as " + repr(CHATML) + " has")
        self.version = model
        self._url = url
        self._template = template
        key = (key or "").strip()
        # Without the first, errors in a stream come without their status.
        self._headers = {"triton_grpc_error": "true"} | ({"authorization": f"Bearer {key}"} if key else {})
        self._open_client: InferenceServerClient | None = None

    @property
    def _client(self) -> InferenceServerClient:
        """Made where it is first used, for it belongs to the event loop that runs there."""
        if self._open_client is None:
            parts = urlsplit(self._url)
            self._open_client = InferenceServerClient(
                parts.netloc if parts.port else f"{parts.netloc}:8001",
                ssl=parts.scheme == "https",
                channel_args=[*_CHANNEL_OPTIONS, ("grpc.enable_http_proxy", int(not is_loopback(self._url)))],
            )
        return self._open_client

    async def generate(self, request: Prompt) -> AsyncGenerator[str | Generation]:
        """Answer a prompt, in pieces as they come. Cancelled or closed early, the call is cancelled, and the backend told.

        Raises:
            NonRetryableError: the server refuses this question.
            UnavailableError: the server can't be reached, refuses the key or the model, or has too much to do.
            MalformedResponseError: it sent something else than an answer, or broke off.
        """
        accumulator, tokens, prompt_tokens = StreamAccumulator(), 0, 0
        # A character's bytes may come in two pieces.
        decoder = getincrementaldecoder("utf-8")("replace")
        finish = _UNFINISHED
        parts: Any = self._client.stream_infer(_single_request(self._build_request(request)), headers=self._headers)
        try:
            while finish == _UNFINISHED and (part := await _next_piece(parts)) is not None:
                piece, finish, prompt_tokens, piece_tokens = part
                tokens += piece_tokens
                if text := decoder.decode(piece):
                    yield accumulator.add(text)
        # Without their cause: a server's message may quote the prompt.
        except grpc.aio.AioRpcError as error:
            raise _error_from_grpc(error.code().name, error.details() or "", request) from None
        except InferenceServerException as error:
            raise _error_from_grpc(_status_name(error), error.message() or "", request) from None
        except TimeoutError:
            raise UnavailableError(f"the model's server said nothing for {_READ_TIMEOUT_S:.0f} s") from None
        finally:
            parts.cancel()
        if finish == _UNFINISHED:
            raise MalformedResponseError("the model's server broke off in the middle of an answer")
        yield accumulator.complete(self.version, parse_finish_reason(finish, accumulator.text), prompt_tokens, tokens)

    async def check_health(self) -> None:
        """See whether the model is ready, and have it generate a token.

        Raises:
            UnavailableError: it isn't, or doesn't.
        """
        try:
            ready = await self._client.is_model_ready(
                self.version, headers=self._headers, client_timeout=_READ_TIMEOUT_S
            )
        except InferenceServerException as error:
            raise UnavailableError(str(error_from_status(_status_name(error), "", PROBE_PROMPT))) from None
        if not ready:
            raise UnavailableError("the model's server doesn't know the model, or has it not ready yet")
        await probe(self)

    async def close(self) -> None:
        """Close the connection."""
        if self._open_client is not None:
            await self._open_client.close()

    def _build_request(self, prompt: Prompt) -> dict[str, Any]:
        sampling: dict[str, Any] = {"max_tokens": prompt.max_tokens, "temperature": prompt.temperature}
        if prompt.schema is not None:
            # The backend wants it as a text within the text.
            sampling["structured_outputs"] = json.dumps({"json": dict(prompt.schema)})
        return {
            "model_name": self.version,
            "inputs": [
                _build_input("text_input", self._render_conversation(prompt)),
                _build_input("sampling_parameters", json.dumps(sampling)),
                *(_build_input(name, True) for name in ("stream", "exclude_input_in_output")),
                *(_build_input(f"return_{name}", True) for name in _OUTPUTS[1:]),
            ],
            "outputs": [InferRequestedOutput(name) for name in _OUTPUTS],
        }

    def _render_conversation(self, prompt: Prompt) -> str:
        """The conversation as one text, up to where the answer begins."""
        turns = [
            self._template.replace("{role}", message.role).replace(
                "{content}", _SPECIAL_TOKEN.sub(r"<| \1 |>", message.content)
            )
            for message in prompt.messages
        ]
        return "".join(turns) + self._template.partition("{content}")[0].replace("{role}", "assistant")


async def _single_request(request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    yield request


async def _next_piece(parts: Any) -> tuple[bytes, str, int, int] | None:
    """The next piece of an answer, why it ends with that if it does, tokens of the question, and of the piece."""
    async with asyncio.timeout(_READ_TIMEOUT_S):
        part = await anext(parts, None)
    if part is None:
        return None
    result, error = part
    if error is not None:
        raise error
    try:
        piece, finish, prompt_tokens, tokens = (result.as_numpy(name).flat[0] for name in _OUTPUTS)
        return bytes(piece), finish.decode(), int(prompt_tokens), int(tokens)
    except (AttributeError, IndexError, ValueError) as failure:
        raise MalformedResponseError(f"the model's server sent no answer: {type(failure).__name__}") from None


def _build_input(name: str, value: str | bool) -> InferInput:
    """A tensor of one element."""
    tensor = InferInput(name, [1], "BYTES" if isinstance(value, str) else "BOOL")
    tensor.set_data_from_numpy(
        np.array([value.encode()], dtype=np.object_) if isinstance(value, str) else np.array([value], dtype=bool)
    )
    return tensor


def _error_from_grpc(status: str, details: str, prompt: Prompt) -> NonRetryableError | UnavailableError:
    if status == "UNAVAILABLE" and "failed to connect" in details:
        return UnreachableError("nobody answers at the address of the model's server")
    return error_from_status(status, details, prompt)


def _status_name(error: InferenceServerException) -> str:
    """gRPC's name of it. An old server says none in a stream."""
    return (error.status() or "INTERNAL").rpartition(".")[2]
