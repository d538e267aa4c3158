"""Reads the chunks of a meeting from the log, as the lane takes them."""

from __future__ import annotations

import json
from typing import Any

from storage.redis_log.lane_stream import LaneStream
from tests.harness.api.api_harness import ApiHarness


def read_current_chunks(stage: ApiHarness, meeting: str) -> list[dict[str, Any]]:
    """Return the last revision of each chunk that has text, in order of their start.

    An interim text doesn't replace a final one, as in the lane.

    Args:
        stage: the running API.
        meeting: the meeting.
    """
    current: dict[str, dict[str, Any]] = {}
    for _, fields in LaneStream(stage.redis, "live-1").read("0", 10_000):
        if fields["kind"] != "chunk" or fields["meeting_id"] != meeting:
            continue
        chunk = json.loads(fields["payload"])
        if not (current.get(chunk["chunk_id"], {}).get("is_final") and chunk["is_final"] is False):
            current[chunk["chunk_id"]] = chunk
    return sorted((chunk for chunk in current.values() if chunk["text"]), key=lambda chunk: chunk["start"])
