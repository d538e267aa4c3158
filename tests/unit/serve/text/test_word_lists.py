"""Tests of the word lists in data files."""

from __future__ import annotations

import doctest
import re
import tomllib
from pathlib import Path

import pytest

from serve.text import word_lists
from serve.text.word_lists import all_words, any_of, word_pattern

ROOT = Path(__file__).parents[4]
FOLDERS = sorted(folder for room in ("operators", "serve") for folder in (ROOT / room).rglob("data") if folder.is_dir())


def test_docstring_examples() -> None:
    failed, tried = doctest.testmod(word_lists)
    assert (failed, tried) == (0, 2)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_a_data_file_is_part_of_the_package(folder: Path) -> None:
    package_data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    assert package_data[".".join(folder.relative_to(ROOT).parent.parts)] == ["data/*.toml"]
    assert {path.suffix for path in folder.iterdir()} == {".toml"}


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
