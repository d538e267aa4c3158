"""The load is what lanes would ask, and nothing of it is asked twice."""

from __future__ import annotations

import asyncio

import pytest

from cluster.bench.load import LENGTH, closed_loop, lengths, open_loop, requests
from operators.errors import Unavailable
from operators.translation import TranslationRequest


@pytest.mark.parametrize("count", [1, LENGTH, 2 * LENGTH + 3])
def test_each_sentence_of_each_meeting_is_asked_once_with_its_context(count: int) -> None:
    asked = requests(count)
    assert len(asked) == sum(lengths(count)) == count
    assert len({request.text for request in asked} | {request.text for request in requests(count)}) == 2 * count
    assert all(request.source_language == "en" and request.language == "pt" for request in asked)
    assert [bool(request.context) for request in asked] == [n % LENGTH > 0 for n in range(count)]


async def test_so_many_are_in_flight_and_what_fails_is_counted() -> None:
    under_way, most = 0, 0

    async def ask(request: TranslationRequest) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.001)
        under_way -= 1
        if request.sentence_id.startswith("3."):
            raise Unavailable("not now")

    found = await closed_loop(ask, requests(2 * LENGTH), 4)
    failing = sum(request.sentence_id.startswith("3.") for request in requests(2 * LENGTH))
    assert failing > 0
    assert (most, found.errors, len(found.latencies)) == (4, failing, 2 * LENGTH - failing)


async def test_meetings_go_on_speaking_while_answers_are_late() -> None:
    asked = 0
    gate = asyncio.Event()

    async def ask(request: TranslationRequest) -> None:
        nonlocal asked
        asked += 1
        if asked == 5:
            gate.set()
        await gate.wait()

    found = await open_loop(ask, 40, 0.5)
    assert (len(found.latencies), found.errors) == (5, 0)
