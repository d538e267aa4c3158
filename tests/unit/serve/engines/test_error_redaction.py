"""Tests serve/engines/error_redaction.py: server messages are kept, and transcript text is not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.engines.error_redaction import extract_message, redact_message
from serve.engines.protocol import Message, Prompt

SOURCE = "Anna Kowalska earns 93000 euros and the input was too long, as das Gehalt 小林さんの給料は高い."
QUESTION = Prompt((Message("system", "Translate."), Message("user", f"Translate:\n> {SOURCE}")), 50)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            {"code": "data_inspection_failed", "message": "Input data may contain inappropriate content."},
            "data_inspection_failed Input data may contain inappropriate content.",
        ),
        ({"error": {"message": "Unsupported parameter: 'max_tokens'", "param": "max_tokens"}}, "'max_tokens'"),
        ({"detail": [{"loc": ["body", "top_k"], "msg": "Extra inputs are not permitted"}]}, "body top_k"),
        ({"message": "Bad: Anna Kowalska earns 93000", "code": 400}, "400 Bad: …"),
        ("Your prompt 'Anna' has Kowalska's Gehalt", "Your prompt '…"),
        ("输入：小林さんの給料は高い", "输入：…"),
        ("Incorrect API key provided: sk-proj-abc123****", "Incorrect API key provided: …"),
        ("<html><body>Anna</body></html>", ""),
        (None, ""),
    ],
)
def test_the_message_is_extracted_from_the_error(error: object, words: str) -> None:
    assert words in redact_message(extract_message(error), QUESTION)


def test_the_message_is_short() -> None:
    assert len(redact_message("x " * 10_000, QUESTION)) <= 160


@given(st.lists(st.sampled_from([*SOURCE.split(), "refused", "“", "'", "\n", "-", "400"]), max_size=30))
def test_no_word_of_the_prompt_remains_but_generic_ones(parts: list[str]) -> None:
    told = redact_message(" ".join(parts), QUESTION)
    assert not re.search(r"anna|kowalska|earns|93000|euros|gehalt|小林|給料", told, re.IGNORECASE)
