"""Tests of the word lists in data files."""

from __future__ import annotations

import doctest
import re
import tomllib
from pathlib import Path

import pytest

from operators import word_lists
from operators.word_lists import all_words, any_of, phrase_pattern, word_pattern

ROOT = Path(__file__).parents[3]
FOLDERS = sorted(folder for room in ("operators", "serve") for folder in (ROOT / room).rglob("data") if folder.is_dir())


def test_docstring_examples() -> None:
    failed, tried = doctest.testmod(word_lists)
    assert (failed, tried) == (0, 5)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_a_data_file_is_part_of_the_package(folder: Path) -> None:
    package_data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    assert package_data[".".join(folder.relative_to(ROOT).parent.parts)] == [
        f"data/*{suffix}" for suffix in sorted({path.suffix for path in folder.iterdir()})
    ]


def test_an_exception_limits_the_words_of_its_list() -> None:
    pattern = re.compile(word_pattern(["zwei*", "zwo", "!zweifel*"]))
    assert [word for word in ("zweite", "zwo", "zwote", "zweifelhaft", "entzwei") if pattern.search(word)] == [
        "zweite",
        "zwo",
    ]


def test_a_word_may_begin_anywhere() -> None:
    assert re.search(word_pattern(["*نصف*"]), "ونصفها")
    assert re.search(word_pattern(["mil"], start=""), "5mil")


def test_a_dot_of_a_word_is_no_pattern() -> None:
    assert not re.search(any_of(["n.b."]), "nob.")


def test_all_words_are_listed_once() -> None:
    assert all_words({"pt": ["a", "o"], "es": ["a", "la"]}) == ["a", "o", "la"]


def test_a_phrase_has_one_word_of_each_slot() -> None:
    pattern = re.compile(phrase_pattern([["ich kann", "kann ich"], {"words": ["das", "dir"], "max_count": 2}, "nicht"]))
    assert pattern.search("Das kann ich dir das nicht sagen.".casefold())
    assert pattern.search("ich kann das nicht")
    assert not pattern.search("ich kann nicht")
    assert not pattern.search("ich kann das dir das nicht")
    assert not pattern.search("ich kann das nichtige")


def test_capitals_of_a_phrase_match_capitals_only() -> None:
    pattern = re.compile(phrase_pattern(["como", ["IA,", "modelo*"]]), re.IGNORECASE)
    assert pattern.search("Como IA, eu")
    assert pattern.search("como Modelos")
    assert not pattern.search("como ia, dizendo")


def test_a_gap_ends_the_words_before_it() -> None:
    pattern = re.compile(phrase_pattern(["please", ["give", "send"], {"max_gap_chars": 5}, "text*"]))
    assert pattern.search("please send me texts")
    assert not pattern.search("please sender texts")
    assert not pattern.search("please send me your texts")


def test_a_clause_begins_after_a_mark_or_at_the_start() -> None:
    pattern = re.compile(phrase_pattern(["^ai", ["として", "$"]], has_spaces=False))
    assert [bool(pattern.search(text)) for text in ("aiとして", "はい、aiとして", "openaiとして", "ai")] == [
        True,
        True,
        False,
        True,
    ]
