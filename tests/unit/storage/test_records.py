"""storage/records.py: which changes of a status begin and end a meeting."""

from __future__ import annotations

import pytest

from storage.records import MeetingStatus, meeting_transition


@pytest.mark.parametrize(
    ("previous", "status", "transition"),
    [
        ("created", "live", "started"),
        ("created", "paused", "started"),
        ("timed_out", "live", "started"),
        ("live", "live", None),
        ("live", "paused", None),
        ("paused", "live", None),
        ("created", "created", None),
        ("created", "ended", "ended"),
        ("live", "timed_out", "ended"),
        ("paused", "failed", "ended"),
        ("timed_out", "ended", None),
        ("ended", "ended", None),
    ],
)
def test_a_meeting_begins_and_ends_by_its_status(
    previous: MeetingStatus, status: MeetingStatus, transition: str | None
) -> None:
    assert meeting_transition(previous, status) == transition
