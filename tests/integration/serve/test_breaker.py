"""A circuit breaker before a real server that goes away and comes back."""

from __future__ import annotations

import pytest

from operators.errors import Unavailable
from serve.engines.breaker import FAILURES, Guarded
from serve.engines.engine import Message, Prompt, whole
from serve.engines.openai import OpenAiEngine
from tests.harness.openai_server import KEY, MODEL, openai_server

QUESTION = Prompt((Message("user", "Yes."),), 5)


async def refusal(guarded: Guarded[Prompt]) -> str:
    with pytest.raises(Unavailable) as caught:
        await whole(guarded.generate(QUESTION))
    return str(caught.value)


async def test_a_real_server_that_goes_away_is_left_alone() -> None:
    with openai_server() as (url, _):
        engine = OpenAiEngine(url, MODEL, KEY)
        guarded = Guarded(engine)
        assert (await whole(guarded.generate(QUESTION))).text == "Yes."
    for _ in range(FAILURES):
        assert "left alone" not in await refusal(guarded)
    assert "left alone" in await refusal(guarded)
    # Its replica is sound all the same.
    await guarded.check_health()
    await guarded.close()
