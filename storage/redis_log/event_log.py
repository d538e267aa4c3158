"""The ingest API of the log: all input enters through one Lua script, which accepts each event once or refuses it.

An event that `append` reports as accepted is in the lane's stream. Ordinals number a meeting's entries without a gap, and
arrival times never decrease.
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

from operators.entries import (
    ENTRY_SCHEMA,
    Chunk,
    ConfigChanged,
    EntryPayload,
    MeetingEnded,
    MeetingMoved,
    MeetingStarted,
    SentenceCorrected,
    SpeakerRenamed,
)
from operators.errors import ConflictError, InvalidInputError, NotFoundError, ParleyError, UnavailableError
from operators.meeting_config import Clock, MeetingConfig
from operators.ticks import TICK_DELAYS_MS
from storage import redis_keys
from storage.redis_log import lua_scripts

IDLE_TIMEOUT_MS = TICK_DELAYS_MS[-1]
"""Milliseconds after its last entry at which a quiet meeting times out. A later event starts its next generation."""
LEASE_MS = 300_000
"""Milliseconds that a recorded meeting stays open without a call from its importer."""
RETENTION_S = 24 * 3600
"""Seconds that the log retains a meeting's state after the last call that found it open; an hour once it has ended."""

_UNREACHABLE_ERRORS = (RedisConnectionError, RedisTimeoutError, OutOfMemoryError, ReadOnlyError, MasterDownError)
"""Errors of a Redis that can't answer. A replica answers with the last two during a failover."""


@dataclass(frozen=True, slots=True)
class NewEvent:
    """A validated event to append.

    Attributes:
        event_id: identifies repeats of the event within its meeting.
        payload: the content of its entry.
        at_ms: time of the event in a recording (ms); a live clock ignores it.
    """

    event_id: str
    payload: EntryPayload
    at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class AppendResult:
    """The outcome of an append.

    Attributes:
        ordinal: ordinal of the entry; of the first one if the event is a repeat.
        log_id: id of the entry in the stream.
        reason: why the event was refused: `ended`, `failed`, `paused`, or `no_time` (`at_ms` is missing in a recorded meeting).
    """

    event_id: str
    outcome: Literal["accepted", "repeated", "refused"]
    ordinal: int | None = None
    log_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class MeetingLogState:
    """The log's state of a meeting. Times are in ms; `config` is the last accepted one."""

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
    """Redis has lost accepted entries of a meeting. Its last ordinal must be raised before the next append."""


class _LuaScript(Protocol):
    """The part of redis-py's script that is used here; redis-py's type doesn't fit an asynchronous reply."""

    async def __call__(self, keys: Sequence[str], args: Sequence[str | int]) -> Any: ...


class LogWriter:
    """Appends to the lanes' streams.

    Args:
        client: a client that decodes its responses.
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
        renames: Sequence[SpeakerRenamed] = (),
    ) -> AppendResult:
        """Open a meeting's log in a lane, and append its `started` entry. A meeting that is open already stays as it is.

        Args:
            team_id, meeting_id: the meeting.
            lane_id: its lane.
            clock: its clock.
            config: its configuration.
            at_ms: start of a recording (ms). A live clock uses Redis' time.
            last_ordinal: last ordinal in use, if Redis has lost the meeting.
            generation: the generation that starts.
            began_at_ms: start of the meeting's first generation (ms), if that was earlier.
            move_count: number of the meeting's moves to another lane.
            renames: the renames of speakers so far, in order.

        Returns:
            The outcome for the `started` entry: accepted or repeated.

        Raises:
            InvalidInputError: `at_ms` is missing for a recorded meeting.
            UnavailableError: Redis can't accept entries at the moment.
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
            _join_renames(renames),
        ]
        outcome, ordinal, log_id = await self._call_script(self._open_script, meeting_id, arguments)
        return AppendResult(f"started-{generation}", outcome, int(ordinal), log_id)

    async def append(self, meeting_id: str, events: Sequence[NewEvent], *, min_ordinal: int = 0) -> list[AppendResult]:
        """Append events to a meeting's log, in order, as one atomic step. A call without events renews the importer's lease.

        Args:
            meeting_id: the meeting.
            events: chunks, config changes, renames of speakers, corrections of sentences or the end.
            min_ordinal: an ordinal that is known to be in use.

        Returns:
            The outcome for each event.

        Raises:
            InvalidInputError: an event is of a kind that only the log itself writes.
            NotFoundError: Redis doesn't know the meeting.
            LogLostEntriesError: Redis has fewer than `min_ordinal` entries of the meeting; nothing was appended.
            UnavailableError: Redis can't accept entries at the moment. Repeating the call is safe.
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
        """Refuse a meeting's chunks until `resume`. Pausing twice has no further effect.

        Raises:
            ConflictError: the meeting is over.
            NotFoundError, UnavailableError: as `append`.
        """
        await self._set_status(meeting_id, "open", "paused")

    async def resume(self, meeting_id: str) -> None:
        """Accept a meeting's chunks again. Raises the same errors as `pause`."""
        await self._set_status(meeting_id, "paused", "open")

    async def move(self, meeting_id: str, lane_id: str) -> bool:
        """Move a meeting to another lane: entries accepted from now on are in that lane's log.

        Returns:
            Whether the meeting moves; False if it is on that lane already.

        Raises:
            ConflictError: the meeting is over.
            NotFoundError, UnavailableError: as `append`.
        """
        outcome = await self._call_script(self._move_script, meeting_id, [lane_id])
        if outcome is None:
            raise NotFoundError(f"the log knows no meeting {meeting_id}")
        if outcome == "ended":
            raise ConflictError("ended", "the meeting is over; there is nothing to move")
        return outcome == "moved"

    async def read_state(self, meeting_id: str) -> MeetingLogState | None:
        """Read the log's state of a meeting; None if there is none.

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
        self,
        meeting_id: str,
        min_ordinal: int,
        generation: int = 1,
        move_count: int = 0,
        lane_id: str = "",
        renames: Sequence[SpeakerRenamed] = (),
    ) -> int:
        """Raise a meeting's last ordinal, generation and number of moves to at least these, so that none is used twice.

        Args:
            meeting_id: the meeting.
            min_ordinal: lower bound of the last ordinal.
            generation: lower bound of the generation.
            move_count: lower bound of the number of moves.
            lane_id: the meeting's lane after `move_count` moves; it continues there if Redis has lost some of them.
            renames: the renames of speakers that are known, in order; they are restored if Redis has lost some of them.

        Returns:
            The difference by which the last ordinal was raised.

        Raises:
            NotFoundError, UnavailableError: as `append`.
        """
        raised = await self._call_script(
            self._reseed_script,
            meeting_id,
            [min_ordinal, generation, move_count, lane_id, _join_renames(renames)],
            without_header=True,
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
            # MISCONF: Redis can't write to its disk, and accepts nothing until that is fixed.
            if not str(error).startswith("MISCONF"):
                raise
            raise _to_unavailable(error) from error


def _join_renames(renames: Sequence[SpeakerRenamed]) -> str:
    """Return renames as the scripts take them: JSON objects, separated by commas."""
    return ",".join(renamed.model_dump_json(exclude_none=True) for renamed in renames)


def _event_arguments(index: int, event: NewEvent) -> list[str | int]:
    payload = event.payload
    at = "" if event.at_ms is None else event.at_ms
    match payload:
        case Chunk():
            return [event.event_id, "chunk", at, payload.model_dump_json(exclude_none=True), "", payload.chunk_id]
        case ConfigChanged():
            return [event.event_id, "config", at, payload.model_dump_json(), payload.config.model_dump_json(), ""]
        case SpeakerRenamed():
            return [event.event_id, "speakers", at, payload.model_dump_json(exclude_none=True), "", ""]
        case SentenceCorrected():
            return [event.event_id, "sentence", at, payload.model_dump_json(), "", ""]
        case MeetingEnded():
            return [event.event_id, "ended", at, payload.model_dump_json(), "", ""]
        case MeetingStarted() | MeetingMoved():
            raise InvalidInputError(f"events.{index}.kind", "must be chunk, config, speakers, sentence or ended")


def _to_unavailable(error: Exception) -> UnavailableError:
    if isinstance(error, redis.BusyLoadingError):
        return UnavailableError("the log is loading its data; try again")
    return UnavailableError(f"the log can't be reached at the moment ({type(error).__name__}); try again")
