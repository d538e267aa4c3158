"""The heartbeat of a lane, and the trimming of its log."""

from __future__ import annotations

from sqlalchemy import text

from flows.lane.committer import Committer
from flows.lane.log_reader import read_positions
from operators.errors import FencedError
from storage.redis_log.event_log import LogReader, parse_stream_id, previous_stream_id


def beat(committer: Committer, pending_calls: int) -> None:
    """Record a heartbeat and the lane's position, and trim the log below what open meetings need.

    Args:
        committer: the lane's sink.
        pending_calls: calls without a result.

    Raises:
        FencedError: another process has the lane.
    """
    entries = LogReader(committer.redis, committer.lane_id)
    due_at = committer.first_due_tick()
    # The order matters: `oldest_needed` then covers each handover that the committed id has passed, unless it is over.
    committed, oldest_needed = committer.committed_log_id, committer.oldest_needed()
    ownership = {"lane": committer.lane_id, "epoch": committer.epoch}
    with committer.engine.begin() as transaction:
        stored_position = transaction.execute(
            text(
                "update lanes set updated_at = now(), pending_calls = :pending_calls, log_length = :length,"
                " due_at = case when kind = 'live' then cast(:due_at as bigint) end"
                " where id = :lane and epoch = :epoch returning log_id"
            ),
            {**ownership, "pending_calls": pending_calls, "length": entries.length(), "due_at": due_at},
        ).scalar_one_or_none()
        if stored_position is None:
            raise FencedError(f"lane {committer.lane_id} has been taken over from epoch {committer.epoch}")
        # A restarted lane reads older entries again: it stores no position before it has caught up with the stored one.
        if committed is not None and parse_stream_id(committed) >= parse_stream_id(stored_position):
            retain_after = None if oldest_needed is None else previous_stream_id(oldest_needed)
            statement = text(
                "update lanes set log_id = :committed, retain_after = :retain_after where id = :lane and epoch = :epoch"
            )
            transaction.execute(statement, {**ownership, "committed": committed, "retain_after": retain_after})
    # The position stored above bounds the trimming, whatever was committed since.
    entries.trim(read_positions(committer.engine, committer.lane_id)[1])
