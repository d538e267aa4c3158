"""A small server that keeps to OpenAI's Chat Completions contract, streamed, as far as an engine sees it.

It says the words of the last message back, one a piece, unless that begins with `status 429 [seconds]`, or holds `break-off`,
`fail`, `send:0` or `finish:` with a reason: there it does so, or ends the answer with that reason.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from tests.harness.serving import serving_app

PAUSE = 0.002
"""Seconds that a piece takes."""
SLOWLY, A_WHILE = "slowly", 0.5
"""A word, and how long it takes: an answer of such comes to no end while a test lasts."""
MALFORMED = (
    'data: {"id": "chatcmpl-1", "choices": [{"index"\n\n',
    'data: {"choices": [{"index": 0, "delta": {"content": ["no", "text"]}}]}\n\n',
    "data: null\n\n",
    'data: "no chunk"\n\n',
)
"""What overloaded gateways send in the middle of a stream; for the word `send:` and its number."""
LONGEST = 4_000
"""Words of a question that are too many for the model."""
MODEL = "echo-1"
KEY = "sk-test"


@dataclass
class Asked:
    """What it was asked.

    Attributes:
        bodies: of the requests, oldest first.
        at_work: answers under way.
    """

    bodies: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    at_work: int = 0


@contextmanager
def openai_server(port: int = 0) -> Iterator[tuple[str, Asked]]:
    """Where its API begins, and what it is asked, for as long as the block. Port 0 is any free one."""
    asked = Asked()
    with serving_app(_app(asked), port) as url:
        yield f"{url}/v1", asked


def _app(asked: Asked) -> FastAPI:
    app = FastAPI()

    @app.post("/v1/chat/completions")
    async def complete(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        body = await request.json()
        asked.bodies.append(body)
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return _error(401, "Incorrect API key provided")
        if body["model"] != MODEL:
            return _error(404, f"The model {body['model']} does not exist")
        words = body["messages"][-1]["content"].split()
        if len(words) > LONGEST:
            return _error(
                400, f"This model's maximum context length is {LONGEST} tokens; you said: {' '.join(words[:3])}"
            )
        if words[:1] == ["status"]:
            return _error(int(words[1]), "as asked", {"Retry-After": words[2]} if len(words) > 2 else {})
        return StreamingResponse(_stream(asked, body, words), media_type="text/event-stream")

    return app


async def _stream(asked: Asked, body: dict[str, Any], words: list[str]) -> AsyncIterator[str]:
    if "response_format" in body:
        assert body["response_format"]["type"] == "json_schema"
        words = ['{"said":', json.dumps(" ".join(words)) + "}"]
    asked.at_work += 1
    try:
        limit, finish = body["max_tokens"], "stop"
        # Azure's begins with one of no choice.
        yield _event({"choices": [], "usage": None})
        yield _event(_choice({"role": "assistant", "content": ""}))
        for k, word in enumerate(words[:limit]):
            await asyncio.sleep(A_WHILE if word == SLOWLY else PAUSE)
            if word == "break-off":
                return
            if word == "fail":
                yield f"data: {json.dumps({'error': {'message': 'as asked', 'code': 500}})}\n\n"
                return
            if word.startswith("send:"):
                yield MALFORMED[int(word[5:])]
                return
            if word.startswith("finish:"):
                finish = word.removeprefix("finish:")
                break
            yield _event(_choice({"content": word if k == 0 else f" {word}"}))
        if len(words) > limit:
            finish = "length"
        yield _event(_choice({}, finish))
        if body.get("stream_options", {}).get("include_usage"):
            usage = {"prompt_tokens": len(words), "completion_tokens": min(len(words), limit), "total_tokens": 0}
            # Some servers don't say it.
            if "known" in words:
                usage["prompt_tokens_details"] = {"cached_tokens": 1}
            yield _event({"choices": [], "usage": usage})
        yield "data: [DONE]\n\n"
    finally:
        asked.at_work -= 1


def _choice(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def _event(part: dict[str, Any]) -> str:
    whole = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL} | part
    return f"data: {json.dumps(whole)}\n\n"


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": {"message": message, "type": "error"}}, status, headers=headers)
