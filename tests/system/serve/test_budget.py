"""serve/budget.py against the tokenizer of a real model."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from serve.budget import estimate
from tests.harness.ami import FOLDER, NAMES, needs_ami
from tests.harness.smollm2 import folder, needs_vllm
from tests.unit.serve.test_budget import prompt


@pytest.fixture(scope="module")
def tokens() -> Callable[[str], int]:
    """SmolLM2's own tokenizer: how many tokens a text is."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder())
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False))


@needs_vllm
@needs_ami
@pytest.mark.parametrize("meeting", NAMES)
@pytest.mark.parametrize("field", ["text", "ja"])
def test_the_estimate_never_counts_too_few_of_a_real_meeting(
    meeting: str, field: str, tokens: Callable[[str], int]
) -> None:
    """English, and Japanese, of which SmolLM2's vocabulary has so little that it takes its letters apart."""
    said = json.loads((FOLDER / f"{meeting}.reference.json").read_text())["sentences"]
    lines = [f"{one['speaker']}: {one[field]}\n" for one in said if one[field]]
    for at in range(0, len(lines), 10):
        text = "".join(lines[at : at + 10])
        real, estimated = tokens(text), estimate(prompt(text))
        assert real <= estimated
    text = "".join(lines)
    assert tokens(text) <= estimate(prompt(text)) < 2 * tokens(text)
