"""llama.cpp in the replica's own process, from its wheel (xllamacpp): a GGUF file, on the CPU or on whatever GPU it finds.

The library works off many questions together (continuous batching), in threads of its own. It wants a thread of ours for each
that is under way, calls back there for every piece, and gives the work up where the callback says so: between two tokens
of an answer, and between two batches of a long question.
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
    # Small, so that a long question holds nobody up, and is given up soon.
    "n_batch": 256,
    # Nothing that is asked is to be logged.
    "verbosity": -1,
}
"""Room for four questions at once of 8192 tokens each, with their answers."""
_FINISH_REASONS = {"stop", "length"}


class LlamaCppEngine:
    """Runs a chat model.

    Args:
        model: a GGUF file.
        arguments: llama.cpp's own (`xllamacpp.CommonParams`), a dot leading into its parts: `{"n_parallel": 8,
            "cpuparams.n_threads": 4}`. `n_ctx`, tokens, is shared by `n_parallel` questions that are worked on at once.

    Raises:
        SetupError: xllamacpp is not installed, there is no such argument, or no such model, or llama.cpp can't load it.
    """

    name = "llamacpp"

    def __init__(self, model: Path, arguments: Mapping[str, Any]) -> None:
        try:
            from xllamacpp import CommonParams, Server  # pyright: ignore - an extra, and not typed
        except ImportError as error:
            raise SetupError(LLAMACPP_MISSING_MESSAGE) from error
        _check_model_file(model)
        parameters = CommonParams()
        for name, value in {**_DEFAULT_ARGUMENTS, **arguments}.items():
            _set_argument(parameters, name, value)
        parameters.model.path = str(model)
        # It opens a port, needed or not: to this machine alone, and for nobody.
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
        """Answer a prompt, token by token. Cancelled or closed early, llama.cpp works on it no longer.

        Raises:
            NonRetryableError: the prompt is too long for the model, or its schema is none.
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
        # Without their cause: a message of llama.cpp's may quote the prompt.
        except ValueError as error:
            raise NonRetryableError(f"the model can't be asked this: {type(error).__name__}") from None
        except RuntimeError as error:
            raise UnavailableError(f"llama.cpp: {type(error).__name__}") from None
        finally:
            cancelled.set()
            completion.cancel()
        if finish not in _FINISH_REASONS:
            raise UnavailableError(f"llama.cpp gave an answer up: {finish}")
        yield accumulator.complete(self.version, "stop" if finish == "stop" else "length", *usage)

    async def check_health(self) -> None:
        """Generate a token.

        Raises:
            UnavailableError: it fails.
        """
        await probe(self)

    async def close(self) -> None:
        """Give up what is under way, and the model."""
        self._closed.set()
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        self._server = None


def _check_model_file(model: Path) -> None:
    """See whether this may be a model. llama.cpp says of all that it can't load the same."""
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
    """The question as OpenAI's Chat Completions have it, which is what llama.cpp takes."""
    body: dict[str, Any] = {
        "messages": [{"role": message.role, "content": message.content} for message in prompt.messages],
        "max_tokens": prompt.max_tokens,
        "temperature": prompt.temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
        # It calls back after each batch of the question, too, and can be told there that nobody wants the answer any more.
        "return_progress": True,
        # Models that think aloud do without: nobody could wait for it. Others take no notice.
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
    """Hand on what llama.cpp calls back with, in its thread; say whether it is to give the work up."""
    if cancelled.is_set() or closed.is_set():
        return True
    put(chunk)
    return False
