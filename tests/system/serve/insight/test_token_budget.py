"""Tests of the token estimate against a real model's tokenizer."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from serve.insight.token_budget import estimate_tokens
from tests.harness.data.ami_corpus import AMI_FOLDER, MEETING_NAMES, needs_ami
from tests.harness.processes.smollm2_vllm import converted_model, needs_vllm
from tests.unit.serve.insight.test_token_budget import make_prompt


@pytest.fixture(scope="module")
def tokens() -> Callable[[str], int]:
    """A function that counts tokens with SmolLM2's tokenizer."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(converted_model())
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False))


@needs_vllm
@needs_ami
@pytest.mark.parametrize("meeting", MEETING_NAMES)
@pytest.mark.parametrize("field", ["text", "ja"])
def test_estimate_is_never_too_low_for_a_real_meeting(meeting: str, field: str, tokens: Callable[[str], int]) -> None:
    """English, and Japanese, which SmolLM2's vocabulary covers so badly that it splits the characters."""
    said = json.loads((AMI_FOLDER / f"{meeting}.reference.json").read_text())["sentences"]
    lines = [f"{one['speaker']}: {one[field]}\n" for one in said if one[field]]
    for at in range(0, len(lines), 10):
        text = "".join(lines[at : at + 10])
        real, estimated = tokens(text), estimate_tokens(make_prompt(text))
        assert real <= estimated
    text = "".join(lines)
    assert tokens(text) <= estimate_tokens(make_prompt(text)) < 2 * tokens(text)
