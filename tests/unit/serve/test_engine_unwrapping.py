"""serve/engines/unwrapping.py"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.translation import Quoted
from serve.engines.engine import Utterance
from serve.engines.unwrapping import unwrapped

SAID = Utterance(
    "We have to send the budget.",
    "en",
    "pt",
    (Quoted("1.0", "Ann Lee", "Hello."),),
)
RIGHT = "Temos que enviar o orçamento."


@pytest.mark.parametrize(
    "answer",
    [
        RIGHT,
        f"  {RIGHT}\n",
        f'"{RIGHT}"',
        f"“{RIGHT}”",
        f"Translation: {RIGHT}",
        f"Translate:\n> {RIGHT}",
        f"„{RIGHT}”",
        f"„{RIGHT}“",
        f"Tradução: {RIGHT}",
        f"翻訳：{RIGHT}",
        f"Sure! Here is the translation: {RIGHT}",
        f"Here's the translation into Portuguese: {RIGHT}",
        f"{RIGHT} (Note: I kept it formal.)",
        f"{RIGHT} (Nota: formal.)",
        f'Sure! Here is the translation: "{RIGHT}" [Note: formal]',
        f"> {RIGHT}",
        f"= {RIGHT}",
        f">{RIGHT}",
        f"Ann Lee: {RIGHT}",
        f"> ann lee: “{RIGHT}”",
    ],
)
def test_what_the_model_put_around_a_translation_goes(answer: str) -> None:
    assert unwrapped(answer, SAID) == RIGHT


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
def test_what_was_said_stays(said: str, answer: str) -> None:
    assert unwrapped(answer, Utterance(said, "en", "pt", SAID.context)) == answer


def test_each_line_of_several_loses_its_mark() -> None:
    assert unwrapped("> Um.\n> Dois.", Utterance("One.\nTwo.", "en", "pt")) == "Um.\nDois."


@settings(deadline=None)
@given(st.text(alphabet=st.characters(categories=["L", "N"]), min_size=1, max_size=40), st.text(max_size=40))
def test_plain_words_are_left_as_they_are(answer: str, said: str) -> None:
    assert unwrapped(f" {answer} ", Utterance(said, "en", "pt", SAID.context)) == answer
