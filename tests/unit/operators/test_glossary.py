from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.glossary import MAX_PROMPT_TERMS, match_terms, prompt_terms
from operators.meeting_config import MeetingConfig, Term
from operators.term_matching import contains_term
from operators.translation_requests import GlossaryEntry

GLOSSARY = (
    Term(term="road map", translations={"pt": "roteiro", "pt-PT": "guião"}),
    Term(term="map", translations={"pt": "mapa"}),
    Term(term="IT", translations={"pt": "TI"}, case_sensitive=True),
    Term(term="Parley", do_not_translate=True),
    Term(term="straße", translations={"pt": "rua"}),
    Term(term="机器学习", translations={"en": "machine learning", "pt": "aprendizagem automática"}),
)


def matched_terms(text: str, language: str = "pt") -> list[str]:
    return [wanted.source for wanted in match_terms(GLOSSARY, text, language)]


def test_prompt_terms_are_sorted_in_the_language_or_its_base() -> None:
    assert prompt_terms(GLOSSARY, "pt-BR") == (
        GlossaryEntry("IT", "TI"),
        GlossaryEntry("Parley", "Parley"),
        GlossaryEntry("map", "mapa"),
        GlossaryEntry("road map", "roteiro"),
        GlossaryEntry("straße", "rua"),
        GlossaryEntry("机器学习", "aprendizagem automática"),
    )
    assert GlossaryEntry("road map", "guião") in prompt_terms(GLOSSARY, "pt-PT")


def test_a_term_without_a_translation_is_kept_or_left_to_the_model() -> None:
    assert prompt_terms(GLOSSARY, "ja") == (GlossaryEntry("Parley", "Parley"),)
    assert matched_terms("Parley has a road map", "ja") == ["Parley"]
    assert prompt_terms((), "ja") == match_terms((), "Parley", "ja") == ()


def test_too_many_terms_are_matched_but_not_in_prompts() -> None:
    many = tuple(Term(term=f"term {number}", do_not_translate=True) for number in range(MAX_PROMPT_TERMS + 1))
    assert len(prompt_terms(many[1:], "pt")) == MAX_PROMPT_TERMS
    assert prompt_terms(many, "pt") == ()
    assert match_terms(many, "Now term 7 and term 70.", "pt") == (
        GlossaryEntry("term 7", "term 7"),
        GlossaryEntry("term 70", "term 70"),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("The ROAD  MAP, the map", ["road map", "map"]),
        ("A roadmap, some maps", []),
        ("ask IT about it", ["IT"]),
        ("is it parley's?", ["Parley"]),
        ("ßß in der STRASSE 5", ["straße"]),
        ("我们做机器学习。", ["机器学习"]),
        ("map map map", ["map"]),
        ("", []),
    ],
)
def test_terms_are_found_as_whole_words(text: str, said: list[str]) -> None:
    assert matched_terms(text) == said


def test_longest_of_overlapping_terms_wins() -> None:
    terms = tuple(Term(term=one, do_not_translate=True) for one in ("new york", "york city council", "city", "council"))
    assert [one.source for one in match_terms(terms, "new york city council", "pt")] == ["york city council"]
    cased = (
        Term(term="us", translations={"pt": "nos"}),
        Term(term="US", translations={"pt": "EUA"}, case_sensitive=True),
    )
    assert [one.target for one in match_terms(cased, "the US joined us", "pt")] == ["EUA", "nos"]


@settings(deadline=None)
@given(st.permutations(GLOSSARY), st.sampled_from(["pt", "pt-BR", "en", "ja"]))
def test_glossary_order_does_not_matter(glossary: list[Term], language: str) -> None:
    assert prompt_terms(tuple(glossary), language) == prompt_terms(GLOSSARY, language)
    text = "IT at Parley has a road map for 机器学习"
    assert match_terms(tuple(glossary), text, language) == match_terms(GLOSSARY, text, language)


WORDS = st.text("aAbß 字e\u0301", min_size=1, max_size=4).filter(str.strip)


@settings(deadline=None)
@given(st.lists(WORDS, max_size=5), st.text("aAbßS 字e\u0301,", max_size=20), st.booleans())
def test_matches_agree_with_contains_term(terms: list[str], text: str, case: bool) -> None:
    unique = {
        term.dedupe_key(): term
        for term in (Term(term=one, do_not_translate=True, case_sensitive=case) for one in terms)
    }
    glossary = MeetingConfig(glossary=tuple(unique.values())).glossary
    said = {one.source for one in match_terms(glossary, text, "pt")}
    held = {term.term for term in glossary if contains_term(text, term.term, case_sensitive=case)}
    assert said <= held
    assert bool(said) == bool(held)
