"""The heartbeat of a lane, and the trimming of its log."""

from __future__ import annotations

from sqlalchemy import text

from flows.lane.committer import Committer
from flows.lane.log_reader import read_positions
from operators.errors import Fenced
from storage.log import LogReader, before, order


def beat(committer: Committer, pending_calls: int) -> None:
    """Trim the log below what any open meeting needs, and leave a sign of life.

    Args:
        waiting: calls without an answer.

    Raises:
        Fenced: another process has the lane.
    """
    entries = LogReader(committer.redis, committer.lane_id)
    due_at = committer.first_due_tick()
    # Asked in this order: what has been seen lies behind a meeting that comes or goes, or that one is here or gone already.
    seen, floor = committer.committed_log_id, committer.oldest_needed()
    who = {"lane": committer.lane_id, "epoch": committer.epoch}
    with committer.engine.begin() as transaction:
        before_this = transaction.execute(
            text(
                "update lanes set updated_at = now(), waiting = :waiting, log_length = :length,"
                " due_at = case when kind = 'live' then cast(:due_at as bigint) end"
                " where id = :lane and epoch = :epoch returning log_id"
            ),
            {**who, "waiting": pending_calls, "length": entries.length(), "due_at": due_at},
        ).scalar_one_or_none()
        if before_this is None:
            raise Fenced(f"lane {committer.lane_id} has been taken over from epoch {committer.epoch}")
        # A lane that was started again is no further until it is where it was.
        if seen is not None and order(seen) >= order(before_this):
            held = None if floor is None else before(floor)
            noted = text("update lanes set log_id = :seen, held = :held where id = :lane and epoch = :epoch")
            transaction.execute(noted, {**who, "seen": seen, "held": held})
    # What was noted just now bounds the trimming, whatever was committed meanwhile.
    entries.trim(read_positions(committer.engine, committer.lane_id)[1])
