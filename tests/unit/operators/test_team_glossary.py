"""Tests operators/team_glossary.py."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from operators.meeting_config import MAX_GLOSSARY_CHARS, MAX_GLOSSARY_TERMS, MeetingConfig, Term
from operators.team_glossary import GlossaryTerm, look_up, select_terms


def term(name: str, priority: int = 0, **fields: object) -> GlossaryTerm:
    return GlossaryTerm(term=name, translations={"pt": f"{name} pt"}, priority=priority, **fields)  # type: ignore[arg-type]


def names(terms: tuple[Term, ...]) -> list[str]:
    return [each.term for each in terms]


def test_the_meetings_own_terms_and_earlier_glossaries_come_first() -> None:
    own = (Term(term="Road  Map"),)
    first, second = [term("road map"), term("budget", notes="of the first")], [term("Budget"), term("plan")]
    selected = select_terms(own, [first, second])
    assert names(selected) == ["budget", "plan"]
    assert type(selected[0]) is Term
    MeetingConfig(glossary=own, shared_glossary=selected)


def test_the_highest_priorities_are_kept() -> None:
    many = [term(f"term {n}", priority=n % 1000) for n in range(MAX_GLOSSARY_TERMS + 10)]
    selected = select_terms((), [many])
    assert len(selected) == MAX_GLOSSARY_TERMS
    assert names(selected)[0] == f"term {MAX_GLOSSARY_TERMS + 9}"
    assert "term 0" not in names(selected)


@given(st.lists(st.integers(1, 200), max_size=600))
def test_any_selection_fits_a_config(lengths: list[int]) -> None:
    terms = [term(f"{n} {'x' * length}"[:190]) for n, length in enumerate(lengths)]
    selected = select_terms((), [terms])
    MeetingConfig(shared_glossary=selected)
    assert sum(len(each.term) for each in selected) <= MAX_GLOSSARY_CHARS


def test_terms_of_a_text_are_looked_up() -> None:
    terms = (
        Term(term="road", translations={"pt": "rua"}),
        Term(term="road map", translations={"pt": "roteiro"}),
        Term(term="IT", case_sensitive=True, do_not_translate=True),
        Term(term="art", translations={"pt": "arte"}, whole_word=False),
        Term(term="plan", translations={"de": "Plan"}),
    )
    found = look_up(terms, "An artist of IT has a road map and a plan.", "pt")
    assert names(found) == ["art", "IT", "road map"]
    assert names(look_up(terms, "it is on the road", "pt")) == ["road"]
    assert look_up((), "road", "pt") == ()
