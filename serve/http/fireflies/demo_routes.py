"""Routes of older clients for a demo within the server. Parley's demo is a command, which these routes name."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from operators.errors import ConflictError
from serve.http.problems import problem_responses

router = APIRouter(prefix="/api/fireflies/demo", tags=["fireflies"])

COMMAND = "parley fireflies-sim --port 8090 --api-key demo-key"
_FIX = f"the server has no demo: run `{COMMAND}`, and connect to `demo` with `api_base_url` http://127.0.0.1:8090"


class DemoStatus(BaseModel):
    """The demo isn't part of the server: `command` starts it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"running": False, "command": COMMAND}]})

    running: Literal[False]
    command: str


@router.get("/status")
async def get_fireflies_demo_status() -> DemoStatus:
    """Get the command that starts the demo."""
    return DemoStatus(running=False, command=COMMAND)


@router.post("/start", responses=problem_responses(409))
async def start_fireflies_demo() -> DemoStatus:
    """Answer with the command that starts the demo."""
    raise ConflictError("no_demo", _FIX)


@router.post("/stop", responses=problem_responses(409))
async def stop_fireflies_demo() -> DemoStatus:
    """Answer with the command that starts the demo; Ctrl-C stops it."""
    raise ConflictError("no_demo", _FIX)
