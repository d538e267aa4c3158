"""Source adapters: pure functions that turn the messages of transcript sources into chunks of the log.

One module a source, each with one `SourceAdapter`. An adapter is a fold: `step(state, message, context)` returns the next
state and the chunks. It has no clock and no I/O.

`alignment` compares a transcript with the chunks that came live. `fireflies_transcripts` parses whole
transcripts, `fireflies_listing` the lists of them.

The inbound routes are in `serve.http`, the clients that connect to a source in `flows`.
"""

from operators.sources.adapter import (
    AdapterContext,
    SourceAdapter,
    SourceMessage,
    build_chunk,
    parse_message,
    restore_state,
)
from operators.sources.registry import ADAPTERS, find_adapter

__all__ = [
    "ADAPTERS",
    "AdapterContext",
    "SourceAdapter",
    "SourceMessage",
    "alignment",
    "build_chunk",
    "find_adapter",
    "fireflies",
    "fireflies_listing",
    "fireflies_transcripts",
    "parse_message",
    "restore_state",
]
