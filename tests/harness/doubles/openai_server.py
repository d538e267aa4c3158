"""A small server with the parts of OpenAI's API that engines use: streamed Chat Completions, and Embeddings.

Its completion repeats the words of the last message, one word a chunk. Some words change that:

- `status 429 [seconds]` at the start: this error status, with Retry-After;
- `break-off`: the stream ends without an end; `fail`: an error within the stream; `send:0`: a malformed chunk by its number;
- `finish:` with a reason: the answer ends with this finish reason.

Words of the last line that begin with `as:` select a form of the answer, and are not repeated. In Parley's prompts,
the last line is the sentence to translate.

- `as:whole`: one completion instead of a stream; `as:parts`: content as a list of parts; `as:null-delta`: null deltas;
- `as:thinking`: reasoning before the answer; `as:thinking-only`: reasoning without an answer; `as:no-reason`: no finish reason;
- `as:error:` with a code: an error with status 200 instead of an answer; `as:error-within`: the same in a stream;
- `as:moderated`: a refusal of this request, which quotes it.

A vector counts the letters of its text, and isn't of unit length. The vectors arrive in reverse order. The texts `status 429`
and `as:moderated` work as above.

The attributes of `OpenAiServerState` apply to all requests.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from string import ascii_lowercase
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from tests.harness.api.server_thread import run_app

PIECE_S = 0.002
"""Seconds before each chunk of a stream."""
SLOW_WORD, SLOW_WORD_S = "slowly", 0.5
"""A word, and the seconds that it takes: an answer of many such words outlasts a test."""
MALFORMED_CHUNKS = (
    'data: {"id": "chatcmpl-1", "choices": [{"index"\n\n',
    'data: {"choices": [{"index": 0, "delta": {"content": ["no", "text"]}}]}\n\n',
    "data: null\n\n",
    'data: "no chunk"\n\n',
)
"""Chunks that overloaded gateways send within a stream, for the word `send:` and an index."""
MAX_WORDS = 4_000
"""Words of the longest message that the model accepts."""
MODEL, EMBEDDING_MODEL = "echo-1", "letters-1"
API_KEY = "sk-test"


@dataclass
class OpenAiServerState:
    """The server's requests, and its settings.

    Attributes:
        bodies: bodies of the requests, oldest first.
        in_flight: number of streams in progress.
        refusal_status: the status with which it refuses every request; None if it answers.
        unsupported_parameters: the parameters that it refuses as OpenAI does; `system` means messages of that role.
        loading_s: seconds to load the model; a request that is cancelled meanwhile restarts the loading. 0 ends it.
        loading_responses: number of further requests that get status 503, as while a model loads.
        busy_responses: number of further requests that get status 429, with a date as Retry-After.
        embedding_answer: the body of each answer with vectors; None for the vectors.
        reply_to: returns the answer to the last line; None if the answer repeats the words.
    """

    bodies: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    in_flight: int = 0
    refusal_status: int | None = None
    unsupported_parameters: tuple[str, ...] = ()
    loading_s: float = 0.0
    loading_responses: int = 0
    busy_responses: int = 0
    embedding_answer: bytes | None = None
    reply_to: Callable[[str], str] | None = None


@contextmanager
def openai_server(port: int = 0) -> Iterator[tuple[str, OpenAiServerState]]:
    """Run the server during the block, and yield its base URL and its state. Port 0 means any free port."""
    state = OpenAiServerState()
    with run_app(_build_app(state), port) as url:
        yield f"{url}/v1", state


def _build_app(state: OpenAiServerState) -> FastAPI:
    app = FastAPI()

    @app.post("/v1/chat/completions")
    async def complete(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        body = await request.json()
        state.bodies.append(body)
        if request.headers.get("authorization") != f"Bearer {API_KEY}":
            return _error_response(401, "Incorrect API key provided")
        if body["model"] != MODEL:
            return _error_response(404, f"The model {body['model']} does not exist")
        words = body["messages"][-1]["content"].split()
        if state.refusal_status is not None:
            return _error_response(state.refusal_status, "as it stands")
        if "system" in state.unsupported_parameters and any(
            message["role"] == "system" for message in body["messages"]
        ):
            return _error_response(400, "System role not supported")
        if name := next((name for name in state.unsupported_parameters if name in body), None):
            message = f"Unsupported parameter: '{name}' is not supported with this model."
            return _error_response(400, message, code="unsupported_parameter")
        if state.busy_responses:
            state.busy_responses -= 1
            return _error_response(429, "Too many requests", {"Retry-After": _retry_after("date:1")})
        if state.loading_responses:
            state.loading_responses -= 1
            return _error_response(503, "Loading model")
        if state.loading_s:
            # Starlette does not cancel a handler whose client has disconnected.
            deadline = time.monotonic() + state.loading_s
            while state.loading_s and time.monotonic() < deadline:
                if await request.is_disconnected():
                    return Response(status_code=499)
                await asyncio.sleep(PIECE_S)
            state.loading_s = 0.0
        line = body["messages"][-1]["content"].rpartition("\n")[2]
        modes = [word.removeprefix("as:") for word in line.split() if word.startswith("as:")]
        words = [word for word in words if not word.startswith("as:")]
        if state.reply_to is not None:
            words = state.reply_to(line).split(" ")
        if "moderated" in modes:
            message = f"Input data may contain inappropriate content: {' '.join(words)}"
            return _error_response(400, message, code="data_inspection_failed")
        if code := next((word.partition(":")[2] for word in modes if word.startswith("error:")), None):
            return JSONResponse({"error": {"message": "as asked", "code": code}})
        if "whole" in modes:
            return JSONResponse(_completion(words, modes))
        if len(words) > MAX_WORDS:
            return _error_response(
                400, f"This model's maximum context length is {MAX_WORDS} tokens; you said: {' '.join(words[:3])}"
            )
        if words[:1] == ["status"]:
            return _error_response(
                int(words[1]), "as asked", {"Retry-After": _retry_after(words[2])} if len(words) > 2 else {}
            )
        return StreamingResponse(_stream(state, body, words, modes), media_type="text/event-stream")

    @app.post("/v1/embeddings")
    async def embed(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        body = await request.json()
        state.bodies.append(body)
        texts: list[str] = body["input"]
        if request.headers.get("authorization") != f"Bearer {API_KEY}":
            return _error_response(401, "Incorrect API key provided")
        if body["model"] != EMBEDDING_MODEL:
            return _error_response(404, f"The model {body['model']} does not exist")
        if state.refusal_status is not None:
            return _error_response(state.refusal_status, "as it stands")
        if "" in texts:
            return _error_response(400, "'$.input' is invalid")
        if moderated := next((text for text in texts if text.startswith("as:moderated")), None):
            return _error_response(400, f"Input data may contain inappropriate content: {moderated}")
        if status := next((text.split()[1] for text in texts if text.startswith("status ")), None):
            return _error_response(int(status), "as asked")
        deadline = time.monotonic() + state.loading_s
        while time.monotonic() < deadline and not await request.is_disconnected():
            await asyncio.sleep(PIECE_S)
        if state.embedding_answer is not None:
            return Response(state.embedding_answer, media_type="application/json")
        vectors = [
            {"object": "embedding", "index": k, "embedding": [text.lower().count(letter) for letter in ascii_lowercase]}
            for k, text in enumerate(texts)
        ]
        return JSONResponse({"object": "list", "model": EMBEDDING_MODEL, "data": vectors[::-1]})

    return app


async def _stream(
    state: OpenAiServerState, body: dict[str, Any], words: list[str], modes: list[str]
) -> AsyncIterator[str]:
    if "response_format" in body:
        assert body["response_format"]["type"] == "json_schema"
        words = ['{"said":', json.dumps(" ".join(words)) + "}"]
    state.in_flight += 1
    try:
        limit, finish = body.get("max_tokens", body.get("max_completion_tokens", MAX_WORDS)), "stop"
        # A stream of Azure begins with a chunk without choices.
        yield _event({"choices": [], "usage": None})
        yield _event(_choice({"role": "assistant", "content": ""}))
        if "null-delta" in modes:
            yield _event({"choices": [{"index": 0, "delta": None, "finish_reason": None}]})
        if "thinking" in modes or "thinking-only" in modes:
            yield _event(_choice({"reasoning_content": "I think."}))
        if "error-within" in modes:
            yield f"data: {json.dumps({'error': {'message': 'overloaded', 'code': None}})}\n\n"
            return
        for k, word in enumerate([] if "thinking-only" in modes else words[:limit]):
            await asyncio.sleep(SLOW_WORD_S if word == SLOW_WORD else PIECE_S)
            if word == "break-off":
                return
            if word == "fail":
                yield f"data: {json.dumps({'error': {'message': 'as asked', 'code': 500}})}\n\n"
                return
            if word.startswith("send:"):
                yield MALFORMED_CHUNKS[int(word[5:])]
                return
            if word.startswith("finish:"):
                finish = word.removeprefix("finish:")
                break
            yield _event(_choice({"content": _content(word if k == 0 else f" {word}", modes)}))
        if len(words) > limit:
            finish = "length"
        if "null-delta" in modes:
            yield _event({"choices": [{"index": 0, "delta": None, "finish_reason": finish}]})
        elif "no-reason" not in modes:
            yield _event(_choice({}, finish))
        if body.get("stream_options", {}).get("include_usage"):
            usage = {"prompt_tokens": len(words), "completion_tokens": min(len(words), limit), "total_tokens": 0}
            # Some servers omit this field.
            if "known" in words:
                usage["prompt_tokens_details"] = {"cached_tokens": 1}
            yield _event({"choices": [], "usage": usage})
        yield "data: [DONE]\n\n"
    finally:
        state.in_flight -= 1


def _completion(words: list[str], modes: list[str]) -> dict[str, Any]:
    message = {"role": "assistant", "content": _content(" ".join(words), modes)}
    if "thinking-only" in modes:
        message = {"role": "assistant", "content": None, "reasoning": "I think."}
    usage = {"prompt_tokens": len(words), "completion_tokens": len(words), "total_tokens": 0}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "chatcmpl-1", "object": "chat.completion", "model": MODEL, "choices": [choice], "usage": usage}


def _content(text: str, modes: list[str]) -> Any:
    if "parts" not in modes:
        return text
    return [{"type": "thinking", "thinking": "I think."}, {"type": "text", "text": text}]


def _retry_after(when: str) -> str:
    """Return a Retry-After value: the seconds, or with the prefix `date:` the date that many seconds from now."""
    seconds = when.removeprefix("date:")
    return when if seconds == when else formatdate(time.time() + float(seconds), usegmt=True)


def _choice(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def _event(part: dict[str, Any]) -> str:
    payload = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL} | part
    return f"data: {json.dumps(payload)}\n\n"


def _error_response(
    status: int, message: str, headers: dict[str, str] | None = None, code: str | None = None
) -> Response:
    return JSONResponse({"error": {"message": message, "type": "error", "code": code}}, status, headers=headers)
