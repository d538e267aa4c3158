"""The positions of a lane and of its meetings in the log. Every write checks the lane's epoch (fencing token)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

from operators.errors import FencedError
from storage.records import OPEN_STATUSES, MeetingStatus


class StoredMeeting(NamedTuple):
    """A meeting as last committed.

    Attributes:
        last_committed: ordinal of its last committed entry.
        moves: number of its last completed move.
        log_id: the log id to continue after; None before its first commit.
        state: the operators' states at that point; None if the meeting is over or has not begun.
    """

    id: UUID
    team_id: str
    clock: str
    status: MeetingStatus
    lane_id: str
    last_committed: int
    moves: int
    log_id: str | None
    state: dict[str, Any] | None


class LanePositions(NamedTuple):
    """The positions of a lane.

    Attributes:
        log_id: the log id up to which the lane is committed.
        retain_after: the log id after which a handover needs the log; None without one.
        meetings: its open meetings, by id.
    """

    log_id: str
    retain_after: str | None
    meetings: list[StoredMeeting]


_LANE = text("select log_id, retain_after from lanes where id = :lane")
# The columns are the fields, in their order.
_SELECT_MEETINGS = f"select {', '.join(StoredMeeting._fields)} from meetings"  # noqa: S608 - names of this module
_OPEN_MEETINGS = text(f"{_SELECT_MEETINGS} where lane_id = :lane and status = any(:open) order by id")
_MEETINGS = text(f"{_SELECT_MEETINGS} where id = any(:ids)")
_HEARTBEAT = text(
    "update lanes set updated_at = now(), pending_calls = :pending_calls, log_length = :log_length,"
    " due_at = case when kind = 'live' then cast(:due_at as bigint) end"
    " where id = :lane and epoch = :epoch returning log_id"
)
_ADVANCE = text("update lanes set log_id = :log_id, retain_after = :retain_after where id = :lane and epoch = :epoch")
_ADOPT = text(
    "update meetings set lane_id = :lane where id = :id"
    " and exists (select 1 from lanes where id = :lane and epoch = :epoch)"
)


def read_lane_positions(connection: Connection, lane_id: str) -> LanePositions:
    """Read the positions of a lane and of its open meetings."""
    lane = connection.execute(_LANE, {"lane": lane_id}).one()
    rows = connection.execute(_OPEN_MEETINGS, {"lane": lane_id, "open": list(OPEN_STATUSES)})
    return LanePositions(lane.log_id, lane.retain_after, [StoredMeeting(*row) for row in rows])


def read_meetings(connection: Connection, meeting_ids: Sequence[str]) -> dict[str, StoredMeeting]:
    """Read meetings by id, open or not. An id without a meeting is left out."""
    rows = connection.execute(_MEETINGS, {"ids": [UUID(meeting_id) for meeting_id in meeting_ids]})
    return {str(row.id): StoredMeeting(*row) for row in rows}


def record_heartbeat(
    connection: Connection, lane_id: str, epoch: int, *, pending_calls: int, log_length: int, due_at: int | None
) -> str:
    """Record a lane's heartbeat.

    Args:
        connection: an open transaction.
        lane_id: the lane.
        epoch: of the process that has the lane.
        pending_calls: calls without a result.
        log_length: entries in the lane's log.
        due_at: when the first uncommitted tick is due (ms); stored for live lanes only.

    Returns:
        The stored log id of the lane.

    Raises:
        FencedError: another process has the lane.
    """
    values = {"pending_calls": pending_calls, "log_length": log_length, "due_at": due_at}
    log_id = connection.execute(_HEARTBEAT, {"lane": lane_id, "epoch": epoch, **values}).scalar_one_or_none()
    if log_id is None:
        raise FencedError(f"lane {lane_id} has been taken over from epoch {epoch}")
    return str(log_id)


def advance_lane(connection: Connection, lane_id: str, epoch: int, log_id: str, retain_after: str | None) -> None:
    """Store the log id up to which a lane is committed, and the id after which handovers need the log.

    It changes nothing if another process has the lane.
    """
    values = {"log_id": log_id, "retain_after": retain_after}
    connection.execute(_ADVANCE, {"lane": lane_id, "epoch": epoch, **values})


def adopt_meeting(connection: Connection, lane_id: str, epoch: int, meeting_id: UUID) -> None:
    """Assign a meeting to a lane.

    Raises:
        FencedError: another process has the lane.
    """
    adopted = connection.execute(_ADOPT, {"lane": lane_id, "epoch": epoch, "id": meeting_id})
    if adopted.rowcount == 0:
        raise FencedError(f"lane {lane_id} has been taken over from epoch {epoch}")
