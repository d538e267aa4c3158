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

from operators.errors import SetupFailed, Unavailable
from serve.engines.engine import Generation, Prompt, Unanswerable, Written, prove
from serve.engines.remote import refused

LLAMACPP_MISSING = "llama.cpp is not installed: `make setup` installs it (the package xllamacpp)"
_DEFAULTS: Mapping[str, Any] = {
    "n_parallel": 4,
    "n_ctx": 4 * 8192,
    # Small, so that a long question holds nobody up, and is given up soon.
    "n_batch": 256,
    # Nothing that is asked is to be logged.
    "verbosity": -1,
}
"""Room for four questions at once of 8192 tokens each, with their answers."""
_FINISH = {"stop", "length"}


class LlamaCppEngine:
    """Runs a chat model.

    Args:
        model: a GGUF file.
        arguments: llama.cpp's own (`xllamacpp.CommonParams`), a dot leading into its parts: `{"n_parallel": 8,
            "cpuparams.n_threads": 4}`. `n_ctx`, tokens, is shared by `n_parallel` questions that are worked on at once.

    Raises:
        SetupFailed: xllamacpp is not installed, there is no such argument, or no such model, or llama.cpp can't load it.
    """

    name = "llamacpp"

    def __init__(self, model: Path, arguments: Mapping[str, Any]) -> None:
        try:
            from xllamacpp import CommonParams, Server  # pyright: ignore - an extra, and not typed
        except ImportError as error:
            raise SetupFailed(LLAMACPP_MISSING) from error
        _check(model)
        parameters = CommonParams()
        for name, value in {**_DEFAULTS, **arguments}.items():
            _set(parameters, name, value)
        parameters.model.path = str(model)
        # It opens a port, needed or not: to this machine alone, and for nobody.
        parameters.hostnames, parameters.port, parameters.api_keys = ["127.0.0.1"], 0, [secrets.token_hex()]
        parameters.ui = parameters.endpoint_slots = False
        try:
            self._server: Any = Server(parameters)
        except RuntimeError as error:
            raise SetupFailed(f"llama.cpp can't load {model}: {error}") from error
        self.version = model.stem
        self._threads = ThreadPoolExecutor(max(1, parameters.n_parallel), thread_name_prefix="llamacpp")
        self._closed = threading.Event()

    async def generate(self, question: Prompt) -> AsyncGenerator[str | Generation]:
        """Answer a prompt, token by token. Cancelled or closed early, llama.cpp works on it no longer.

        Raises:
            Unanswerable: the prompt is too long for the model, or its schema is none.
            Unavailable: llama.cpp failed.
        """
        written, finish, usage = Written(), None, (0, 0, 0)
        chunks: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        given_up = threading.Event()
        loop = asyncio.get_running_loop()
        take = partial(_take, partial(loop.call_soon_threadsafe, chunks.put_nowait), given_up, self._closed)
        work = loop.run_in_executor(self._threads, self._server.handle_chat_completions, _body(question), take)
        work.add_done_callback(lambda _: chunks.put_nowait(None))
        try:
            while (chunk := await chunks.get()) is not None:
                if error := chunk.get("error"):
                    raise refused(error["code"], error, question)
                if told := chunk.get("usage"):
                    cached = told["prompt_tokens_details"]["cached_tokens"]
                    usage = told["prompt_tokens"], told["completion_tokens"], cached
                for choice in chunk["choices"]:
                    finish = choice["finish_reason"] or finish
                    if piece := choice["delta"].get("content"):
                        yield written.add(piece)
            await work
        # Without their cause: a message of llama.cpp's may quote the prompt.
        except ValueError as error:
            raise Unanswerable(f"the model can't be asked this: {type(error).__name__}") from None
        except RuntimeError as error:
            raise Unavailable(f"llama.cpp: {type(error).__name__}") from None
        finally:
            given_up.set()
            work.cancel()
        if finish not in _FINISH:
            raise Unavailable(f"llama.cpp gave an answer up: {finish}")
        yield written.whole(self.version, "stop" if finish == "stop" else "length", *usage)

    async def check_health(self) -> None:
        """Generate a token.

        Raises:
            Unavailable: it fails.
        """
        await prove(self)

    async def close(self) -> None:
        """Give up what is under way, and the model."""
        self._closed.set()
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        self._server = None


def _check(model: Path) -> None:
    """See whether this may be a model. llama.cpp says of all that it can't load the same."""
    try:
        with model.open("rb") as file:
            begins = file.read(4)
    except OSError as error:
        raise SetupFailed(f"there is no model to read at {model}: {error.strerror}") from None
    if begins != b"GGUF":
        raise SetupFailed(f"{model} is no GGUF file: llama.cpp loads no other")


def _set(parameters: Any, name: str, value: Any) -> None:
    *parts, last = name.split(".")
    try:
        for part in parts:
            parameters = getattr(parameters, part)
        if not hasattr(parameters, last):
            raise SetupFailed(f"llama.cpp has no argument {name}")
        setattr(parameters, last, value)
    except AttributeError:
        raise SetupFailed(f"llama.cpp has no argument {name}") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise SetupFailed(f"llama.cpp's argument {name}: {error}") from None


def _body(question: Prompt) -> dict[str, Any]:
    """The question as OpenAI's Chat Completions have it, which is what llama.cpp takes."""
    body: dict[str, Any] = {
        "messages": [{"role": message.role, "content": message.content} for message in question.messages],
        "max_tokens": question.max_tokens,
        "temperature": question.temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
        # It calls back after each batch of the question, too, and can be told there that nobody wants the answer any more.
        "return_progress": True,
        # Models that think aloud do without: nobody could wait for it. Others take no notice.
        "chat_template_kwargs": {"enable_thinking": False},
    }
    if question.schema is not None:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": dict(question.schema)},
        }
    return body


def _take(
    put: Callable[[dict[str, Any]], object], given_up: threading.Event, closed: threading.Event, chunk: dict[str, Any]
) -> bool:
    """Hand on what llama.cpp calls back with, in its thread; say whether it is to give the work up."""
    if given_up.is_set() or closed.is_set():
        return True
    put(chunk)
    return False
