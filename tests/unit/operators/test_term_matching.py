from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.term_matching import contains_term, find_term, is_whole_word

WORD = st.text("abcßéİſﬁΣçñдж1", min_size=1, max_size=6)
ANYTHING = st.text("aASsßſİi\u0307e\u0301é \t\n'-.漢字かカー0", max_size=10)


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("We ask Ana.", "ana"),
        ("Ana's turn", "Ana"),
        ("re-use it", "use"),
        ("die STRASSE", "Straße"),
        ("die Straße", "STRASSE"),
        ("so to İzmir", "İZMir"),
        ("the  road\nmap is", "road map"),
        ("東京都に行く", "京都"),
        ("使用API网关", "api"),
        ("C++11", "C++"),
        ("we use .NET here", ".net"),
        ("cafe\u0301 au lait", "café"),
        ("ไปกรุงเทพกัน", "กรุงเทพ"),
        ("서버를 껐다", "서버"),
        ("このテストを見る", "テスト"),
        ("本番テスト用", "テスト"),
        ("ＯＳテスト・ケース", "テスト"),
        ("えーテストです", "テスト"),
        ("えーテストです", "えー"),
        ("か\u3099テスト", "テスト"),
        ("サーバーが落ちた", "サーバー"),
        ("ﾃｽﾄ中", "ﾃｽﾄ"),
        ("В Москве", "москве"),
    ],
)
def test_term_matches_whole_words(text: str, term: str) -> None:
    assert contains_term(text, term)


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("Banana", "ana"),
        ("Anabel", "ana"),
        ("cafe\u0301", "cafe"),
        ("café", "cafe"),
        ("Straße", "Stras"),
        ("v10", "v1"),
        ("roadmap", "road map"),
        ("웹서버", "서버"),
        ("コンテスト", "テスト"),
        ("コンテスト環境", "テスト環境"),
        ("アイスランド", "アイス"),
        ("サーバー", "サーバ"),
        ("スーパーテスト", "テスト"),
        ("ホ\u309aスト", "ホ"),
        ("ホ\u309aスト", "スト"),
        ("ｺﾝﾃｽﾄ", "ﾃｽﾄ"),
        ("anything", ""),
        ("any thing", " "),
        ("", "a"),
    ],
)
def test_term_does_not_match_a_part_of_a_word(text: str, term: str) -> None:
    assert not contains_term(text, term)


def test_case_sensitive_term() -> None:
    assert not contains_term("it is IT's", "It", case_sensitive=True)
    assert contains_term("ask IT  support", "IT support", case_sensitive=True)
    assert list(find_term("it is IT", "IT", case_sensitive=True)) == [(6, 8)]


def test_offsets_are_those_of_the_source_text() -> None:
    text = "ßß İİ  Straße x"
    assert [text[start:end] for start, end in find_term(text, "strasse")] == ["Straße"]


@settings(deadline=None)
@given(ANYTHING, st.lists(WORD, min_size=1, max_size=3), ANYTHING, st.sampled_from([" ", "\t\n", "  "]))
def test_term_matches_regardless_of_spacing(before: str, words: list[str], after: str, gap: str) -> None:
    assert contains_term(f"{before} {gap.join(words)}, {after}", " ".join(words))


@settings(deadline=None)
@given(WORD, st.sampled_from("xyz7ж"), st.sampled_from("xyz7ж"))
def test_term_inside_a_longer_word_does_not_match(word: str, before: str, after: str) -> None:
    assert not contains_term(f"{before}{word}", word)
    assert not contains_term(f"{word}{after}", word)


@settings(deadline=None)
@given(st.text("漢字東京かなไทย", min_size=1), st.data())
def test_unspaced_scripts_have_no_word_boundaries(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    assert contains_term(text, text[start : data.draw(st.integers(start + 1, len(text)))])


@settings(deadline=None)
@given(
    st.text("アイスンヴヽㇰﾃ", min_size=1, max_size=6),
    st.sampled_from("テンー\u3099ｰ"),
    st.sampled_from("漢かxん、 "),
    st.sampled_from("漢かxん、 "),
)
def test_katakana_has_boundaries_next_to_other_scripts(word: str, more: str, before: str, after: str) -> None:
    assert contains_term(f"{before}{word}{after}", word)
    assert not contains_term(f"{before}ア{more}{word}{after}", word)
    assert not contains_term(f"{before}{word}{more}{after}", word)


@given(ANYTHING, ANYTHING)
def test_find_term_agrees_with_brute_force(text: str, term: str) -> None:
    def plain(one: str) -> str:
        return unicodedata.normalize("NFD", " ".join(one.split()).casefold())

    expected = any(
        plain(text[start:end]) == plain(term) and not text[start].isspace() and not text[end - 1].isspace()
        for start in range(len(text))
        for end in range(start + 1, len(text) + 1)
        if is_whole_word(text, start, end)
    )
    assert contains_term(text, term) == expected
