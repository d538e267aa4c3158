"""Tests serve/engines/firefox/phrasebook.py."""

from __future__ import annotations

import pytest

from serve.engines.firefox import phrasebook


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("Mm-hmm.", "Aham."),
        ("Mm-hmm, mm-hmm.", "Aham, aham."),
        ("Um.", "Ahn."),
        ("Hmm…", "Hum…"),
        ("Huh?", "Hã?"),
        ("Uh-huh", "Aham"),
        ("Um, mm.", "Ahn, hum."),
    ],
)
def test_fillers_are_spelled_as_in_portuguese(said: str, written: str) -> None:
    assert phrasebook.translate_fillers(said, "en", "pt") == written


@pytest.mark.parametrize("said", ["Paul.", "Um, Paul.", "Mm 12", "", "Umbrella."])
def test_words_are_not_fillers(said: str) -> None:
    assert phrasebook.translate_fillers(said, "en", "pt") in (None, "Hum 12")


def test_portuguese_fillers_are_translated_into_english() -> None:
    assert phrasebook.translate_fillers("Uhum, hã?", "pt", "en") == "Mm-hmm, huh?"


def test_languages_without_a_table_are_unchanged() -> None:
    assert phrasebook.translate_fillers("Mm-hmm.", "en", "de") is None
    assert phrasebook.encode_fillers("Um, I see.", "en", "de") == "Um, I see."
    assert phrasebook.decode_fillers("Um, ich", "Um, I", "en", "de") == "Um, ich"
    assert phrasebook.translate_phrase("Thanks.", "en", "de") is None


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("Thank you!", "Obrigado!"),
        ("thanks", "obrigado"),
        ("'Kay.", "Ok."),
        ("You’re welcome.", "De nada."),
        ("Bye bye…", "Tchau, tchau…"),
        ("Thank you, Paul.", None),
    ],
)
def test_formulas_keep_case_and_end_marks(said: str, written: str | None) -> None:
    assert phrasebook.translate_phrase(said, "en", "pt") == written


def test_a_portuguese_article_is_not_taken_for_a_filler() -> None:
    assert (
        phrasebook.decode_fillers("Eu tenho um, ahn, carro.", "I have a, ahn, car.", "en", "pt")
        == "Eu tenho um, ahn, carro."
    )


def test_hallucinated_thanks_are_detected_only_if_nothing_is_sent() -> None:
    answer = "Obrigado por enviar uma edição."
    assert phrasebook.is_hallucinated_thanks(answer, "Thank you all for coming!")
    assert not phrasebook.is_hallucinated_thanks(answer, "Thank you for sending an edition.")
