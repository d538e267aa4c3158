"""The heartbeat of a lane, and the trimming of its log."""

from __future__ import annotations

from flows.lane.committer import Committer
from flows.lane.log_reader import read_positions
from storage.postgres.lane_positions import advance_lane, record_heartbeat
from storage.redis_log.lane_stream import LaneStream, parse_stream_id, previous_stream_id


def beat(committer: Committer, pending_calls: int) -> None:
    """Record a heartbeat and the lane's position, and trim the log below what open meetings need.

    Args:
        committer: the lane's sink.
        pending_calls: calls without a result.

    Raises:
        FencedError: another process has the lane.
    """
    entries = LaneStream(committer.redis, committer.lane_id)
    due_at = committer.first_due_tick()
    # The order matters: `oldest_needed` then covers each handover that the committed id has passed, unless it is over.
    committed, oldest_needed = committer.committed_log_id, committer.oldest_needed()
    lane_id, epoch = committer.lane_id, committer.epoch
    with committer.engine.begin() as transaction:
        stored_position = record_heartbeat(
            transaction, lane_id, epoch, pending_calls=pending_calls, log_length=entries.length(), due_at=due_at
        )
        # A restarted lane reads older entries again: it stores no position before it has caught up with the stored one.
        if committed is not None and parse_stream_id(committed) >= parse_stream_id(stored_position):
            retain_after = None if oldest_needed is None else previous_stream_id(oldest_needed)
            advance_lane(transaction, lane_id, epoch, committed, retain_after)
    # The position stored above bounds the trimming, whatever was committed since.
    entries.trim(read_positions(committer.engine, lane_id)[1])
