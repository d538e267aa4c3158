from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.sentences.boundaries import (
    MAX_WORD_CHARS,
    WORD_SIZE,
    is_sentence_end,
    join_text,
    sentence_ends,
    split_words,
)


def split_sentences(text: str, language: str | None = None) -> list[str]:
    """Split a text after each sentence. The last item is the text without an end."""
    starts, stops, _ = split_words(text)
    cuts = [*sentence_ends((), text, None, language), len(starts) - 1]
    begins = [0, *(cut + 1 for cut in cuts[:-1])]
    return [text[starts[a] : stops[b]] for a, b in zip(begins, cuts, strict=True) if a <= b]


@pytest.mark.parametrize(
    "text",
    [
        # Abbreviations.
        "Use a colour, e.g. the red one.|Good.",
        "That is Mr. Smith|",
        "Ask Dr. Jones.|He knows.",
        "Pens, paper, etc. are here.|Take some.",
        "Pens, paper, etc.|And a desk.",
        "Item No. 5 is here.|No.|Yes.",
        "No.|Yeah.|no.|no.",
        "Mm.|Yes.|Mm.|yes.",
        "Give it to me.|suzanne wants it, too.",
        "We meet in may.|Suzanne comes.",
        # Times, numbers, addresses.
        "Come at 5 p.m. tomorrow.|Fine.",
        "Come at 5 p.m.|Tomorrow we rest.",
        "Come at 5 p.m.|Okay.",
        "It is 3.5 metres.|It costs $3.50.|Good.",
        "We ship v2.0 today.|And v2.1.|Later.",
        "There are 5.|We need 6.",
        "See parley.example.com for it.|Or parley.example.com.|Yes.",
        # Initials.
        "The U. S. Army came.|Then it left.",
        "It was J. R. R. Tolkien who wrote it.|Indeed.",
        "We ask George W. Bush|",
        "So do I.|we all do.",
        "Take plan B.|Yeah.",
        # Ellipses.
        "I said... and then I went.|Good.",
        "Well...|And then.",
        "Well… and then.|So…|Then.",
        # Characters that belong to a mark.
        "¿Cómo estás?|¡Bien!|Bueno, ¿y tú?",
        "He said “Come in.”|She came.",
        "He said “Why?” and left.|She stayed.",
        '"Yes."|"No!"|(He left.)|[Really?]|So.',
        "Yeah.|'Cause I can.|'Kay.|'Em all.",
        "Ça va ?|« Oui. »|Bon !",
        "What?!|Really!!|no?",
        # Scripts.
        "你好。|再见！|你叫什么名字？|好",
        "他说：「走吧。」|然后走了。",
        "ＯＫ？|价格是３．５元．|好．",
        "我用Python写。|OK。",
        "価格です。|次は「はい」です。",
        "यह है।|वह नहीं है॥|हाँ।",
        "كيف حالك؟|جيد.|نعم۔",
        "Բարեւ։|Լավ եմ։",
        "ሰላም።|ደህና ነህ፧|አዎ",
        "မင်္ဂလာပါ။|နေကောင်းလား။",
        "សួស្តី។|បាទ៕",
        "สวัสดีครับ ผมชื่อ สมชาย",
        "Τι κάνεις;|Καλά.",
        # Speech.
        "so we went to the shop and then we came back",
        "Yes.",
        "≪no n≫ um ≪the≫.|The P_G_C_.|Yes.",
        "Wait ≪no≫.|So.",
        "Okay.|good morning.",
        # Marks before the first sentence.
        ". Hello there.|Yes.",
        "! Hello there.|Yes.",
        "。はい。|そうです。",
        # A quotation within a sentence.
        "「行こう。」と言った。|はい。",
        "「行こう！」って言った。|はい。",
        "『本当？』と彼は聞いた。|はい。",
        "「行こう。」|はい。",
    ],
)
def test_sentence_ends_match_manual_segmentation(text: str) -> None:
    joint = "" if any(mark in text for mark in "。！？．") else " "
    expected = [part for part in text.split("|") if part]
    assert split_sentences(joint.join(expected)) == expected


def test_marks_of_unspaced_scripts_need_no_following_space() -> None:
    assert split_sentences("यह है।वह नहीं है।") == ["यह है।", "वह नहीं है।"]
    assert split_sentences("好.再见") == ["好.", "再见"]


def test_abbreviations_follow_the_language() -> None:
    assert split_sentences("Das ist z.B. Papier. Gut.", "de") == ["Das ist z.B. Papier.", "Gut."]
    assert split_sentences("Hello. Yes.", "x-unknown") == ["Hello.", "Yes."]


@pytest.mark.parametrize(
    ("word", "ended"), [("here.", True), ("p.m.", True), ("Mr.", False), ("e.g.", False), ("so", False)]
)
def test_mark_at_the_end_of_the_text(word: str, ended: bool) -> None:
    assert is_sentence_end((), word, None) is ended


def test_split_words_at_spaces_and_unspaced_scripts_into_characters() -> None:
    text = "Go, 我用Python写３．５「字」。ก็ดี。 ok ?"
    starts, stops, sizes = split_words(text)
    cut = [text[a:b] for a, b in zip(starts, stops, strict=True)]
    assert cut == ["Go,", "我", "用", "Python", "写", "３．５", "「字」。", "ก็", "ดี。", "ok ?"]
    assert [b - a for a, b in pairwise(sizes)] == [2, 1, 1, 2, 1, 2, 1, 1, 1, 2]
    assert WORD_SIZE == 2


@pytest.mark.parametrize(
    ("left", "right", "whole"),
    [
        ("so", "we", "so we"),
        ("你好", "吗？", "你好吗？"),
        ("好。", "Yes", "好。 Yes"),
        ("", "we", "we"),
        ("안녕", "하세요", "안녕 하세요"),
        ("He met (", "Bob", "He met (Bob"),
        ("He met [", "Bob", "He met [Bob"),
        ("He said “", "Go", "He said “Go"),
        ("“", "Go", "“Go"),
        ("(“", "Go", "(“Go"),
        ("He said “Go", "”", "He said “Go”"),
        ("Er sagt „", "Ja", "Er sagt „Ja"),
        ("Er sagt „Ja", "“", "Er sagt „Ja“"),
        ("Er sagt „Ja“", "oder", "Er sagt „Ja“ oder"),
        ("«", "Oui", "«Oui"),
        ("¿", "Vienes", "¿Vienes"),
        ("¡", "Sí", "¡Sí"),
        ("نعم", "،", "نعم،"),
        ("نعم", "؛", "نعم؛"),
        ("נכון", ",", "נכון,"),
        ("Այո", "՞", "Այո՞"),
        ("አዎ", "፣", "አዎ፣"),
        ("everyone", '."', 'everyone."'),
        ("everyone", ".'", "everyone.'"),
        ("everyone", "?”", "everyone?”"),
        ('He is "', "good", 'He is "good'),
        ('He is "good', '"', 'He is "good"'),
        ('He is "good"', "today", 'He is "good" today'),
        ("He is", '"', 'He is "'),
        ("I go", "—", "I go —"),
        ("I go", "(", "I go ("),
    ],
)
def test_join_text_adds_a_space_only_if_the_script_needs_it(left: str, right: str, whole: str) -> None:
    assert join_text(left, right) == whole


PIECES = st.sampled_from(
    [*"ab .?!…。？．।」”)'«“¿,", "Mr.", "e.g.", "p.m. ", "U. ", "5", "３", "你好", "さー", "ก็", "ដ្ឋា", "No. ", "≫", ";"]
)
TEXT = st.lists(PIECES, min_size=1, max_size=25).map("".join).map(lambda text: " ".join(text.split())).filter(bool)


@settings(deadline=None)
@given(TEXT)
def test_word_spans_cover_every_visible_character(text: str) -> None:
    starts, stops, _ = split_words(text)
    assert "".join(text[a:b] for a, b in zip(starts, stops, strict=True)).replace(" ", "") == text.replace(" ", "")


@settings(deadline=None)
@given(TEXT, TEXT)
def test_boundary_depends_on_two_words_before_and_one_after(left: str, right: str) -> None:
    text = f"{left} {right}"
    starts, stops, _ = split_words(text)
    at = range(len(starts))
    whole = set(sentence_ends((), text, None, None))
    for i in at:
        before = tuple(text[starts[j] : stops[j]] for j in at[max(i - 2, 0) : i])
        after = text[starts[i + 1] : stops[i + 1]] if i + 1 < len(starts) else None
        assert is_sentence_end(before, text[starts[i] : stops[i]], after) is (i in whole)


def test_long_runs_of_marks_are_processed_fast() -> None:
    text = "!" * 10_000 + ")" * 9_000 + "@"
    assert sentence_ends((), text, None, None) == ()
    assert len(split_words(". " * 9_999 + ".").stops) < 2_000


@pytest.mark.parametrize(
    "unit",
    [
        *"a5_-.!?…,。।،()“”\"'😀ー中ا\u0301\u200d\ufe0f\u0e31\u3099",
        *("🇵🇹", "👍🏽", "👨\u200d👩\u200d👧", "a\u0301", "กำ", "?!"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "Hi ", "Hi there. "])
@pytest.mark.parametrize("separator", ["", " "])
def test_words_of_any_character_are_bounded(unit: str, prefix: str, separator: str) -> None:
    starts, stops, sizes = split_words(prefix + separator.join([unit] * 5_000))
    assert max(stop - start for start, stop in zip(starts, stops, strict=True)) <= MAX_WORD_CHARS
    assert sizes[-1] >= len(starts)
