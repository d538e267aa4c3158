"""Tests operators/token_quota.py."""

from __future__ import annotations

import pytest

from operators.insight_requests import InsightRequest, InsightRole
from operators.token_estimate import estimate_text_tokens
from operators.token_quota import estimate_request_tokens, find_excess


@pytest.mark.parametrize("role", [InsightRole.INSIGHT, InsightRole.CHAT])
def test_the_last_fifth_is_for_notes(role: InsightRole) -> None:
    assert find_excess(1_000, 799, role, 60) is None
    assert "the rest is for running notes" in (find_excess(1_000, 800, role, 60) or "")
    assert find_excess(1_000, 999, InsightRole.NOTE, 60) is None


@pytest.mark.parametrize("role", list(InsightRole))
def test_nobody_gets_more_than_the_quota(role: InsightRole) -> None:
    excess = find_excess(2_000_000, 2_000_000, role, 23 * 3600 + 59 * 60 + 1)
    assert excess == "the team has used 2,000,000 of its 2,000,000 tokens of the day; more in 24 h 0 min"


def test_a_quota_of_one_token_allows_a_note() -> None:
    assert find_excess(1, 0, InsightRole.NOTE, 60) is None


def test_the_estimate_has_all_of_a_request() -> None:
    request = InsightRequest("t", "m", InsightRole.CHAT, "Be brief.", ("Ann: Hi.", "Bob: Yes."), "Sum it up.", "en")
    parts = ["Be brief.", "Ann: Hi.", "Bob: Yes.", "Sum it up."]
    assert estimate_request_tokens(request) == sum(map(estimate_text_tokens, parts))
