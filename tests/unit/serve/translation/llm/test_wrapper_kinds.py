"""Tests of further kinds of wrappers around an answer, and of right answers that look like them; see test_wrappers.py."""

from __future__ import annotations

import pytest

from serve.engines.protocol import Utterance
from tests.unit.serve.translation.llm.test_wrappers import attempt_of

RIGHT = "Bom dia a todos, vamos começar a reunião de hoje."


async def assert_untouched(said: str, target: str, right: str) -> None:
    assert (await attempt_of(right, Utterance(said, "en", target), 7)).text == right


@pytest.mark.parametrize(
    ("said", "target", "right"),
    [
        ("See t.co/ab", "zh", "参见 t.co/ab"),
        ("Has Bo Li come?", "zh", "来了吗？Bo Li"),
        ("Has Bo Li come?", "zh", "来了吗？ Bo Li"),
        ("Let's go, HR and IT!", "zh", "走吧！HR IT"),
        ("Which of them, the UK or the EU?", "ja", "どちらのチームですか？UK / EU"),
        ("He said A B", "ru", "Он сказал - A B"),
        ("Open https://x.io/a please", "zh", "请打开 https://x.io/a"),
        ("Look at example dot org slash plan.", "zh", "请看。 example.org/plan"),
        ("Ask Bo and Lin.", "ja", "聞いてください。 Bo Lin"),
    ],
)
async def test_names_and_addresses_are_no_romanisation(said: str, target: str, right: str) -> None:
    await assert_untouched(said, target, right)
