"""Tests of metric tag values."""

from __future__ import annotations

from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from serve.metric_tags import metric_tag


@given(st.text(max_size=60))
def test_a_tag_is_printable_ascii(text: str) -> None:
    assert metric_tag(text).isascii()
    assert metric_tag(text).isprintable()


@given(st.text(alphabet=st.characters(exclude_characters="%", exclude_categories=["Cs"]), max_size=60))
def test_different_names_have_different_tags(text: str) -> None:
    assert unquote(metric_tag(text)) == text
