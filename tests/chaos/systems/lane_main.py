"""The program of a lane's process: the real lane, with a scripted translation service."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from flows.lane.options import LaneOptions
from flows.lane.runner import Lane
from operators.errors import FencedError
from operators.translation_requests import CaptionStatus, Translation, TranslationRequest

FENCED_EXIT_STATUS = 7
"""The exit status of a lane that was replaced."""
TRANSLATION_LATENCY_S = 0.002
"""Seconds each translation takes."""


async def scripted_translation(request: TranslationRequest, engine: str) -> Translation:
    """Return a translation that is a function of the text. The engine's name identifies the caller."""
    await asyncio.sleep(TRANSLATION_LATENCY_S)
    return Translation(CaptionStatus.TRANSLATED, f"{request.language}:{request.text.upper()}", engine)


async def _translate_as_lane(request: TranslationRequest) -> Translation:
    return await scripted_translation(request, "lane")


def run_lane(options: LaneOptions, log: Path) -> None:
    """Run a lane until SIGTERM. Exits with `FENCED_EXIT_STATUS` if another process took the lane over."""
    with log.open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    lane = Lane(options, _translate_as_lane)
    signal.signal(signal.SIGTERM, lambda *_: lane.stop())
    try:
        lane.run()
    except FencedError:
        sys.exit(FENCED_EXIT_STATUS)
