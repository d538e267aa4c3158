"""Engine that runs llama.cpp in the replica's process (the package xllamacpp): a GGUF file, on the CPU or on any GPU it finds.

The library processes many requests together (continuous batching), in its own threads. Each request also occupies one thread
of this engine, in which the library calls back for every piece. If the callback returns true, the request is cancelled:
between two tokens of an answer, or between two batches of a long prompt.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from operators.errors import SetupError, UnavailableError
from serve.engines.protocol import Generation, NonRetryableError, Prompt, StreamAccumulator, probe
from serve.engines.server_errors import error_from_status

LLAMACPP_MISSING_MESSAGE = "llama.cpp is not installed: `make setup` installs it (the package xllamacpp)"
_DEFAULT_ARGUMENTS: Mapping[str, Any] = {
    "n_parallel": 4,
    "n_ctx": 4 * 8192,
    # Small, so that a long prompt doesn't delay other requests, and can be cancelled soon.
    "n_batch": 256,
    # No prompt may be logged.
    "verbosity": -1,
}
"""Room for four requests at once, with 8,192 tokens for each prompt and its answer."""
_FINISH_REASONS = {"stop", "length"}


class LlamaCppEngine:
    """Runs a chat model.

    Args:
        model: a GGUF file.
        arguments: llama.cpp's arguments (`xllamacpp.CommonParams`), with a dot before a nested name: `{"n_parallel": 8,
            "cpuparams.n_threads": 4}`. `n_ctx` is in tokens; the `n_parallel` requests processed at once share it.

    Raises:
        SetupError: xllamacpp is not installed, an argument or the model does not exist, or llama.cpp can't load the model.
    """

    name = "llamacpp"

    def __init__(self, model: Path, arguments: Mapping[str, Any]) -> None:
        try:
            from xllamacpp import CommonParams, Server  # pyright: ignore[reportMissingImports, reportAttributeAccessIssue] - an extra, compiled without types
        except ImportError as error:
            raise SetupError(LLAMACPP_MISSING_MESSAGE) from error
        _check_model_file(model)
        parameters = CommonParams()
        for name, value in {**_DEFAULT_ARGUMENTS, **arguments}.items():
            _set_argument(parameters, name, value)
        parameters.model.path = str(model)
        # The library always opens a port. This one is on this machine only, and its random key keeps everybody out.
        parameters.hostnames, parameters.port, parameters.api_keys = ["127.0.0.1"], 0, [secrets.token_hex()]
        parameters.ui = parameters.endpoint_slots = False
        try:
            self._server: Any = Server(parameters)
        except RuntimeError as error:
            raise SetupError(f"llama.cpp can't load {model}: {error}") from error
        self.version = model.stem
        self._threads = ThreadPoolExecutor(max(1, parameters.n_parallel), thread_name_prefix="llamacpp")
        self._closed = threading.Event()

    async def generate(self, request: Prompt) -> AsyncGenerator[str | Generation]:
        """Answer a prompt, token by token. llama.cpp stops if the stream is cancelled or closed early.

        Raises:
            NonRetryableError: the prompt is too long for the model, or its schema is invalid.
            UnavailableError: llama.cpp failed.
        """
        accumulator, finish, usage = StreamAccumulator(), None, (0, 0, 0)
        chunks: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        cancelled = threading.Event()
        loop = asyncio.get_running_loop()
        on_chunk = partial(_on_chunk, partial(loop.call_soon_threadsafe, chunks.put_nowait), cancelled, self._closed)
        completion = loop.run_in_executor(
            self._threads, self._server.handle_chat_completions, _request_body(request), on_chunk
        )
        completion.add_done_callback(lambda _: chunks.put_nowait(None))
        try:
            while (chunk := await chunks.get()) is not None:
                if error := chunk.get("error"):
                    raise error_from_status(error["code"], error, request)
                if usage_fields := chunk.get("usage"):
                    cached = usage_fields["prompt_tokens_details"]["cached_tokens"]
                    usage = usage_fields["prompt_tokens"], usage_fields["completion_tokens"], cached
                for choice in chunk["choices"]:
                    finish = choice["finish_reason"] or finish
                    if piece := choice["delta"].get("content"):
                        yield accumulator.add(piece)
            await completion
        # `from None`: llama.cpp's messages may quote the prompt.
        except ValueError as error:
            raise NonRetryableError(f"the model can't process this request: {type(error).__name__}") from None
        except RuntimeError as error:
            raise UnavailableError(f"llama.cpp: {type(error).__name__}") from None
        finally:
            cancelled.set()
            completion.cancel()
        if finish not in _FINISH_REASONS:
            raise UnavailableError(f"llama.cpp aborted an answer: {finish}")
        yield accumulator.complete(self.version, "stop" if finish == "stop" else "length", *usage)

    async def check_health(self) -> None:
        """Generate a token.

        Raises:
            UnavailableError: no token was generated.
        """
        await probe(self)

    async def close(self) -> None:
        """Cancel the requests in flight, and release the model."""
        self._closed.set()
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        self._server = None


def _check_model_file(model: Path) -> None:
    """Check that a file may be a model, because llama.cpp has the same message for everything that it can't load.

    Raises:
        SetupError: the file can't be read, or is no GGUF file.
    """
    try:
        with model.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise SetupError(f"there is no model to read at {model}: {error.strerror}") from None
    if magic != b"GGUF":
        raise SetupError(f"{model} is no GGUF file: llama.cpp loads no other")


def _set_argument(parameters: Any, name: str, value: Any) -> None:
    *parts, last = name.split(".")
    try:
        for part in parts:
            parameters = getattr(parameters, part)
        if not hasattr(parameters, last):
            raise SetupError(f"llama.cpp has no argument {name}")
        setattr(parameters, last, value)
    except AttributeError:
        raise SetupError(f"llama.cpp has no argument {name}") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise SetupError(f"llama.cpp's argument {name}: {error}") from None


def _request_body(prompt: Prompt) -> dict[str, Any]:
    """Build the body of the request in the format of OpenAI's Chat Completions, which llama.cpp takes."""
    body: dict[str, Any] = {
        "messages": [{"role": message.role, "content": message.content} for message in prompt.messages],
        "max_tokens": prompt.max_tokens,
        "temperature": prompt.temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
        # Calls back after each batch of the prompt as well, so that a request can be cancelled there.
        "return_progress": True,
        # Turns reasoning off, because it takes too long. Models without reasoning ignore this.
        "chat_template_kwargs": {"enable_thinking": False},
    }
    if prompt.schema is not None:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": dict(prompt.schema)},
        }
    return body


def _on_chunk(
    put: Callable[[dict[str, Any]], object], cancelled: threading.Event, closed: threading.Event, chunk: dict[str, Any]
) -> bool:
    """Pass a chunk on, in the thread of llama.cpp's callback. Return whether llama.cpp must cancel the request."""
    if cancelled.is_set() or closed.is_set():
        return True
    put(chunk)
    return False
