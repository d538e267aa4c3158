"""The log's one door: all that is ever said enters here, through one script, and is accepted once or refused.

What `append` answered "accepted" to is in the lane's stream. Ordinals count a meeting's entries without a gap, and
arrival times never run backwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

import redis
import redis.asyncio
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MasterDownError, OutOfMemoryError, ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError

from operators.errors import ConflictError, InvalidInputError, NotFoundError, ParleyError, UnavailableError
from operators.model import (
    ENTRY_SCHEMA,
    Chunk,
    Clock,
    ConfigChanged,
    EntryPayload,
    MeetingConfig,
    MeetingEnded,
    MeetingMoved,
    MeetingStarted,
)
from operators.ticks import TICK_DELAYS_MS
from storage import redis_keys
from storage.redis_log import lua_scripts

IDLE_TIMEOUT_MS = TICK_DELAYS_MS[-1]
"""How long after its last entry a quiet meeting times out. What comes later begins its next generation."""
LEASE_MS = 300_000
"""How long a recorded meeting stays open without a word from its importer."""
RETENTION_S = 24 * 3600
"""How long the door remembers a meeting after the last call that found it open; an hour, once it has ended."""
MAX_BLOCK_MS = 5_000
"""The longest one read waits for entries: well below the time after which a connection counts as dead."""

_UNREACHABLE_ERRORS = (RedisConnectionError, RedisTimeoutError, OutOfMemoryError, ReadOnlyError, MasterDownError)
"""A replica answers with the last two while another server takes its master's place."""


@dataclass(frozen=True, slots=True)
class NewEvent:
    """Something to be accepted, already validated. `at` (ms) is a recording's time of it; a live clock ignores it."""

    event_id: str
    payload: EntryPayload
    at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class AppendResult:
    """What became of an event. `n` is its ordinal (of the first time, for a repeat), `log_id` its id in the stream.

    `reason` says why it was refused: `ended`, `failed`, `paused`, or `no_time` (a recorded meeting's event without `at`).
    """

    event_id: str
    outcome: Literal["accepted", "repeated", "refused"]
    ordinal: int | None = None
    log_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class MeetingLogState:
    """What the door knows of a meeting. Times are ms; `config` is the newest one accepted."""

    status: Literal["open", "paused", "ended", "failed"]
    last_ordinal: int
    lane_id: str
    clock: Clock
    last_arrived_at_ms: int
    lease_until_ms: int | None
    generation: int
    move_count: int
    config: MeetingConfig


class LogLostEntriesError(ParleyError):
    """Redis knows fewer entries of a meeting than were accepted: it lost some, and its ordinal must be raised first."""


class _LuaScript(Protocol):
    """As much of redis-py's script as is used here; its own type leaves the answer open."""

    async def __call__(self, keys: Sequence[str], args: Sequence[str | int]) -> Any: ...


class LogWriter:
    """Appends to the lanes' streams.

    Args:
        redis: a client that decodes its responses.
    """

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._redis = client
        self._open_script = cast(_LuaScript, client.register_script(lua_scripts.OPEN))
        self._append_script = cast(_LuaScript, client.register_script(lua_scripts.APPEND))
        self._set_status_script = cast(_LuaScript, client.register_script(lua_scripts.SET_STATUS))
        self._reseed_script = cast(_LuaScript, client.register_script(lua_scripts.RESEED))
        self._move_script = cast(_LuaScript, client.register_script(lua_scripts.MOVE))

    async def open(
        self,
        *,
        team_id: str,
        meeting_id: str,
        lane_id: str,
        clock: Clock,
        config: MeetingConfig,
        at_ms: int | None,
        last_ordinal: int = 0,
        generation: int = 1,
        began_at_ms: int | None = None,
        move_count: int = 0,
    ) -> AppendResult:
        """Open a meeting's log in a lane with its `started` entry. A meeting that is known is left as it is.

        Args:
            at: ms; when a recording begins. A live clock takes Redis' own time.
            n: the last ordinal given out already, where Redis forgot the meeting.
            began_at: ms; when it first began, where that was before.
            moves: how often it went on in another lane.

        Raises:
            InvalidInputError: a recorded meeting without `at`.
            UnavailableError: Redis can't take it at the moment.
        """
        if clock is Clock.RECORDED and at_ms is None:
            raise InvalidInputError("at", "must be given for a recorded clock, in ms since the Unix epoch")
        start = "" if clock is Clock.LIVE or at_ms is None else str(at_ms)
        began = "" if began_at_ms is None else str(began_at_ms)
        arguments = [
            team_id,
            meeting_id,
            lane_id,
            clock.value,
            config.model_dump_json(),
            start,
            last_ordinal,
            generation,
            began,
            move_count,
        ]
        outcome, ordinal, log_id = await self._call_script(self._open_script, meeting_id, arguments)
        return AppendResult(f"started-{generation}", outcome, int(ordinal), log_id)

    async def append(self, meeting_id: str, events: Sequence[NewEvent], *, min_ordinal: int = 0) -> list[AppendResult]:
        """Accept events into a meeting's log, in order, as one step. Without events it renews the importer's lease.

        Args:
            events: chunks, config changes or the end.
            least: an ordinal known to be given out already.

        Returns:
            What became of each event.

        Raises:
            InvalidInputError: an event of a kind that only the door itself writes.
            NotFoundError: Redis does not know the meeting.
            LogLostEntriesError: Redis knows fewer than `least` entries of it; nothing was appended.
            UnavailableError: Redis can't take it at the moment. Repeating the call is safe.
        """
        arguments: list[str | int] = [IDLE_TIMEOUT_MS, min_ordinal]
        for index, event in enumerate(events):
            arguments += _event_arguments(index, event)
        replies = await self._call_script(self._append_script, meeting_id, arguments)
        if replies is None:
            raise NotFoundError(f"the log knows no meeting {meeting_id}")
        if isinstance(replies, int):
            raise LogLostEntriesError(
                f"the log holds {replies} entries of meeting {meeting_id}, of {min_ordinal} accepted"
            )
        return [
            AppendResult(event.event_id, outcome, int(n) or None, log_id or None, reason or None)
            for event, (outcome, n, log_id, reason) in zip(events, replies, strict=True)
        ]

    async def pause(self, meeting_id: str) -> None:
        """Refuse chunks from now on, until `resume`. Pausing twice is fine.

        Raises:
            Refused: the meeting ended.
            Unknown, Unavailable: as `append`.
        """
        await self._set_status(meeting_id, "open", "paused")

    async def resume(self, meeting_id: str) -> None:
        """Take chunks again. Raises as `pause` does."""
        await self._set_status(meeting_id, "paused", "open")

    async def move(self, meeting_id: str, lane_id: str) -> bool:
        """Let a meeting go on in another lane: what is accepted from now on is in that one's log.

        Returns:
            Whether it moves; not if it is there already.

        Raises:
            Refused: the meeting ended.
            Unknown, Unavailable: as `append`.
        """
        outcome = await self._call_script(self._move_script, meeting_id, [lane_id])
        if outcome is None:
            raise NotFoundError(f"the log knows no meeting {meeting_id}")
        if outcome == "ended":
            raise ConflictError("ended", "the meeting is over; there is nothing to move")
        return outcome == "moved"

    async def read_state(self, meeting_id: str) -> MeetingLogState | None:
        """What the door knows of a meeting, or None.

        Raises:
            UnavailableError: Redis can't answer at the moment.
        """
        try:
            fields = cast(dict[str, str], await self._redis.hgetall(redis_keys.meeting_log_state(meeting_id)))
        except _UNREACHABLE_ERRORS as error:
            raise _to_unavailable(error) from error
        if not fields:
            return None
        lease_until = fields.get("lease_until")
        return MeetingLogState(
            status=cast(Literal["open", "paused", "ended", "failed"], fields["status"]),
            last_ordinal=int(fields["n"]),
            lane_id=fields["lane"],
            clock=Clock(fields["clock"]),
            last_arrived_at_ms=int(fields["last_at"]),
            lease_until_ms=int(lease_until) if lease_until else None,
            generation=int(fields["generation"]),
            move_count=int(fields.get("moves", "0")),
            config=MeetingConfig.model_validate_json(fields["config"]),
        )

    async def reseed(
        self, meeting_id: str, min_ordinal: int, generation: int = 1, move_count: int = 0, lane_id: str = ""
    ) -> int:
        """Raise a meeting's last ordinal to at least `n`, so that none is given out twice; generation and moves likewise.

        Args:
            lane: where it is after so many moves; it goes on there if Redis has forgotten some of them.

        Returns:
            By how much it was raised.

        Raises:
            Unknown, Unavailable: as `append`.
        """
        raised = await self._call_script(
            self._reseed_script, meeting_id, [min_ordinal, generation, move_count, lane_id], without_header=True
        )
        if raised is None:
            raise NotFoundError(f"the log knows no meeting {meeting_id}")
        return int(raised)

    async def _set_status(self, meeting_id: str, before: str, after: str) -> None:
        status = await self._call_script(self._set_status_script, meeting_id, [before, after], without_header=True)
        if status is None:
            raise NotFoundError(f"the log knows no meeting {meeting_id}")
        if status in ("ended", "failed"):
            raise ConflictError(status, "the meeting is over; start a new one")

    async def _call_script(
        self, script: _LuaScript, meeting_id: str, arguments: Sequence[str | int], *, without_header: bool = False
    ) -> Any:
        header: list[str | int] = (
            [] if without_header else [ENTRY_SCHEMA, redis_keys.LANE_LOG_PREFIX, LEASE_MS, RETENTION_S]
        )
        try:
            names = [
                redis_keys.meeting_log_state(meeting_id),
                redis_keys.accepted_event_ids(meeting_id),
                redis_keys.chunk_ordinals(meeting_id),
            ]
            return await script(names, [*header, *arguments])
        except _UNREACHABLE_ERRORS as error:
            raise _to_unavailable(error) from error
        except redis.ResponseError as error:
            # Its disk is full or broken: it takes nothing until that is mended.
            if not str(error).startswith("MISCONF"):
                raise
            raise _to_unavailable(error) from error


class LogReader:
    """Reads one lane's stream, for the lane's source. Blocking.

    Args:
        redis: a client that decodes its responses.
        lane: the lane's id.
    """

    def __init__(self, client: redis.Redis, lane_id: str) -> None:
        self._redis = client
        self._key = redis_keys.lane_log(lane_id)
        self._set_status_script = client.register_script(lua_scripts.SET_STATUS)

    def read(self, after: str, count: int, block_ms: int | None = None) -> list[tuple[str, dict[str, str]]]:
        """The next entries after an id, oldest first, each as its id and its fields.

        Args:
            after: an id of the stream; `0` reads from its beginning.
            count: how many at most.
            block_ms: how long to wait where there is none, at most `MAX_BLOCK_MS`; None does not wait.
        """
        block = None if block_ms is None else max(1, min(block_ms, MAX_BLOCK_MS))
        streams = cast(
            list[tuple[str, list[tuple[str, dict[str, str]]]]],
            self._redis.xread({self._key: after}, count=count, block=block),
        )
        return [(log_id, fields) for _, entries in streams for log_id, fields in entries]

    def read_range(self, first: str, last: str, count: int) -> list[tuple[str, dict[str, str]]]:
        """The entries from an id up to and with another, oldest first.

        Args:
            first, last: ids of the stream; `(` before one leaves itself out.
            count: how many at most.
        """
        return cast(list[tuple[str, dict[str, str]]], self._redis.xrange(self._key, first, last, count))

    def last_id(self) -> str:
        """The id of the newest entry that was ever in the stream; `0-0` where there was none."""
        try:
            return str(self._redis.xinfo_stream(self._key)["last-generated-id"])
        except redis.ResponseError as error:
            if "no such key" not in str(error):
                raise
            return "0-0"

    def refuse_all(self, meeting_id: str) -> None:
        """Refuse everything of a meeting from now on: it can't go on."""
        for status in ("open", "paused"):
            self._set_status_script([redis_keys.meeting_log_state(meeting_id)], [status, "failed"])

    def now_ms(self) -> int:
        """Redis' own time (ms), by which live entries are stamped."""
        seconds, micros = self._redis.time()
        return seconds * 1000 + micros // 1000

    def trim(self, min_id: str) -> int:
        """Drop all entries older than an id, and say how many."""
        return self._redis.xtrim(self._key, minid=min_id, approximate=False)

    def length(self) -> int:
        """How many entries the stream holds."""
        return self._redis.xlen(self._key)


def parse_stream_id(log_id: str) -> tuple[int, int]:
    """What ids of a stream are compared by.

    >>> parse_stream_id("1700000000000-3") < parse_stream_id("1700000000000-10")
    True
    """
    milliseconds, _, sequence = log_id.partition("-")
    return int(milliseconds), int(sequence or 0)


def previous_stream_id(log_id: str) -> str:
    """The id to read after so that `log_id` itself is the first to come.

    >>> previous_stream_id("1700000000000-3"), previous_stream_id("1700000000000-0")
    ('1700000000000-2', '1699999999999-18446744073709551615')
    """
    milliseconds, _, sequence = log_id.partition("-")
    if int(sequence or 0) > 0:
        return f"{milliseconds}-{int(sequence) - 1}"
    return f"{int(milliseconds) - 1}-{2**64 - 1}" if int(milliseconds) > 0 else "0-0"


def _event_arguments(index: int, event: NewEvent) -> list[str | int]:
    payload = event.payload
    at = "" if event.at_ms is None else event.at_ms
    match payload:
        case Chunk():
            return [event.event_id, "chunk", at, payload.model_dump_json(exclude_none=True), "", payload.chunk_id]
        case ConfigChanged():
            return [event.event_id, "config", at, payload.model_dump_json(), payload.config.model_dump_json(), ""]
        case MeetingEnded():
            return [event.event_id, "ended", at, payload.model_dump_json(), "", ""]
        case MeetingStarted() | MeetingMoved():
            raise InvalidInputError(f"events.{index}.kind", "must be chunk, config or ended")


def _to_unavailable(error: Exception) -> UnavailableError:
    if isinstance(error, redis.BusyLoadingError):
        return UnavailableError("the log is loading its data; try again")
    return UnavailableError(f"the log can't be reached at the moment ({type(error).__name__}); try again")
