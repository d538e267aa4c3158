"""Every key Parley keeps in Redis, and what lies under it. No other module spells one out."""

from __future__ import annotations

LANE_LOG_PREFIX = "lane:"


def lane_log(lane_id: str) -> str:
    """A lane's log, a stream: the accepted entries of its meetings, in order of acceptance, trimmed once committed."""
    return f"{LANE_LOG_PREFIX}{lane_id}"


def meeting_log_state(meeting_id: str) -> str:
    """What the door knows of a meeting, a hash. It expires a day after the last call that found the meeting open.

    Fields: `team_id`, `meeting_id`, `lane`, `clock`, `status` (`open`, `paused`, `ended`, `failed`), `n` (the last
    ordinal), `moves`, `generation`, `began_at` and `last_at` (ms, arrival of the first and of the last entry), `config`
    (JSON), `started_n` and `started_id` (the first entry), and `lease_until` (ms, recorded clocks only).
    """
    return f"meeting:{meeting_id}"


def accepted_event_ids(meeting_id: str) -> str:
    """The event ids a meeting has accepted, a hash of event id to ordinal. It expires with the meeting's own hash."""
    return f"meeting:{meeting_id}:events"


def chunk_ordinals(meeting_id: str) -> str:
    """The chunks of a meeting, a hash of chunk id to the ordinal of its first entry. It expires with the meeting's own hash."""
    return f"meeting:{meeting_id}:chunks"


def live_channel(meeting_id: str) -> str:
    """The channel a meeting's live events are published on (pub/sub; nothing is kept)."""
    return f"events:{meeting_id}"


def published_seq(meeting_id: str) -> str:
    """How far a meeting's live events are published, a `seq` that expires after a day: the relay sends what comes after."""
    return f"published:{meeting_id}"


def measured_processes() -> str:
    """The processes that measure themselves, a sorted set of their `snapshot` names by when each was last renewed (ms)."""
    return "measured"


def metrics_snapshot(process_name: str) -> str:
    """What a process measured, as JSON. It expires half a minute after the process last renewed it."""
    return f"measured:{process_name}"
