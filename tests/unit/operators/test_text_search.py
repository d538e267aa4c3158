"""Tests operators/text_search.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.errors import InvalidInputError
from operators.text_search import MAX_TERMS, parse_terms, split_at_matches


@pytest.mark.parametrize(
    ("query", "terms"),
    [
        ("budget", ("budget",)),
        ("  the budget  the ", ("the", "budget")),
        ('"second  quarter" euros', ("second quarter", "euros")),
        ("“second quarter”", ("second quarter",)),
        ('an open "quote', ("an", "open", '"quote')),
        ("50% a_b \\", ("50%", "a_b", "\\")),
        ("会议", ("会议",)),
        ("Cafe\u0301", ("Caf\u00e9",)),
    ],
)
def test_terms_are_words_and_phrases(query: str, terms: tuple[str, ...]) -> None:
    assert parse_terms(query) == terms


@pytest.mark.parametrize("query", ["", "   ", '""', '" "', " ".join(map(str, range(MAX_TERMS + 1)))])
def test_a_search_without_terms_or_with_too_many_is_refused(query: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_terms(query)
    assert caught.value.field == "q"


def test_matches_are_marked_in_any_case() -> None:
    parts = split_at_matches("The BUDGET of the budgets.", ["budget", "the"])
    assert [part.text for part in parts if part.is_match] == ["The", "BUDGET", "the", "budget"]
    assert [part.text for part in parts if not part.is_match] == [" ", " of ", " ", "s."]


def test_the_longest_term_is_marked() -> None:
    assert [part.text for part in split_at_matches("a budget", ["bud", "budget"])] == ["a ", "budget"]


@given(st.text(max_size=40), st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=4))
def test_the_parts_joined_are_the_text(text: str, terms: list[str]) -> None:
    parts = split_at_matches(text, terms)
    assert "".join(part.text for part in parts) == text
    assert all(part.text for part in parts)


@given(st.text(max_size=60))
def test_any_query_is_parsed_or_refused(query: str) -> None:
    try:
        terms = parse_terms(query)
    except InvalidInputError:
        return
    assert terms
    assert all(term == term.strip() != "" for term in terms)
