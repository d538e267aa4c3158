"""Tests of the token budget."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.engines.protocol import CountsTokens, Message, Prompt
from serve.engines.remote.openai import OpenAiEngine
from serve.insight.token_budget import TokenBudget, estimate_tokens
from tests.harness.doubles.scripted_model import ScriptedModel


def make_prompt(*contents: str, max_tokens: int = 10) -> Prompt:
    return Prompt(tuple(Message("user", content) for content in contents), max_tokens)


async def test_engine_counts_tokens_if_it_can() -> None:
    engine = ScriptedModel(lambda prompt, k: "", context_window=20)
    assert isinstance(engine, CountsTokens)
    budget = TokenBudget(engine, 8192)
    assert budget.window_tokens == 20
    assert await budget.count_tokens(make_prompt("one two three")) == 4
    assert await budget.tokens_left(make_prompt("one two three", max_tokens=14)) == 2
    assert await budget.fits(make_prompt("one two three", max_tokens=16))
    assert not await budget.fits(make_prompt("one two three", max_tokens=17))


async def test_tokens_are_estimated_for_other_engines() -> None:
    engine = OpenAiEngine("http://127.0.0.1:9/v1", "m")
    budget = TokenBudget(engine, 100)
    assert budget.window_tokens == 100
    assert await budget.count_tokens(make_prompt("abc" * 10)) == estimate_tokens(make_prompt("abc" * 10)) == 18
    await engine.close()


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("the budget is", 5), ("2026", 4), ("?!\n", 3), ("ação", 4), ("встреча", 9), ("会议", 4), ("👍", 3)],
)
def test_estimate_depends_on_the_script(text: str, tokens: int) -> None:
    assert estimate_tokens(make_prompt(text)) - estimate_tokens(make_prompt("")) == tokens


@settings(deadline=None)
@given(st.text(), st.text())
def test_estimate_grows_with_the_text(one: str, other: str) -> None:
    assert (
        estimate_tokens(make_prompt(one))
        <= estimate_tokens(make_prompt(one + other))
        <= estimate_tokens(make_prompt(one)) + estimate_tokens(make_prompt(other))
    )
