"""What a lane's process runs: the real lane, with a scripted translation service."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from flows.lane.options import LaneOptions
from flows.lane.runner import Lane
from operators.errors import Fenced
from operators.translation import CaptionStatus, Translation, TranslationRequest

FENCED = 7
"""The exit status of a lane that was replaced."""
LATENCY = 0.002
"""Seconds an answer takes."""


async def answer(request: TranslationRequest, engine: str) -> Translation:
    """A translation that is a function of the text; the engine's name tells who asked for it."""
    await asyncio.sleep(LATENCY)
    return Translation(CaptionStatus.TRANSLATED, f"{request.language}:{request.text.upper()}", engine)


async def _answer(request: TranslationRequest) -> Translation:
    return await answer(request, "lane")


def run(options: LaneOptions, log: Path) -> None:
    """Run a lane until SIGTERM. It exits with `FENCED` where another process took the lane over."""
    with log.open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    lane = Lane(options, _answer)
    signal.signal(signal.SIGTERM, lambda *_: lane.stop())
    try:
        lane.run()
    except Fenced:
        sys.exit(FENCED)
