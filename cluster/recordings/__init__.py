"""Recorded meetings: their files, and their replay into a running system.

- `reader` reads transcript files; `glossary_file` reads a glossary from a CSV file.
- `player` replays recordings over the HTTP API. `caption_summary` counts the captions of a meeting.

The formats themselves are in `operators.transcripts`, the HTTP client in `cluster.api_client`.
"""

__all__ = [
    "caption_summary",
    "glossary_file",
    "player",
    "reader",
]
