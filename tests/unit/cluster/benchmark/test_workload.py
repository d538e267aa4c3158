"""The benchmark's load equals the requests of lanes, and no sentence repeats."""

from __future__ import annotations

import asyncio

import pytest

from cluster.benchmark.workload import (
    MEETING_SENTENCE_COUNT,
    make_requests,
    meeting_lengths,
    run_closed_loop,
)
from operators.errors import UnavailableError
from operators.translation_requests import TranslationRequest


@pytest.mark.parametrize("count", [1, MEETING_SENTENCE_COUNT, 2 * MEETING_SENTENCE_COUNT + 3])
def test_each_sentence_is_requested_once_with_its_context(count: int) -> None:
    expected_requests = make_requests(count)
    assert len(expected_requests) == sum(meeting_lengths(count)) == count
    assert (
        len({request.text for request in expected_requests} | {request.text for request in make_requests(count)})
        == 2 * count
    )
    assert all(request.source_language == "en" and request.language == "pt" for request in expected_requests)
    assert [bool(request.context) for request in expected_requests] == [
        n % MEETING_SENTENCE_COUNT > 0 for n in range(count)
    ]


async def test_the_closed_loop_keeps_its_concurrency_and_counts_failures() -> None:
    under_way, most = 0, 0

    async def ask(request: TranslationRequest) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.001)
        under_way -= 1
        if request.sentence_id.startswith("3."):
            raise UnavailableError("not now")

    found = await run_closed_loop(ask, make_requests(2 * MEETING_SENTENCE_COUNT), 4)
    failing = sum(request.sentence_id.startswith("3.") for request in make_requests(2 * MEETING_SENTENCE_COUNT))
    assert failing > 0
    assert (most, found.errors, len(found.latencies_s)) == (4, failing, 2 * MEETING_SENTENCE_COUNT - failing)
