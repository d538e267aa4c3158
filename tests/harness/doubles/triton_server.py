"""A small server with the part of Triton's vLLM backend that an engine uses: KServe v2 over gRPC.

Its answer repeats the words of the prompt's last message, one word a response. Some words change that:

- `status UNAVAILABLE` at the start: this gRPC status;
- `break-off`: the stream ends; `abort`: this finish reason; `malformed`: a response without a finish reason.

Like Triton, it refuses inputs that the model doesn't declare. It reports an error by the gRPC status if the stream
requests that, else in a response.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceServicer, add_GRPCInferenceServiceServicer_to_server
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

from tests.harness.doubles.openai_server import SLOW_WORD, SLOW_WORD_S

TRITON_PIECE_S = 0.002
"""Seconds before each response."""
MAX_WORDS = 4_000
MODEL = "echo-1"
API_KEY = "sk-test"
_INPUT_TYPES = {
    "text_input": "BYTES",
    "stream": "BOOL",
    "sampling_parameters": "BYTES",
    "exclude_input_in_output": "BOOL",
    "return_finish_reason": "BOOL",
    "return_num_input_tokens": "BOOL",
    "return_num_output_tokens": "BOOL",
}


@dataclass
class TritonServerState:
    """The server's requests, and its settings.

    Attributes:
        inputs: inputs of the requests, oldest first.
        in_flight: number of answers in progress.
        is_ready: whether the model is ready.
        lacks_stream_status: whether it reports a stream's errors in responses alone, as older versions do.
        lock: guards `in_flight`.
    """

    inputs: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    in_flight: int = 0
    is_ready: bool = True
    lacks_stream_status: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def triton_server() -> Iterator[tuple[str, TritonServerState]]:
    """Run the server during the block, and yield its URL and its state."""
    state = TritonServerState()
    server = grpc.server(ThreadPoolExecutor(64))
    add_GRPCInferenceServiceServicer_to_server(_TritonServicer(state), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}", state
    finally:
        server.stop(0).wait()


class _StatusError(Exception):
    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class _TritonServicer(GRPCInferenceServiceServicer):
    def __init__(self, state: TritonServerState) -> None:
        self._state = state

    def ModelReady(self, request: Any, context: grpc.ServicerContext) -> Any:
        return pb.ModelReadyResponse(ready=self._state.is_ready and request.name == MODEL)

    def ModelStreamInfer(self, request_iterator: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        metadata = dict(context.invocation_metadata())
        for request in request_iterator:
            try:
                yield from self._answer(request, context, metadata.get("authorization"))
            except _StatusError as fault:
                if metadata.get("triton_grpc_error") == "true" and not self._state.lacks_stream_status:
                    context.abort(fault.code, str(fault))
                yield pb.ModelStreamInferResponse(error_message=str(fault))

    def _answer(self, request: Any, context: grpc.ServicerContext, key: str | bytes | None) -> Iterator[Any]:
        if key != f"Bearer {API_KEY}":
            raise _StatusError(grpc.StatusCode.UNAUTHENTICATED, "no")
        if request.model_name != MODEL:
            raise _StatusError(
                grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{request.model_name}' is not found"
            )
        inputs = _read_inputs(request)
        self._state.inputs.append(inputs)
        sampling = json.loads(inputs["sampling_parameters"])
        if inputs["stream"] and not inputs["exclude_input_in_output"]:
            raise _generation_error("When streaming, `exclude_input_in_output` = False is not allowed.")
        turns = inputs["text_input"].split("<|im_start|>")
        assert turns[-1] == "assistant\n", "the prompt does not end with the assistant's turn"
        words = turns[-2].partition("\n")[2].partition("<|im_end|>")[0].split()
        if len(words) > MAX_WORDS:
            raise _generation_error(
                f"The decoder prompt (length {len(words)}) is longer than the maximum model length of {MAX_WORDS}."
                f" You said: {words[:3]}"
            )
        if words[:1] == ["status"]:
            raise _StatusError(grpc.StatusCode[words[1]], "as asked")
        if "structured_outputs" in sampling:
            assert list(json.loads(sampling["structured_outputs"])) == ["json"]
            words = ['{"said":', json.dumps(" ".join(words)) + "}"]
        with self._state.lock:
            self._state.in_flight += 1
        try:
            yield from self._pieces(words, sampling["max_tokens"], context)
        finally:
            with self._state.lock:
                self._state.in_flight -= 1

    def _pieces(self, words: list[str], limit: int, context: grpc.ServicerContext) -> Iterator[Any]:
        emitted = words[:limit]
        for k, word in enumerate(emitted):
            time.sleep(SLOW_WORD_S if word == SLOW_WORD else TRITON_PIECE_S)
            if not context.is_active() or word == "break-off":
                return
            last = k == len(emitted) - 1
            finish = "None" if not last else "length" if len(words) > limit else "stop"
            if word in ("abort", "malformed"):
                finish = word
            yield _response(word if k == 0 else f" {word}", finish, len(words))


def _generation_error(message: str) -> _StatusError:
    """Return an error of vLLM as the backend reports it."""
    return _StatusError(grpc.StatusCode.INTERNAL, f"Error generating stream: {message}")


def _read_inputs(request: Any) -> dict[str, Any]:
    inputs: dict[str, Any] = {}
    for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True):
        if _INPUT_TYPES.get(tensor.name) != tensor.datatype or list(tensor.shape) != [1]:
            raise _StatusError(grpc.StatusCode.INVALID_ARGUMENT, f"unexpected inference input '{tensor.name}'")
        is_text = tensor.datatype == "BYTES"
        inputs[tensor.name] = deserialize_bytes_tensor(raw)[0].decode() if is_text else bool(raw[0])
    if "text_input" not in inputs:
        raise _StatusError(grpc.StatusCode.INVALID_ARGUMENT, "expected an input text_input")
    return inputs


def _response(piece: str, finish: str, input_tokens: int) -> Any:
    answer = pb.ModelInferResponse(model_name=MODEL, model_version="1")
    values = {
        "text_output": np.array([piece.encode()], dtype=np.object_),
        "finish_reason": np.array([finish.encode()], dtype=np.object_),
        "num_input_tokens": np.array([input_tokens], dtype=np.uint32),
        "num_output_tokens": np.array([1], dtype=np.uint32),
    }
    if finish == "malformed":
        del values["finish_reason"]
    for name, value in values.items():
        is_text = value.dtype == np.object_
        answer.outputs.add(name=name, datatype="BYTES" if is_text else "UINT32", shape=[1])
        answer.raw_output_contents.append(serialize_byte_tensor(value).item() if is_text else value.tobytes())
    return pb.ModelStreamInferResponse(infer_response=answer)
