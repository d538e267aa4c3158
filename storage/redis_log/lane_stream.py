"""One lane's stream in the log: its reader, and the order of the ids in it."""

from __future__ import annotations

from typing import cast

import redis

from storage import redis_keys
from storage.redis_log import lua_scripts

MAX_BLOCK_MS = 5_000
"""Longest time that one read waits for entries (ms): well below the timeout of a connection."""


class LaneStream:
    """Reads one lane's stream, for the lane's source. Blocking.

    Args:
        client: a client that decodes its responses.
        lane_id: the lane's id.
    """

    def __init__(self, client: redis.Redis, lane_id: str) -> None:
        self._redis = client
        self._key = redis_keys.lane_log(lane_id)
        self._set_status_script = client.register_script(lua_scripts.SET_STATUS)

    def read(self, after: str, count: int, block_ms: int | None = None) -> list[tuple[str, dict[str, str]]]:
        """Read the next entries after an id, oldest first, each as its id and its fields.

        Args:
            after: an id of the stream; `0` reads from its beginning.
            count: most entries to read.
            block_ms: how long to wait for an entry (ms), capped at `MAX_BLOCK_MS`; None does not wait.
        """
        block = None if block_ms is None else max(1, min(block_ms, MAX_BLOCK_MS))
        streams = cast(
            list[tuple[str, list[tuple[str, dict[str, str]]]]],
            self._redis.xread({self._key: after}, count=count, block=block),
        )
        return [(log_id, fields) for _, entries in streams for log_id, fields in entries]

    def read_range(self, first: str, last: str, count: int) -> list[tuple[str, dict[str, str]]]:
        """Read the entries between two ids, both included, oldest first.

        Args:
            first, last: ids of the stream; a prefix `(` excludes the id itself.
            count: most entries to read.
        """
        return cast(list[tuple[str, dict[str, str]]], self._redis.xrange(self._key, first, last, count))

    def last_id(self) -> str:
        """Return the id of the newest entry that was ever in the stream; `0-0` if there was none."""
        try:
            return str(self._redis.xinfo_stream(self._key)["last-generated-id"])
        except redis.ResponseError as error:
            if "no such key" not in str(error):
                raise
            return "0-0"

    def refuse_all(self, meeting_id: str) -> None:
        """Refuse all further events of a meeting, because it has failed."""
        for status in ("open", "paused"):
            self._set_status_script([redis_keys.meeting_log_state(meeting_id)], [status, "failed"])

    def now_ms(self) -> int:
        """Return Redis' time (ms), with which live entries are stamped."""
        seconds, micros = self._redis.time()
        return seconds * 1000 + micros // 1000

    def trim(self, min_id: str) -> int:
        """Delete all entries older than an id, and return their number."""
        return self._redis.xtrim(self._key, minid=min_id, approximate=False)

    def length(self) -> int:
        """Return the number of entries in the stream."""
        return self._redis.xlen(self._key)


def parse_stream_id(log_id: str) -> tuple[int, int]:
    """Convert an id of a stream to a sort key.

    >>> parse_stream_id("1700000000000-3") < parse_stream_id("1700000000000-10")
    True
    """
    milliseconds, _, sequence = log_id.partition("-")
    return int(milliseconds), int(sequence or 0)


def previous_stream_id(log_id: str) -> str:
    """Return the id after which `log_id` itself is the first entry read.

    >>> previous_stream_id("1700000000000-3"), previous_stream_id("1700000000000-0")
    ('1700000000000-2', '1699999999999-18446744073709551615')
    """
    milliseconds, _, sequence = log_id.partition("-")
    if int(sequence or 0) > 0:
        return f"{milliseconds}-{int(sequence) - 1}"
    return f"{int(milliseconds) - 1}-{2**64 - 1}" if int(milliseconds) > 0 else "0-0"
