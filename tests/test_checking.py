"""serve/checking.py"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from operators.translation import Quoted, Wanted
from serve.checking import doubts
from serve.engines.engine import Utterance

SAID = Utterance(
    "Ask Rosa for the budget of 42 euros, the GPT4 plan and the page at https://example.org/2024.",
    "en",
    "pt",
    (Quoted("1.0", "Rosa", "Hello."),),
    terms=(Wanted("budget", "orçamento"),),
)


def told(utterance: Utterance, text: str) -> list[str]:
    return [str(doubt) for doubt in doubts(utterance, text)]


def test_what_was_kept_leaves_no_doubt() -> None:
    text = "Pergunte à Rosa pelo orçamento de 42 euros, o plano GPT-4 e a página https://example.org/2024."
    assert told(SAID, text) == []


def test_what_was_not_is_told_in_words_that_stay_the_same() -> None:
    assert told(SAID, "Pergunte.") == [
        "term: budget → orçamento",
        "number: 42",
        "name: https://example.org/2024",
        "name: GPT4",
        "name: Rosa",
    ]


def test_what_a_term_is_made_of_is_the_term_s() -> None:
    terms = (Wanted("iPhone 15", "telefone"), Wanted("Rosa", "Rose"))
    assert (
        told(Utterance("I gave Rosa my iPhone 15.", "en", "pt", SAID.context, terms=terms), "Dei a Rose o telefone.")
        == []
    )
    kept = Utterance("We use K8S.", "en", "pt", terms=(Wanted("K8s", "K8s"),))
    assert told(kept, "Usamos isso.") == ["term: K8s → K8s"]


def test_terms_that_are_not_said_here_are_not_asked_for() -> None:
    assert told(Utterance("We are done.", "en", "pt", glossary=SAID.terms), "Terminamos.") == []


@given(st.text(max_size=80), st.lists(st.text(min_size=1, max_size=10), max_size=3))
def test_a_text_that_says_the_same_is_not_doubted(text: str, speakers: list[str]) -> None:
    context = tuple(Quoted("1.0", speaker, "x") for speaker in speakers)
    assert told(Utterance(text, "en", "pt", context), text) == []
