"""Tests of language tags and language detection."""

from __future__ import annotations

import socket

import pytest

from serve.text.languages import (
    LanguageDetector,
    base_language,
    confusable_group,
    has_wrong_script,
    language_and_script,
)

LIKELY = frozenset({"en", "pt"})


@pytest.fixture(scope="module")
def detector() -> LanguageDetector:
    return LanguageDetector()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("pt", "pt-BR", True),
        ("pt-PT", "pt-BR", True),
        ("en", "en-GB", True),
        ("zh", "zh-Hans", True),
        ("zh-TW", "zh-Hant", True),
        ("zh", "zh-Hant", False),
        ("sr", "sr-Latn", False),
        ("en", "pt", False),
        ("nb", "no", True),
        ("nb-NO", "no", True),
        ("nn", "no", False),
    ],
)
def test_tags_of_the_same_language_and_script_are_equal(one: str, other: str, same: bool) -> None:
    assert (language_and_script(one) == language_and_script(other)) is same


def test_base_language_of_a_tag() -> None:
    assert [base_language(tag) for tag in ("pt-BR", "en", "zh-Hant-TW")] == ["pt", "en", "zh"]


def test_confusable_languages_share_a_group() -> None:
    for kindred in (
        ("nb", "nn", "no", "da", "sv"),
        ("cs", "sk"),
        ("id", "ms"),
        ("hr", "sr-Latn", "bs"),
        ("zh-Hant", "yue"),
    ):
        assert len({confusable_group(tag) for tag in kindred}) == 1
    assert len({confusable_group(tag) for tag in ("de", "no", "en", "pt-BR", "es", "cs", "pl")}) == 7


def test_scores_of_confusable_languages_are_added(detector: LanguageDetector) -> None:
    text = "Esok pagi kita akan membincangkan belanjawan untuk tahun hadapan bersama pasukan."
    assert detector.scores(text)["id"] > 0.95
    assert detector.detect_certain(text) == "id"
    assert detector.detect_certain("Bom dia a todos.") is None


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("So we need to finish the prototype by Friday.", "en"),
        ("Precisamos terminar o protótipo até sexta-feira.", "pt"),
        ("WE NEED TO FINISH THE PROTOTYPE BY FRIDAY", "en"),
        ("Wir müssen den Prototyp bis Freitag fertig haben.", "de"),
        ("これは日本語です", "ja"),
        ("你好，我们开始吧。", "zh"),
    ],
)
def test_long_text_is_detected_without_context(text: str, language: str, detector: LanguageDetector) -> None:
    assert detector.detect(text, [], LIKELY) == language
    other = ["We should begin now, I think, everybody is here."]
    assert detector.detect(text, other, LIKELY) == language


def test_short_utterance_is_detected_with_its_context(detector: LanguageDetector) -> None:
    assert detector.detect("Sim.", ["Vamos começar a reunião de hoje?", "Com certeza, vamos."], LIKELY) == "pt"
    assert detector.detect("Sim.", ["Shall we begin the meeting?", "Yes, let us begin."], LIKELY) == "en"


@pytest.mark.parametrize("text", ["Yes.", "Mm-hmm.", "Paul", "Nice, eh?"])
def test_short_utterance_without_context_gets_a_likely_language(text: str, detector: LanguageDetector) -> None:
    assert detector.detect(text, [], LIKELY) in LIKELY


@pytest.mark.parametrize("text", ["123", "…", "🙂", ""])
def test_text_without_letters_has_no_language(text: str, detector: LanguageDetector) -> None:
    assert detector.detect(text, ["We should begin now, everybody is here."], LIKELY) is None


def test_script_that_a_declared_language_does_not_use() -> None:
    assert has_wrong_script("日本語です", "en")
    assert has_wrong_script("Привет всем", "pt-BR")
    assert not has_wrong_script("Olá, ça va?", "en")
    assert not has_wrong_script("Việt Nam đẹp lắm", "vi")
    assert not has_wrong_script("日本語です", "ja")
    assert not has_wrong_script("123", "en")


def test_detector_downloads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("no connection is to be made")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert LanguageDetector().detect("We should begin now, everybody is here.", [], LIKELY) == "en"
