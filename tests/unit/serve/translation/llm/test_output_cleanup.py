"""Tests of the extraction of a translation from an answer."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.translation_requests import ContextSentence
from serve.engines.protocol import Utterance
from serve.translation.llm.output_cleanup import extract_translation

QUESTION = Utterance(
    "We have to send the budget.",
    "en",
    "pt",
    (ContextSentence("1.0", "Ann Lee", "Hello."),),
)
GOOD_TRANSLATION = "Temos que enviar o orçamento."


@pytest.mark.parametrize(
    "answer",
    [
        GOOD_TRANSLATION,
        f"  {GOOD_TRANSLATION}\n",
        f'"{GOOD_TRANSLATION}"',
        f"“{GOOD_TRANSLATION}”",
        f"Translation: {GOOD_TRANSLATION}",
        f"Translate:\n> {GOOD_TRANSLATION}",
        f"„{GOOD_TRANSLATION}”",
        f"„{GOOD_TRANSLATION}“",
        f"Tradução: {GOOD_TRANSLATION}",
        f"翻訳：{GOOD_TRANSLATION}",
        f"Sure! Here is the translation: {GOOD_TRANSLATION}",
        f"Here's the translation into Portuguese: {GOOD_TRANSLATION}",
        f"{GOOD_TRANSLATION} (Note: I kept it formal.)",
        f"{GOOD_TRANSLATION} (Nota: formal.)",
        f'Sure! Here is the translation: "{GOOD_TRANSLATION}" [Note: formal]',
        f"> {GOOD_TRANSLATION}",
        f"= {GOOD_TRANSLATION}",
        f">{GOOD_TRANSLATION}",
        f"Ann Lee: {GOOD_TRANSLATION}",
        f"> ann lee: “{GOOD_TRANSLATION}”",
    ],
)
def test_wrapper_around_a_translation_is_removed(answer: str) -> None:
    assert extract_translation(answer, QUESTION) == GOOD_TRANSLATION


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("> is greater.", "> é maior."),
        ("Translation: the first step.", "Translation: o primeiro passo."),
        ('"Go" he said.', '"Vai" ele disse.'),
        ("Ann Lee: she is here.", "Ann Lee: ela está aqui."),
        ("Tradução: pronta até sexta.", "Translation: ready by Friday."),
        ("译文：明天完成。", "Translation: ready tomorrow."),
        ("The plan (note: it is new) is good.", "O plano é bom (nota: é novo)"),
        ("The plan is good (I think).", "O plano é bom (acho)."),
        ("One more thing.", "Mais uma coisa: é isto."),
    ],
)
def test_marks_of_the_source_text_stay(said: str, answer: str) -> None:
    assert extract_translation(answer, Utterance(said, "en", "pt", QUESTION.context)) == answer


@pytest.mark.parametrize("answer", ["São 100 m²", "Cabe em 3 cm³", "A página tem a nota 0²"])
def test_a_raised_digit_of_a_word_stays(answer: str) -> None:
    assert extract_translation(answer, Utterance("It is a hundred square metres", "en", "pt")) == answer


@pytest.mark.parametrize("answer", ["São 100 metros.¹", "São 100 metros. ²"])
def test_a_raised_number_of_a_footnote_is_removed(answer: str) -> None:
    assert extract_translation(answer, Utterance("It is 100 metres.", "en", "pt")) == "São 100 metros."


def test_marks_of_all_quoted_lines_are_removed() -> None:
    assert extract_translation("> Um.\n> Dois.", Utterance("One.\nTwo.", "en", "pt")) == "Um.\nDois."


@settings(deadline=None)
@given(st.text(alphabet=st.characters(categories=["L", "N"]), min_size=1, max_size=40), st.text(max_size=40))
def test_plain_text_stays(answer: str, said: str) -> None:
    assert extract_translation(f" {answer} ", Utterance(said, "en", "pt", QUESTION.context)) == answer
