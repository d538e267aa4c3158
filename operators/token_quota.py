"""The daily token quota of a team: the tokens that its notes, insights and answers may take in a day, in UTC.

Captions have no quota. Notes outrank insights and answers, so the last part of a quota is theirs.
"""

from __future__ import annotations

from operators.errors import DeferredError
from operators.insight_requests import InsightRequest, InsightRole
from operators.token_estimate import estimate_text_tokens

NOTES_SHARE = 0.2
"""Share of a quota that only notes may use."""


class QuotaExceededError(DeferredError):
    """A team has used its tokens of the day. The message says so, and when there are more."""


def find_excess(limit: int, used: int, role: InsightRole, resets_in_s: int) -> str | None:
    """Return why a team's request exceeds the quota; None if it doesn't.

    Args:
        limit: the quota, in tokens.
        used: the tokens used today.
        role: the kind of the request.
        resets_in_s: seconds until the next day.

    >>> find_excess(1_000, 700, InsightRole.CHAT, 60) is None
    True
    >>> find_excess(1_000, 800, InsightRole.NOTE, 60) is None
    True
    >>> find_excess(1_000, 800, InsightRole.CHAT, 5_400)
    'the team has used 800 of its 1,000 tokens of the day, and the rest is for running notes; more in 1 h 30 min'
    """
    is_note = role is InsightRole.NOTE
    if used < (limit if is_note else round(limit * (1 - NOTES_SHARE))):
        return None
    minutes = -(-resets_in_s // 60)
    rest = ", and the rest is for running notes" if used < limit else ""
    return (
        f"the team has used {used:,} of its {limit:,} tokens of the day{rest};"
        f" more in {minutes // 60} h {minutes % 60} min"
    )


def estimate_request_tokens(request: InsightRequest) -> int:
    """Estimate the tokens of a request, without its answer."""
    texts = (request.instructions, request.task, *request.transcript_lines)
    return sum(map(estimate_text_tokens, texts))
