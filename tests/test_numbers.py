"""serve/numbers.py"""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve import numbers
from serve.numbers import missing_numbers


def test_examples() -> None:
    failed, tried = doctest.testmod(numbers)
    assert (failed, tried) == (0, 1)


@pytest.mark.parametrize(
    ("said", "answer", "target"),
    [
        ("It is 1,234.5 in all.", "São 1.234,5 ao todo.", "pt"),
        ("It is 1,234.5 in all.", "Cela fait 1\u202f234,5 en tout.", "fr"),
        ("It is 1,234.5 in all.", "Das macht 1'234.5.", "de"),
        ("We lost 50% of 1,000,000.", "Perdemos 50 % de 1 milhão.", "pt"),
        ("1,00,000 rupees", "100.000 Rupien", "de"),
        ("At 10:30.", "Às 10h30.", "pt"),
        ("At 10:30.", "Um 10.30 Uhr.", "de"),
        ("At 10:00.", "Às 10h.", "pt"),
        ("At 3:30 pm.", "Às 15h30.", "pt"),
        ("At 3 p.m.", "Um 15 Uhr.", "de"),
        ("Às 15h30.", "At 3:30 pm.", "en"),
        ("At 15:30.", "午後3時30分です。", "ja"),
        ("5k users", "5 mil usuários", "pt"),
        ("1.5 million euros", "1.500.000 euros", "pt"),
        ("1.5 million people", "150万人", "ja"),
        ("150 million people", "1億5000万人", "ja"),
        ("1万5000円です。", "It is 15,000 yen.", "en"),
        ("$3 billion", "30億ドル", "ja"),
        ("42 people", "四十二个人", "zh"),
        ("350 people", "三百五十人", "ja"),
        ("In 2024.", "二〇二四年。", "zh"),
        ("٤٢ شخصا", "42 people", "en"),
        ("４２人です", "42 people", "en"),
        ("42 people", "४२ लोग", "hi"),
        ("Version 2.1.3 is out.", "A versão 2.1.3 saiu.", "pt"),
        ("the 21st century", "o século XXI", "pt"),
        ("3 weeks", "três semanas", "pt"),
        ("2 of us", "die beiden", "de"),
        ("the 2nd one", "a segunda", "pt"),
        ("12 eggs", "une douzaine d'œufs", "fr"),
        ("3 weeks", "três semanas", "fi"),
        ("1 dog", "um cachorro", "pt"),
        ("Q3 was good.", "O terceiro trimestre foi bom.", "pt"),
        ("in the 90s", "nos anos noventa", "pt"),
        ("on 12/05/2024", "em 12 de maio de 2024", "pt"),
        ("GPT4 and F-16", "nada", "pt"),
        ("Room 12 150 people", "Sala 12, 150 pessoas", "pt"),
        ("No numbers here.", "Não há 5 números aqui.", "pt"),
    ],
)
def test_a_number_is_kept_however_it_is_written(said: str, answer: str, target: str) -> None:
    assert missing_numbers(said, answer, target) == []


@pytest.mark.parametrize(
    ("said", "answer", "target", "missed"),
    [
        ("We have 42 points.", "Temos pontos.", "pt", ["42"]),
        ("We have 42 points.", "Temos 43 pontos.", "pt", ["42"]),
        ("It costs 1.5 million.", "Custa 15 milhões.", "pt", ["1.5"]),
        ("It costs 5.", "Custa 1,5.", "pt", ["5"]),
        ("It costs 1,234.5.", "Custa 12.345.", "pt", ["1,234.5"]),
        ("At 10:30.", "Às 10h.", "pt", ["10:30"]),
        ("At 10:30.", "Às 11h30.", "pt", ["10:30"]),
        ("At 3 pm.", "Às 16h.", "pt", ["3"]),
        ("3 weeks", "quatro semanas", "pt", ["3"]),
        ("3 weeks", "4 semanas", "pt", ["3"]),
        ("13 weeks", "semanas", "fi", ["13"]),
        ("In 2024 and 2025.", "Em 2024 e 2026.", "pt", ["2025"]),
        ("42 and 42", "nada", "pt", ["42"]),
        ("150 million people", "1億6000万人", "ja", ["150"]),
        ("42 people", "四十三个人", "zh", ["42"]),
        ("Version 2.1.3 is out.", "A versão 2.1 saiu.", "pt", ["2.1.3"]),
        ("the 21st century", "o século XX", "pt", ["21"]),
    ],
)
def test_a_number_that_is_not_there_is_missing(said: str, answer: str, target: str, missed: list[str]) -> None:
    assert missing_numbers(said, answer, target) == missed


def test_the_words_for_small_numbers_are_in_order() -> None:
    assert {len(words) for words in numbers._WORDS.values()} == {numbers._SMALL - 1}


def grouped(number: int, separator: str) -> str:
    return f"{number:,}".replace(",", separator)


@given(
    st.lists(st.integers(13, 10**9), min_size=1, max_size=4),
    st.sampled_from(["", ",", ".", "\u00a0", "\u202f", "'"]),
    st.sampled_from(["", ",", ".", "\u00a0", "\u202f", "'"]),
)
def test_whole_numbers_are_found_whatever_groups_them(said: list[int], here: str, there: str) -> None:
    text = " and then ".join(grouped(number, here) for number in said)
    answer = " e depois ".join(grouped(number, there) for number in said)
    assert missing_numbers(text, answer, "pt") == []


@given(st.integers(13, 10**9), st.integers(13, 10**9))
def test_another_number_is_not_the_one_that_was_said(said: int, other: int) -> None:
    assert missing_numbers(f"It is {said}.", f"É {other}.", "pt") == ([] if said == other else [str(said)])


@given(st.text(max_size=60), st.sampled_from(["pt", "ja", "ar"]))
def test_what_says_the_same_misses_nothing(text: str, target: str) -> None:
    assert missing_numbers(text, text, target) == []


@given(st.text(alphabet="0123456789.,:h '’x%/一十万億〇mkp-", max_size=30), st.text(max_size=30))
def test_whatever_is_missing_was_said(said: str, answer: str) -> None:
    assert all(number in said for number in missing_numbers(said, answer, "pt"))
    assert missing_numbers(said, said, "pt") == []
