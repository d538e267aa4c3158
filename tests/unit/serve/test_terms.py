"""serve/terms.py"""

from __future__ import annotations

import doctest

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from serve import terms
from serve.terms import has_term


def test_examples() -> None:
    failed, tried = doctest.testmod(terms)
    assert (failed, tried) == (0, 2)


@pytest.mark.parametrize(
    ("text", "term", "language"),
    [
        ("O orçamento está pronto.", "orçamento", "pt"),
        ("ORCAMENTO PRONTO", "orçamento", "pt-BR"),
        ("As reuniões foram longas.", "reunião", "pt"),
        ("As ordens de compra chegaram.", "ordem de compra", "pt"),
        ("O designer-chefe quer isso.", "designer chefe", "pt"),
        ("Voilà l'ordre du jour.", "ordre du jour", "fr"),
        ("Die Seite des Haushalts fehlt.", "Haushalt", "de"),
        ("Der Haushaltsplan fehlt.", "Haushalt", "de"),
        ("Das Projektbudget fehlt.", "Budget", "de"),
        ("Die Betriebsräte stimmten zu.", "Betriebsrat", "de-AT"),
        ("예산을 보냈습니다.", "예산", "ko"),
        ("أرسلنا الميزانية", "ميزانية", "ar"),
        ("取引先に予算案を送ります。", "予算案", "ja"),
        ("ＫＰＩを見ます。", "KPI", "ja"),
        ("机器学习模型", "机器 学习", "zh"),
        ("बजट भेजना है", "बजट", "hi"),
        ("Мы говорили о цели.", "цель", "ru"),
        ("Мы говорили о целях.", "цель", "ru"),
        ("Нет плана.", "план", "ru"),
        ("Nie ma planu.", "plan", "pl"),
        ("Mluvili jsme s týmem.", "tým", "cs"),
        ("أرسلنا العقود وميزانيتنا", "ميزانية", "ar"),
        ("أرسلنا للميزانية", "الميزانية", "ar"),
        ("قرأنا خطتنا", "خطة", "ar"),
        ("As redes caíram.", "rede", "pt"),
        ("The interns left.", "intern", "en"),
        ("Die internen Daten fehlen.", "intern", "de"),
        ("Der Betriebsrat stimmte zu.", "Rat", "de"),
        ("Prosjektbudsjettet mangler.", "budsjett", "nb"),
        ("Prosjektbudsjettet manglar.", "budsjett", "nn"),
        ("We use C++ here.", "C++", "en"),
        ("This is ~ now.", "~", "en"),
    ],
)
def test_a_term_is_there_in_the_forms_of_its_language(text: str, term: str, language: str) -> None:
    assert has_term(text, term, language)


@pytest.mark.parametrize(
    ("text", "term", "language"),
    [
        ("A verba está pronta.", "orçamento", "pt"),
        ("O orsamento está pronto.", "orçamento", "pt"),
        ("A compra da ordem chegou.", "ordem de compra", "pt"),
        ("O plantio começou.", "plan", "pt"),
        ("Os planos mudaram.", "plan", "pt"),
        ("A TIA chegou.", "TI", "pt"),
        ("We use C# here.", "C++", "en"),
        ("I met C. there.", "C++", "de"),
        ("Das Budget fehlt.", "Haushalt", "de"),
        ("Die Beratung beginnt.", "Rat", "de"),
        ("Das Internet ist aus.", "intern", "de"),
        ("The internet is down.", "intern", "en"),
        ("Het internet is weg.", "intern", "nl"),
        ("Растение растёт.", "план", "ru"),
        ("予算を送ります。", "予算案", "ja"),
        ("かき", "がき", "ja"),
        ("", "orçamento", "pt"),
    ],
)
def test_another_word_is_not_the_term(text: str, term: str, language: str) -> None:
    assert not has_term(text, term, language)


languages = st.sampled_from(["en", "pt-BR", "de", "ja", "zh-Hant", "ko", "ru", "ar"])


@given(st.text(max_size=30), st.text(min_size=1, max_size=15), st.text(max_size=30), languages)
def test_a_term_that_stands_by_itself_is_found(before: str, term: str, after: str, language: str) -> None:
    assume(term.strip())
    assert has_term(f"{before} {term} {after}", term, language)


@given(st.text(alphabet="abc äé", min_size=1, max_size=20), st.text(alphabet="xyz ", max_size=40), languages)
def test_a_term_is_not_found_in_other_letters(term: str, text: str, language: str) -> None:
    assume(term.strip())
    assert not has_term(text, term, language)
