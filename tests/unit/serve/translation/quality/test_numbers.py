"""Tests of the quality check of numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.translation.quality import numbers
from serve.translation.quality.numbers import missing_numbers


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
        ("2025.4.13万博で会います。", "See you at the Expo on April 13, 2025.", "en"),
        ("am 12.05.2024", "em 12 de maio de 2024", "pt"),
        ("on 2024-05-12", "em 12 de maio de 2024", "pt"),
        ("Um 10.20 Uhr.", "10時20分です。", "ja"),
        ("Um 15.30 Uhr.", "At 3:30 pm.", "en"),
        ("我们有42个客户。", "We have 42 customers.", "en"),
        ("3月15日に会います。", "We meet on March 15.", "en"),
        ("令和6年です。", "It is 2024.", "en"),
        ("ปี 2567", "In 2024.", "en"),
        ("このGPT4を使います。", "We use it.", "en"),
        ("At 3:30.", "三点半。", "zh"),
        ("At 3:30.", "3時半です。", "ja"),
        ("At 2:30.", "Um halb drei.", "de"),
        ("At 2:30.", "Às duas e meia.", "pt"),
        ("Um 2:30.", "At half past two.", "en"),
        ("At 2:15.", "Às duas e quinze.", "pt"),
        ("At 12:00.", "Ao meio-dia.", "pt"),
        ("It takes 1.5 hours.", "Leva uma hora e meia.", "pt"),
        ("It takes 1.5 hours.", "Es dauert anderthalb Stunden.", "de"),
        ("It takes 1.5 hours.", "1時間半かかります。", "ja"),
        ("35,000 people", "3만 5천명", "ko"),
        ("3만 5천명", "35,000 people", "en"),
        ("3만 5000명", "35,000 people", "en"),
        ("1만 2만", "ten or twenty thousand", "en"),
        ("In FY25.", "Em 2025.", "pt"),
        ("Back in '23.", "Em 2023.", "pt"),
        ("the 21st century", "le XXIe siècle", "fr"),
        ("the 5th century", "le Ve siècle", "fr"),
        ("It is 50/50.", "É meio a meio.", "pt"),
        ("100,000 rupees", "1 लाख रुपये", "hi"),
        ("第2千葉ビル", "the second Chiba building", "en"),
        ("1000 people", "mil pessoas", "pt"),
        ("5 billion", "5 bilhões", "pt"),
        ("5 billion", "5 mil milhões", "pt-PT"),
        ("5 billion", "5 mil millones", "es"),
        ("5 billion", "5 Milliarden", "de"),
        ("5 million", "5 miljoonaa", "fi"),
        ("5 miljoonaa", "5 million", "en"),
        ("5 mm", "5 millimètres", "fr"),
        ("5 m", "5 metros", "pt"),
        ("7 people", "sette persone", "it"),
        ("10 people", "dez pessoas", "pt"),
        ("50% of it", "その半分", "ja"),
        ("20世纪90年代", "in the 1990s", "en"),
        ("Wir sehen uns am 12.5. um 3.", "See you on May 12 at three.", "en"),
        ("$5M", "500万ドル", "ja"),
        ("午後3時半です。", "It is 3:30 pm.", "en"),
    ],
)
def test_number_in_another_notation_is_kept(said: str, answer: str, target: str) -> None:
    assert missing_numbers(said, answer, "en", target) == []


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
        ("我们有42个客户。", "We have customers.", "en", ["42"]),
        ("มี42คน", "There are people.", "en", ["42"]),
        ("42人です", "43 people", "en", ["42"]),
        ("We grew 3.5%.", "Crescemos 5,3%.", "pt", ["3.5"]),
        ("5 billion", "5 milhões", "pt", ["5"]),
        ("5 million", "5 mil", "pt", ["5"]),
        ("5 million", "5 Milliarden", "de", ["5"]),
        ("2 people", "para as pessoas", "pt", ["2"]),
        ("3 people", "as pessoas do trimestre", "pt", ["3"]),
        ("10 people", "as pessoas em dezembro", "pt", ["10"]),
        ("7 people", "le persone della settimana", "it", ["7"]),
    ],
)
def test_absent_number_is_missing(said: str, answer: str, target: str, missed: list[str]) -> None:
    assert missing_numbers(said, answer, "en", target) == missed


@pytest.mark.parametrize(
    ("said", "source", "answer", "target", "missed"),
    [
        ("5 billion", "en", "5 Milliarden", "de", []),
        ("5 billion", "en-GB", "5 Billionen", "de-CH", ["5"]),
        ("5 billion", "en", "5 billions", "fr", ["5"]),
        ("5 billion", "en", "5 biliões", "pt-PT", ["5"]),
        ("5 billion", "en", "5 bilhões", "pt-BR", []),
        ("5 billion", "en", "5 biljoen", "nl", ["5"]),
        ("5 billion", "en", "5 bilion", "ms", []),
        ("5 billion", "id", "5 Billionen", "de", []),
        ("5 billion", "en", "5 билионов", "ru", []),
        ("2 trillion", "en", "2 Billionen", "de", []),
        ("2 trillion", "en", "2 billones", "es", []),
        ("2 trillion", "en", "2 Trillionen", "de", ["2"]),
        ("2 trillion", "en", "2 biljoonaa", "fi", []),
        ("5 Billionen Euro", "de", "5 billion euros", "en", ["5"]),
        ("5 Billionen Euro", "de", "5 trillion euros", "en", []),
        ("5 Milliarden Euro", "de", "5 billion euros", "en", []),
        ("5 biljoner", "sv", "5 trillion", "en", []),
        ("5 billions", "fr", "5 Billionen", "de", []),
    ],
)
def test_billion_depends_on_the_scale_of_the_language(
    said: str, source: str, answer: str, target: str, missed: list[str]
) -> None:
    assert missing_numbers(said, answer, source, target) == missed


def test_number_words_have_the_right_order() -> None:
    assert {len(words) for words in numbers._NUMBER_WORDS.values()} == {numbers._MAX_WRITTEN_OUT - 1}


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece", ["1", "a.", "a-", "1,", "１万", "@a.", "1万 ", "1만 ", "1 ", "1:30 ", "111 ", "十", "2 two "]
)
def test_long_text_finishes_in_time(piece: str) -> None:
    text = piece * (20_000 // len(piece))
    missing_numbers(text, text, "en", "pt")
    missing_numbers(text, "nada", "en", "pt")


@given(st.text(), st.text(), st.sampled_from(["pt", "ja", "ar", "fi"]))
def test_any_text_is_accepted(said: str, answer: str, target: str) -> None:
    missing_numbers(said, answer, "en", target)


def test_words_with_a_sharp_s_count() -> None:
    assert missing_numbers("We meet at 2:30.", "Wir treffen uns um zwei Uhr dreißig.", "en", "de") == []
    assert missing_numbers("We have 3 offers.", "Wir haben dreißig Angebote.", "en", "de") == ["3"]
    assert missing_numbers("We have 3 offers.", "Wir haben drei Angebote.", "en", "de") == []


@given(
    st.text(alphabet="0123456789.,:/h '’-x%万億千十만천 年月半kFY", max_size=90),
    st.text(alphabet="0123456789.,万만 ", max_size=90),
)
def test_any_digits_are_accepted(said: str, answer: str) -> None:
    missing_numbers(said, answer, "en", "pt")


def group_digits(number: int, separator: str) -> str:
    return f"{number:,}".replace(",", separator)


@given(
    st.lists(st.integers(13, 10**9), min_size=1, max_size=4),
    st.sampled_from(["", ",", ".", "\u00a0", "\u202f", "'"]),
    st.sampled_from(["", ",", ".", "\u00a0", "\u202f", "'"]),
)
def test_integers_are_found_with_any_grouping(said: list[int], here: str, there: str) -> None:
    text = " and then ".join(group_digits(number, here) for number in said)
    answer = " e depois ".join(group_digits(number, there) for number in said)
    assert missing_numbers(text, answer, "en", "pt") == []


@given(st.integers(13, 10**9), st.integers(13, 10**9))
def test_different_number_is_missing(said: int, other: int) -> None:
    assert missing_numbers(f"It is {said}.", f"É {other}.", "en", "pt") == ([] if said == other else [str(said)])


@given(st.text(max_size=60), st.sampled_from(["pt", "ja", "ar"]))
def test_identical_text_misses_no_number(text: str, target: str) -> None:
    assert missing_numbers(text, text, target, target) == []


@given(st.text(alphabet="0123456789.,:h '’x%/一十万億〇mkp-", max_size=30), st.text(max_size=30))
def test_missing_numbers_are_in_the_source_text(said: str, answer: str) -> None:
    assert all(number in said for number in missing_numbers(said, answer, "en", "pt"))
    assert missing_numbers(said, said, "pt", "pt") == []
