"""Tests of script detection."""

from __future__ import annotations

import pytest

from serve.text.writing_systems import han_script, is_latin, is_unreadable


def test_latin_letters() -> None:
    assert is_latin("GitHub Actions, é 1.")
    assert not is_latin("GitHub の")


SIMPLIFIED = "我们现在开始今天的会议吧。"
TRADITIONAL = "我們現在開始今天的會議吧。"
SERBIAN = ("Почињемо данашњи састанак.", "Počinjemo današnji sastanak.")
UZBEK = ("Bugungi yig‘ilishni boshlaymiz.", "Бугунги йиғилишни бошлаймиз.")
KAZAKH = ("Бүгінгі жиналысты бастаймыз.", "Bügingi jinalysty bastaimyz.")


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        *((SIMPLIFIED, tag) for tag in ("zh", "zh-Hans", "zh-CN", "zh-SG", "cmn")),
        *((TRADITIONAL, tag) for tag in ("zh-Hant", "zh-TW", "zh-HK", "zh-MO", "yue", "yue-HK")),
        *(("好的。", tag) for tag in ("zh", "zh-TW", "yue")),
        *((text, "sr") for text in SERBIAN),
        *((text, "uz") for text in UZBEK),
        *((text, "kk") for text in KAZAKH),
        (SERBIAN[0], "sr-Cyrl"),
        (SERBIAN[1], "sr-Latn"),
        (SERBIAN[1], "sr-ME"),
        ("Bugünkü iclasa başlayırıq.", "az"),
        ("ਅਸੀਂ ਅੱਜ ਦੀ ਮੀਟਿੰਗ ਸ਼ੁਰੂ ਕਰਦੇ ਹਾਂ।", "pa"),
        ("ہم آج کی میٹنگ شروع کرتے ہیں", "ur"),
        ("Kubernetes を使います", "ja"),
        ("佢今日冇嚟開會。", "yue"),
        ("看着這個畫面。", "zh-HK"),
        ("台北的同事們都到了。", "zh-TW"),
        ("珺，好的。", "zh"),
        ("ქართული", "ka"),
    ],
)
def test_text_in_a_script_of_its_language_is_readable(text: str, tag: str) -> None:
    assert not is_unreadable(text, tag)


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        *((SIMPLIFIED, tag) for tag in ("zh-Hant", "zh-TW", "zh-HK", "zh-MO", "yue", "yue-HK")),
        *((TRADITIONAL, tag) for tag in ("zh", "zh-Hans", "zh-CN", "zh-SG")),
        ("好吗？", "zh-TW"),
        (SERBIAN[1], "sr-Cyrl"),
        (SERBIAN[0], "sr-Latn"),
        (UZBEK[1], "uz-Latn"),
        (KAZAKH[1], "kk-Cyrl"),
        ("Мы начинаем.", "pt"),
        ("我们现在开始。", "sr"),
        ("Konnichiwa minasan", "ja"),
        ("Good morning everybody", "hy"),
    ],
)
def test_text_in_another_script_is_unreadable(text: str, tag: str) -> None:
    assert is_unreadable(text, tag)


def test_chinese_script_is_detected_from_distinctive_characters() -> None:
    assert [han_script(text) for text in (SIMPLIFIED, TRADITIONAL, "好的。", "Yes.")] == ["Hans", "Hant", None, None]
