"""A small server that keeps to Translation Service V3's contract, as far as an engine sees it.

It says the last line of the prompt back, all at once, after a while that grows with its words; unless that line begins with
`status 429 [seconds]`, or is `send` and one of `MALFORMED` by its number: there it does so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from tests.harness.openai_server import A_WHILE, SLOWLY
from tests.harness.serving import serving_app

PAUSE = 0.002
"""Seconds that a word takes."""
MALFORMED = ("<html>busy</html>", "null", "[]", "{}", '{"text": null}', '{"text": ["no", "text"]}')
LONGEST = 4_000
MODEL = "echo-1"
KEY = "sk-test"


@dataclass
class Asked:
    """What it was asked.

    Attributes:
        bodies: of the requests, oldest first.
        at_work: answers under way.
        older: whether it has the older names for what it answers.
        holds: whether answers under way wait until it is taken back.
    """

    bodies: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    at_work: int = 0
    older: bool = False
    holds: bool = False


@contextmanager
def proxy_server() -> Iterator[tuple[str, Asked]]:
    """Where it is, and what it is asked, for as long as the block."""
    asked = Asked()
    with serving_app(_app(asked)) as url:
        yield url, asked


def _app(asked: Asked) -> FastAPI:
    app = FastAPI()

    @app.post("/api/v3/translate")
    async def translate(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        body = await request.json()
        asked.bodies.append(body)
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return JSONResponse({"detail": "no"}, 401)
        words = body["prompt"].rsplit("\n", 1)[-1].split()
        if len(words) > LONGEST:
            return JSONResponse({"detail": f"prompt too long: {' '.join(words[:3])}"}, 422)
        if words[0] == "status":
            headers = {"Retry-After": words[2]} if len(words) > 2 else {}
            return JSONResponse({"detail": "as asked"}, int(words[1]), headers=headers)
        if words[0] == "send":
            return Response(MALFORMED[int(words[1])], media_type="application/json")
        said = words[: body["max_tokens"]]
        asked.at_work += 1
        try:
            for word in said:
                await asyncio.sleep(A_WHILE if word == SLOWLY else PAUSE)
                while asked.holds:
                    await asyncio.sleep(PAUSE)
                if await request.is_disconnected():
                    return Response()
        finally:
            asked.at_work -= 1
        text, model = ("translated_text", "model_used") if asked.older else ("text", "model")
        return JSONResponse({text: " ".join(said), model: body.get("model", MODEL), "processing_time": 0.1})

    return app
