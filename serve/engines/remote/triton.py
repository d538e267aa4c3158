"""Engine of a model on a Triton Inference Server with the vLLM backend, over KServe v2's gRPC.

The contract is the backend's as published (`triton-inference-server/vllm_backend`, `src/model.py` and `src/utils/request.py`,
read in November 2026). The model is decoupled. Its inputs are `text_input`, `stream`, `exclude_input_in_output` and
`sampling_parameters`. Its output is `text_output`; `return_…` requests `finish_reason`, `num_input_tokens` and
`num_output_tokens` as well. Triton itself was not run: the tests use a test server that implements this contract.
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
"""The chat format of most open models: Qwen, SmolLM, Yi, and many that are fine-tuned from others."""
_SPECIAL_TOKEN = re.compile(r"<\|(\w+)\|>")
"""A token that begins or ends a message. In transcript text it is spelled apart, or the backend would interpret it."""
_READ_TIMEOUT_S = 30.0
"""Seconds. A server that sends nothing for so long has lost the request, and the caller may retry."""
_CHANNEL_OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
_OUTPUTS = ("text_output", "finish_reason", "num_input_tokens", "num_output_tokens")
_UNFINISHED = "None"
"""The backend's finish reason before the end: Python's `None` as text."""


class TritonEngine:
    """Calls a model on a Triton server.

    The backend takes plain text, so this engine renders the conversation in the model's chat format. `Prompt.priority` is
    not sent, because the backend has no field for it.

    Args:
        url: URL of the gRPC service, like `http://127.0.0.1:8001`; `https` for TLS.
        model: the model's name on that server.
        key: key of a gateway in front of the server, sent as a bearer token; None if there is none.
        template: the model's format of a message, with `{role}` and `{content}`. The prompt ends with the start of an
            assistant message. Leave out tokens that the tokenizer adds before each text (`<s>`).

    Raises:
        SetupError: the template lacks `{role}` or `{content}`.
    """

    name = "triton"

    def __init__(self, url: str, model: str, key: str | None = None, template: str = CHATML) -> None:
        if "{role}" not in template or "{content}" not in template:
            raise SetupError("the template for Triton's model needs {role} and {content}, as " + repr(CHATML) + " has")
        self.version = model
        self._url = url
        self._template = template
        key = (key or "").strip()
        # Without `triton_grpc_error`, errors in a stream have no status.
        self._headers = {"triton_grpc_error": "true"} | ({"authorization": f"Bearer {key}"} if key else {})
        self._open_client: InferenceServerClient | None = None

    @property
    def _client(self) -> InferenceServerClient:
        """The client, created at its first use because it belongs to the running event loop."""
        if self._open_client is None:
            parts = urlsplit(self._url)
            self._open_client = InferenceServerClient(
                parts.netloc if parts.port else f"{parts.netloc}:8001",
                ssl=parts.scheme == "https",
                channel_args=[*_CHANNEL_OPTIONS, ("grpc.enable_http_proxy", int(not is_loopback(self._url)))],
            )
        return self._open_client

    async def generate(self, request: Prompt) -> AsyncGenerator[str | Generation]:
        """Answer a prompt as a stream. Cancelling, or closing the stream early, cancels the call on the server as well.

        Raises:
            NonRetryableError: the server rejects this request.
            UnavailableError: the server can't be reached, rejects the key or the model, or is overloaded.
            MalformedResponseError: the response is no answer, or was interrupted.
        """
        accumulator, tokens, prompt_tokens = StreamAccumulator(), 0, 0
        # A character's bytes may be split between two pieces.
        decoder = getincrementaldecoder("utf-8")("replace")
        finish = _UNFINISHED
        parts: Any = self._client.stream_infer(_single_request(self._build_request(request)), headers=self._headers)
        try:
            while finish == _UNFINISHED and (part := await _next_piece(parts)) is not None:
                piece, finish, prompt_tokens, piece_tokens = part
                tokens += piece_tokens
                if text := decoder.decode(piece):
                    yield accumulator.add(text)
        # `from None`: a server's message may quote the prompt.
        except grpc.aio.AioRpcError as error:
            raise _error_from_grpc(error.code().name, error.details() or "", request) from None
        except InferenceServerException as error:
            raise _error_from_grpc(_status_name(error), error.message() or "", request) from None
        except TimeoutError:
            raise UnavailableError(f"the model's server sent nothing for {_READ_TIMEOUT_S:.0f} s") from None
        finally:
            parts.cancel()
        if finish == _UNFINISHED:
            raise MalformedResponseError("the model's server broke off in the middle of an answer")
        yield accumulator.complete(self.version, parse_finish_reason(finish, accumulator.text), prompt_tokens, tokens)

    async def check_health(self) -> None:
        """Check that the model is ready, and have it produce a token.

        Raises:
            UnavailableError: the model isn't ready, or produces no token.
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
            # The backend takes this as JSON text within the JSON.
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
        """Render the conversation as one text, up to the start of the answer."""
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
    """Read the next piece of an answer; None after the last.

    Returns:
        The piece's bytes, the finish reason, the tokens of the request, and the tokens of the piece.
    """
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
    """Build a tensor of one element."""
    tensor = InferInput(name, [1], "BYTES" if isinstance(value, str) else "BOOL")
    tensor.set_data_from_numpy(
        np.array([value.encode()], dtype=np.object_) if isinstance(value, str) else np.array([value], dtype=bool)
    )
    return tensor


def _error_from_grpc(status: str, details: str, prompt: Prompt) -> NonRetryableError | UnavailableError:
    if status == "UNAVAILABLE" and "failed to connect" in details:
        return UnreachableError("the model's server can't be reached at its address")
    return error_from_status(status, details, prompt)


def _status_name(error: InferenceServerException) -> str:
    """Return gRPC's name of an error's status. Old servers send none in a stream."""
    return (error.status() or "INTERNAL").rpartition(".")[2]
