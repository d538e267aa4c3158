"""Tests serve/engines/firefox/model_files.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from operators.errors import SetupError
from serve.engines.firefox.model_files import find_models


def make_model_folder(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_the_installed_package_has_english_and_portuguese() -> None:
    found = find_models()
    assert set(found) == {("en", "pt"), ("pt", "en")}
    for files in found.values():
        assert files.model.is_file()
        assert files.shortlist is not None
        assert files.shortlist.is_file()


def test_a_folder_adds_pairs_and_overrides_the_package(tmp_path: Path) -> None:
    make_model_folder(tmp_path / "en-ja", "model.enja.intgemm.alphas.bin", "srcvocab.enja.spm", "trgvocab.enja.spm")
    mine = make_model_folder(
        tmp_path / "anything", "model.enpt.intgemm.alphas.bin", "vocab.enpt.spm", "lex.50.50.enpt.s2t.bin"
    )
    make_model_folder(tmp_path / "en-de", "model.ende.intgemm.alphas.bin")
    make_model_folder(tmp_path / "notes", "README")
    (tmp_path / "file").touch()
    found = find_models(tmp_path)
    assert set(found) == {("en", "pt"), ("pt", "en"), ("en", "ja")}
    assert found["en", "pt"].model.parent == mine
    assert found["en", "ja"].source_vocabulary.name == "srcvocab.enja.spm"
    assert found["en", "ja"].target_vocabulary.name == "trgvocab.enja.spm"
    assert found["en", "ja"].shortlist is None


def test_language_aliases_are_normalized(tmp_path: Path) -> None:
    make_model_folder(tmp_path / "en-nb", "model.ennb.intgemm.alphas.bin", "vocab.ennb.spm")
    assert ("en", "no") in find_models(tmp_path)


def test_a_missing_folder_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="nowhere"):
        find_models(tmp_path / "nowhere")
