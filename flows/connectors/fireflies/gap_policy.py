"""The policy of gap-fill requests: when the transcript is requested to fill the gaps of a live meeting."""

from __future__ import annotations

from dataclasses import dataclass

from storage.ingest.request_budget import RequestPlan

RICH_WINDOW_S = 3600
"""A plan whose window is shorter than this is rich: its requests come back within the meeting."""


@dataclass(frozen=True, slots=True)
class GapPolicy:
    """The times at which gaps are filled.

    Attributes:
        delay_s: seconds after a reconnect before the request. Gaps that begin meanwhile are filled by the same request.
        max_live_requests: maximum number of requests while the meeting runs; None for no limit.
        max_requests: maximum number of requests of a meeting, with those at its end; None for no limit.
        retry_s: seconds before another request if the transcript ended before a gap. If None, the gap waits for the next
            reconnect, or for the meeting's end.
    """

    delay_s: float
    max_live_requests: int | None
    max_requests: int | None
    retry_s: float | None


RICH_POLICY = GapPolicy(delay_s=3.0, max_live_requests=None, max_requests=None, retry_s=30.0)
# A chunk accepts revisions for 120 s, so a gap that waits longer can be filled by new text only.
POOR_POLICY = GapPolicy(delay_s=60.0, max_live_requests=3, max_requests=5, retry_s=None)


def policy_of(plan: RequestPlan) -> GapPolicy:
    """Return the policy for a plan."""
    return RICH_POLICY if plan.window_s < RICH_WINDOW_S else POOR_POLICY
