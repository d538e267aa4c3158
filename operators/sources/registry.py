"""The adapters of the sources that send their messages to Parley, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from operators.errors import NotFoundError
from operators.sources import assemblyai, attendee, deepgram, recall, speechmatics, vexa, whisperlive
from operators.sources.adapter import SourceAdapter

ADAPTERS: Mapping[str, SourceAdapter[Any]] = {
    adapter.name: adapter
    for adapter in (
        recall.ADAPTER,
        vexa.ADAPTER,
        attendee.ADAPTER,
        deepgram.ADAPTER,
        assemblyai.ADAPTER,
        whisperlive.ADAPTER,
        speechmatics.ADAPTER,
    )
}
"""The adapters by the source's name."""


def find_adapter(name: str) -> SourceAdapter[Any]:
    """Find a source's adapter.

    Raises:
        NotFoundError: no source has this name.
    """
    adapter = ADAPTERS.get(name)
    if adapter is None:
        raise NotFoundError(f"there is no such source; the sources are {', '.join(ADAPTERS)}")
    return adapter
