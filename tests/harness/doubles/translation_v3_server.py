"""A small server with the part of the Translation Service V3 API that an engine uses.

Its answer repeats the last line of the prompt after a delay for each word. Some lines change that:

- `status 429 [seconds]` at the start: this error status, with Retry-After;
- `send` and an index: the response body of `MALFORMED_BODIES` at this index.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from tests.harness.api.server_thread import run_app
from tests.harness.doubles.openai_server import SLOW_WORD, SLOW_WORD_S

WORD_S = 0.002
"""Seconds of delay for each word."""
MALFORMED_BODIES = ("<html>busy</html>", "null", "[]", "{}", '{"text": null}', '{"text": ["no", "text"]}')
MAX_WORDS = 4_000
MODEL = "echo-1"
API_KEY = "sk-test"


@dataclass
class TranslationV3State:
    """The server's requests, and its settings.

    Attributes:
        bodies: bodies of the requests, oldest first.
        in_flight: number of answers in progress.
        uses_old_fields: whether its answers have the older field names.
        is_paused: answers in progress wait while it is True.
    """

    bodies: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    in_flight: int = 0
    uses_old_fields: bool = False
    is_paused: bool = False


@contextmanager
def translation_v3_server() -> Iterator[tuple[str, TranslationV3State]]:
    """Run the server during the block, and yield its base URL and its state."""
    state = TranslationV3State()
    with run_app(_build_app(state)) as url:
        yield url, state


def _build_app(state: TranslationV3State) -> FastAPI:
    app = FastAPI()

    @app.post("/api/v3/translate")
    async def translate(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        body = await request.json()
        state.bodies.append(body)
        if request.headers.get("authorization") != f"Bearer {API_KEY}":
            return JSONResponse({"detail": "no"}, 401)
        words = body["prompt"].rsplit("\n", 1)[-1].split()
        if len(words) > MAX_WORDS:
            return JSONResponse({"detail": f"prompt too long: {' '.join(words[:3])}"}, 422)
        if words[0] == "status":
            headers = {"Retry-After": words[2]} if len(words) > 2 else {}
            return JSONResponse({"detail": "as asked"}, int(words[1]), headers=headers)
        if words[0] == "send":
            return Response(MALFORMED_BODIES[int(words[1])], media_type="application/json")
        emitted = words[: body["max_tokens"]]
        state.in_flight += 1
        try:
            for word in emitted:
                await asyncio.sleep(SLOW_WORD_S if word == SLOW_WORD else WORD_S)
                while state.is_paused:
                    await asyncio.sleep(WORD_S)
                if await request.is_disconnected():
                    return Response()
        finally:
            state.in_flight -= 1
        text, model = ("translated_text", "model_used") if state.uses_old_fields else ("text", "model")
        return JSONResponse({text: " ".join(emitted), model: body.get("model", MODEL), "processing_time": 0.1})

    return app
