"""The keys that Parley uses in Redis, and what each holds. No other module builds a key by itself."""

from __future__ import annotations

LANE_LOG_PREFIX = "lane:"


def lane_log(lane_id: str) -> str:
    """Key of a lane's log.

    A stream with the accepted entries of the lane's meetings, in order of acceptance. Committed entries are trimmed.
    """
    return f"{LANE_LOG_PREFIX}{lane_id}"


def meeting_log_state(meeting_id: str) -> str:
    """Key of the log's state of a meeting, a hash. It expires a day after the last call that found the meeting open.

    Fields:

    - `team_id`, `meeting_id`, `lane`, `clock`, `moves`, `generation`
    - `status`: `open`, `paused`, `ended` or `failed`
    - `n`: the last ordinal
    - `began_at`, `last_at`: arrival of the first and of the last entry (ms)
    - `config`: JSON
    - `started_n`, `started_id`: the first entry
    - `lease_until`: end of the lease (ms, recorded clocks only)
    """
    return f"meeting:{meeting_id}"


def accepted_event_ids(meeting_id: str) -> str:
    """Key of a meeting's accepted event ids, a hash of event id to ordinal. It expires with the meeting's state."""
    return f"meeting:{meeting_id}:events"


def chunk_ordinals(meeting_id: str) -> str:
    """Key of a meeting's chunks, a hash of chunk id to the ordinal of its first entry. It expires with the meeting's state."""
    return f"meeting:{meeting_id}:chunks"


def live_channel(meeting_id: str) -> str:
    """Channel of a meeting's live events (pub/sub, which stores nothing)."""
    return f"events:{meeting_id}"


def published_seq(meeting_id: str) -> str:
    """Key of the `seq` of a meeting's last published live event. It expires after a day; the relay sends all later events."""
    return f"published:{meeting_id}"


def source_session(meeting_id: str, source: str, session: str) -> str:
    """Key of the adapter's state of a source's session in a meeting, as JSON. It expires a day after the last message."""
    return f"meeting:{meeting_id}:source:{source}:{session}"


def source_session_lock(meeting_id: str, source: str, session: str) -> str:
    """Key of the lock that the process holds which updates a session's state. It expires if that process dies."""
    return f"source-lock:{meeting_id}:{source}:{session}"


def measured_processes() -> str:
    """Key of the processes with metrics, a sorted set of snapshot names by their last renewal (ms)."""
    return "measured"


def metrics_snapshot(process_name: str) -> str:
    """Key of a process's metrics snapshot, as JSON. It expires half a minute after the process last renewed it."""
    return f"measured:{process_name}"


def connector_chunks(meeting_id: str) -> str:
    """Key of a connector's chunks in a meeting, a hash of chunk id to the latest revision as JSON.

    It expires a day after the last append.
    """
    return f"meeting:{meeting_id}:connector"


def connector_state(session_id: str) -> str:
    """Key of the state of a connector session's adapter, as JSON. It expires a day after the last message."""
    return f"connector:{session_id}"


def connector_pending(session_id: str) -> str:
    """Key of the events that a connector session is about to append, as JSON. It expires a day after the last message."""
    return f"connector:{session_id}:pending"


def request_budget(account: str, window: str) -> str:
    """Key of the number of requests that an account made in a window of its plan. It expires with the window."""
    return f"requests:{account}:{window}"


def request_block(account: str) -> str:
    """Key that exists as long as a server refuses an account's requests."""
    return f"requests:{account}:blocked"


def captions_cleared(meeting_id: str) -> str:
    """Key of the time (s) at which the captions on older clients' screens were cleared. It expires after a minute."""
    return f"meeting:{meeting_id}:cleared"


def idempotent_response(request: str) -> str:
    """Key of the response to a request with an idempotency key, as JSON. It expires after a day."""
    return f"response:{request}"


INTELLIGENCE_STREAM = "stream:intelligence"
"""Key of the stream that reports the requests and results of running notes to other systems. Old entries are trimmed."""
