"""The parser tolerates malformed subtitle files: it reports omissions with their line, and invents no speakers."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.errors import InvalidInputError
from operators.subtitles import UNKNOWN_SPEAKER, Attribution, Cue, LineIssue, Subtitles, parse_subtitles
from operators.subtitles.markup import is_visible

NAMED, GUESSED, UNKNOWN = Attribution.NAMED, Attribution.GUESSED, Attribution.UNKNOWN


def read_speakers_and_texts(text: str) -> list[tuple[str, str]]:
    return [(cue.speaker, cue.text) for cue in parse_subtitles(text).cues]


def read_texts(text: str) -> list[str]:
    return [cue.text for cue in parse_subtitles(text).cues]


def read_issues(text: str) -> list[tuple[int, str, bool]]:
    return [(line, message, lost) for line, message, lost in parse_subtitles(text).issues]


def read_times(text: str) -> list[tuple[float, float]]:
    return [(cue.start, cue.end) for cue in parse_subtitles(text).cues]


def make_vtt(*payloads: str) -> str:
    cues = (f"00:0{i}.000 --> 00:0{i}.900\n{payload}" for i, payload in enumerate(payloads))
    return "\n\n".join(["WEBVTT", *cues])


def make_srt(*payloads: str) -> str:
    return "\n\n".join(f"{i}\n00:00:0{i},000 --> 00:00:0{i},900\n{payload}" for i, payload in enumerate(payloads, 1))


# --- cues ---


def test_vtt_with_all_features() -> None:
    text = "\r\n".join(
        [
            *("\ufeffWEBVTT - Weekly", "Kind: captions", "Language: en", ""),
            *("STYLE", "::cue { color: red }", "", "REGION", "id:fred", "", "NOTE a", "remark", ""),
            *("1", "00:01.500 --> 01:00:02.000 align:start position:0%", "<v.loud Ann Lee>So <b>we</b>"),
            *("  agree.</v>", ""),
            *(
                "00:03.000 --> 00:04.000",
                "<v Bob><c.x>R&amp;D&nbsp;is</c> <00:03.500><ruby>fun<rt>not said</rt></ruby>",
            ),
            *("", "NOTE in between", "", "00:05,000 --> 00:05,000", "<i>Goes</i> on &lt;here&gt;.", ""),
            *("00:06.000 --> 00:07.000", "<v Ann Lee>Yes?</v>", "<v Bob>No: ok", "", "00:08.000 --> 00:09.000", "", ""),
        ]
    )
    read = parse_subtitles(text)
    assert list(read.cues) == [
        Cue("Ann Lee", "So we agree.", 1.5, 3602.0),
        Cue("Bob", "R&D is fun", 3.0, 4.0),
        Cue("Bob", "Goes on <here>.", 5.0, 5.0),
        # The speakers of a cue share its time, so that they keep their order.
        Cue("Ann Lee", "Yes?", 6.0, 6.4),
        Cue("Bob", "No: ok", 6.4, 7.0),
    ]
    assert [cue.line for cue in read.cues] == [15, 19, 24, 27, 27]
    assert (read.issues, read.attribution) == ((), GUESSED)


def test_srt_with_all_features() -> None:
    text = (
        "\ufeff1\r\n00:00:01,500 --> 00:00:02,000 X1:40\r\n{\\an8}<font color=#fff>Ann:</font> So <b>we</b>\r\n"
        "agree.\r\n\r\n2\r\n00:00:03.000 --> 00:00:04.000\r\n<i>R&amp;D\r\n\r\nis fun.</i>\r\n\r\n"
        "3\r\n00:00:05,000 --> 00:00:06,000\r\n<i></i>\r\n\r\n4\r\n00:00:07,000 --> 00:00:08,000\r\nAnn: Bye."
    )
    assert list(parse_subtitles(text).cues) == [
        Cue("Ann", "So we agree.", 1.5, 2.0),
        Cue("Ann", "R&D is fun.", 3.0, 4.0),
        Cue("Ann", "Bye.", 7.0, 8.0),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\nOne.\n\n00:00:03.000 --> 00:00:04.000\nTwo.",
        # Missing blank lines: below the header, between cues, with numbers and without.
        "WEBVTT\n00:01.000 --> 00:02.000\nOne.\n00:03.000 --> 00:04.000\nTwo.",
        "1\n00:00:01,000 --> 00:00:02,000\nOne.\n2\n00:00:03,000 --> 00:00:04,000\nTwo.",
        # Extra blank lines: Teams' below the times, and a file with one after every line.
        "00:00:01.000 --> 00:00:02.000\n\nOne.\n\n00:00:03.000 --> 00:00:04.000\n\nTwo.",
        "1\r\r\n00:00:01,000 --> 00:00:02,000\r\r\nOne.\r\r\n\r\r\n2\r\r\n00:00:03,000 --> 00:00:04,000\r\r\nTwo.",
        "1\n\n00:00:01,000 --> 00:00:02,000\n\nOne.\n\n\n2\n\n00:00:03,000 --> 00:00:04,000\n\nTwo.",
        # No numbers, wrong numbers, times with fewer digits, without hours, with another arrow, with spaces around.
        "00:00:01,000 --> 00:00:02,000\nOne.\n\n00:00:03,000 --> 00:00:04,000\nTwo.",
        "7\n00:00:01,000 --> 00:00:02,000\nOne.\n\n7\n00:00:03,000 --> 00:00:04,000\nTwo.",
        "1\n0:0:1,0 --> 0:0:2\nOne.\n\n2\n00:03 --> 00:04\nTwo.",
        "1\n00:00:01,000 -> 00:00:02,000\nOne.\n\n2\n00:00:03,000 –> 00:00:04,000\nTwo.",
        "\n 1 \n 00:00:01,000-->00:00:02,000 \nOne.\n \n#2\n00:00:03,000  -->  00:00:04,000\t\nTwo.\n\n",
        # Tags of the other format.
        "1\n00:00:01,000 --> 00:00:02,000\n<c.white>One.</c>\n\n2\n00:00:03,000 --> 00:00:04,000\n<v >Two.",
        "1\n00:00:01.000 --> 00:00:02.000\n{\\an8}One.\n\n2\n00:00:03.000 --> 00:00:04.000\n<font color=red>Two.</font>",
    ],
)
def test_cues_are_found_in_malformed_files(text: str) -> None:
    read = parse_subtitles(text)
    assert [(cue.text, cue.start, cue.end) for cue in read.cues] == [("One.", 1.0, 2.0), ("Two.", 3.0, 4.0)]
    assert (read.issues, read.attribution) == ((), UNKNOWN)


@pytest.mark.parametrize("line", [" ", "\t", "\u3000"])
def test_a_line_of_white_space_does_not_end_a_cue_of_vtt(line: str) -> None:
    text = (
        f"WEBVTT\n\n00:01.000 --> 00:02.000\n<v Ann>First\n{line}\nNOTE this.\n\n00:03.000 --> 00:04.000\n<v Bob>Two."
    )
    assert read_speakers_and_texts(text) == [("Ann", "First NOTE this."), ("Bob", "Two.")]
    assert read_issues(text) == []


@pytest.mark.parametrize("name", ["NOTE-1", "NOTE to self", "NOTES", "STYLE", "STYLE guide", "REGION", "WEBVTT"])
def test_cue_identifier_may_be_any_text(name: str) -> None:
    text = f"WEBVTT\n\n{name}\n00:01.000 --> 00:02.000\n<v Ann>One.\n\n{name}\n00:03.000 --> 00:04.000\n<v Bob>Two."
    assert read_speakers_and_texts(text) == [("Ann", "One."), ("Bob", "Two.")]
    assert read_issues(text) == []


def test_webex_identifier_names_the_speaker() -> None:
    text = 'WEBVTT\n\n1 "Ann Lee" (123)\n00:01.000 --> 00:02.000\nOne.\n\n2 "" (0)\n00:03.000 --> 00:04.000\nTwo.'
    assert read_speakers_and_texts(text) == [("Ann Lee", "One."), ("Ann Lee", "Two.")]
    assert parse_subtitles(text).attribution is GUESSED


def test_nul_is_replaced_as_the_standard_requires() -> None:
    assert read_texts(make_srt("A\0B")) == ["A\ufffdB"]


@pytest.mark.parametrize("nothing", ["", " ", "\u200b", "<v Ann>\u200b", "<i> </i>", "&nbsp;", "\u2060\ufeff\u200e"])
def test_cue_without_visible_text_is_dropped(nothing: str) -> None:
    text = make_vtt(nothing, "<v Bob>Two.", nothing)
    assert read_speakers_and_texts(text) == [("Bob", "Two.")]
    assert read_issues(text) == []
    with pytest.raises(InvalidInputError, match="cues: the file has none with text"):
        parse_subtitles(make_vtt(nothing))


# --- omissions ---

NO_TIMES = "its times can't be read; write 00:00:01.000 --> 00:00:02.500"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (make_vtt("Hi", "x", "Bye").replace("00:01.000", "0:soon"), (6, f"the cue is left out: {NO_TIMES}")),
        (make_srt("Hi", "x", "Bye").replace("00:00:02,000", "0:soon"), (6, f"the cue is left out: {NO_TIMES}")),
        (
            make_srt("Hi", "x", "Bye").replace("00:00:02,900", f"{'9' * 12}:00:00,0"),
            (6, f"the cue is left out: {NO_TIMES}"),
        ),
        (
            make_srt("Hi", "x", "Bye").replace("00:00:02,000 --> 00:00:02,900\n", ""),
            (5, "the cue is left out: it has no times; write 00:00:01.000 --> 00:00:02.500 below its number"),
        ),
        (
            make_vtt("Hi", "x", "Bye").replace("\n00:01", "\nNOTE\n00:01"),
            (7, "the cue is left out: it is commented out"),
        ),
        ("Dear all,\nx\n\n" + make_srt("Hi", "Bye"), (1, "is left out: it belongs to no cue")),
        (make_vtt("Hi", "Bye").replace("WEBVTT", "WEBVTTX"), (1, "is left out: it belongs to no cue")),
        (make_vtt("Hi", "Bye").replace("WEBVTT\n", "WEBVTT\n\nx\n"), (3, "is left out: it belongs to no cue")),
    ],
)
def test_omissions_are_reported_with_their_line(text: str, expected: tuple[int, str]) -> None:
    assert read_texts(text) == ["Hi", "Bye"]
    assert read_issues(text) == [(*expected, True)]


def test_a_cue_that_ends_before_it_starts_keeps_its_words() -> None:
    text = make_vtt("One.", "Two.", "Three.").replace("00:01.900", "00:00.500")
    assert read_texts(text) == ["One.", "Two.", "Three."]
    assert read_times(text) == [(0.0, 0.9), (1.0, 1.0), (2.0, 2.9)]
    assert read_issues(text) == [(6, "ends before it starts: its start is used as its end", False)]


def test_text_below_a_blank_line_is_kept_and_reported() -> None:
    text = make_vtt("<v Ann>One", "<v Bob>Two.").replace("One", "One\n\nmore.")
    assert read_speakers_and_texts(text) == [("Ann", "One more."), ("Bob", "Two.")]
    assert read_issues(text) == [(6, "below a blank line: it is read as part of the cue above", False)]


@pytest.mark.parametrize(
    ("text", "place", "fix"),
    [
        ("", "cues", "the file has none with text"),
        ("WEBVTT\n\nNOTE nothing\n", "cues", "the file has none with text"),
        ("Dear all,\n\nhello", "line 1", "it belongs to no cue; the file has no readable cue with text"),
        (make_vtt("Hi").replace("00:00.000", "now"), "line 3", "is left out"),
        (make_srt("Hi").replace("00:00:01,000", "0:soon"), "line 2", "its times can't be read"),
    ],
)
def test_file_without_cues_is_rejected_with_the_line(text: str, place: str, fix: str) -> None:
    with pytest.raises(InvalidInputError, match=fix) as caught:
        parse_subtitles(text)
    assert caught.value.field == place


# --- markup ---


def test_translation_tags_are_plain_tags_unless_every_cue_has_one() -> None:
    french = make_vtt("<v Ann>He said\n<lang fr>bonjour</lang></v>", "<v Ann>and <lang fr>adieu</lang></v>")
    assert read_speakers_and_texts(french) == [("Ann", "He said bonjour"), ("Ann", "and adieu")]
    italics = make_srt("He said\n<i>a thing.</i>", "<i>All of it\nis in italics.</i>")
    assert read_texts(italics) == ["He said a thing.", "All of it is in italics."]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (make_srt("We watched\n<i>Titanic</i>"), "We watched Titanic"),
        (make_srt("At 10:30 we watched\n<i>Titanic</i>"), "At 10:30 we watched Titanic"),
        (make_vtt("He said\n<lang fr>bonjour</lang>"), "He said bonjour"),
        (make_vtt("<v Ann>He said\n<lang fr>bonjour</lang>"), "He said bonjour"),
    ],
)
def test_the_second_line_of_another_program_is_speech(text: str, expected: str) -> None:
    assert read_texts(text) == [expected]
    assert read_issues(text) == []


@pytest.mark.parametrize(
    "text",
    [make_srt("Ann: One.\n<i>Um.</i>"), make_vtt("<v Ann>One.\n<lang pt>Um.</lang></v>").replace("\n\n", "\n", 1)],
)
def test_parleys_own_translations_are_left_out_and_reported(text: str) -> None:
    assert read_speakers_and_texts(text) == [("Ann", "One.")]
    assert read_issues(text) == [(2, "each cue also has a translation: 1 lines are left out", True)]


def test_lines_of_a_script_without_spaces_are_joined_without_one() -> None:
    assert read_speakers_and_texts(make_srt("今日は\n天気です。")) == [(UNKNOWN_SPEAKER, "今日は天気です。")]


def test_only_character_references_with_semicolon_are_decoded() -> None:
    assert read_texts(make_srt("R&notes, AT&T; &lt;ok&gt; &#x1F600; &copy;")) == ["R&notes, AT&T; <ok> 😀 ©"]


# --- two languages ---


def detect_language(text: str) -> str | None:
    """Distinguish English and Portuguese, as far as these tests need it."""
    return "pt" if "ç" in text or "Depois" in text else "en" if text.isascii() else None


ENGLISH, PORTUGUESE = ["We start now.", "Then we go on."], ["Começamos agora.", "Depois continuamos."]


@pytest.mark.parametrize(("spoken", "expected"), [(None, ENGLISH), ("en", ENGLISH), ("pt", PORTUGUESE)])
def test_bilingual_file_keeps_one_language(spoken: str | None, expected: list[str]) -> None:
    pairs = list(zip(ENGLISH, PORTUGUESE, strict=True))
    for text in (
        make_srt(*map("\n".join, pairs)),
        # Two cues with the same times.
        "\n\n".join(f"00:00:0{i},000 --> 00:00:0{i},900\n{one}" for i, pair in enumerate(pairs) for one in pair),
    ):
        read = parse_subtitles(text, detect_language, spoken)
        assert [cue.text for cue in read.cues] == expected
        (remark,) = read.issues
        assert remark.lost_speech
        assert "2 lines are left out" in remark.message


WRAPPED = [
    "We start with\nthe budget today.\nComeçamos com\no orçamento hoje.",
    "Then we go on to\nthe plans.\nDepois passamos aos planos da nossa atuação.",
    "We all go home at the end of it.\nDepois voltamos para\ncasa no fim da função.",
]


@pytest.mark.parametrize(
    ("spoken", "expected"),
    [
        (None, ["We start with the budget today.", "Then we go on to the plans.", "We all go home at the end of it."]),
        (
            "pt",
            [
                "Começamos com o orçamento hoje.",
                "Depois passamos aos planos da nossa atuação.",
                "Depois voltamos para casa no fim da função.",
            ],
        ),
    ],
)
def test_languages_of_wrapped_lines_are_told_apart(spoken: str | None, expected: list[str]) -> None:
    read = parse_subtitles(make_srt(*WRAPPED), detect_language, spoken)
    assert [cue.text for cue in read.cues] == expected
    (issue,) = read.issues
    assert issue.lost_speech
    assert "lines are left out" in issue.message


@pytest.mark.parametrize("lines", [3, 4])
def test_wrapped_lines_of_one_language_are_kept(lines: int) -> None:
    cue = "\n".join(["We start with", "the budget today", "and we look", "at all costs."][:lines])
    text = make_srt(cue, cue, cue)
    assert read_texts(text) == [" ".join(cue.split())] * 3
    assert parse_subtitles(text, detect_language).issues == ()


def test_two_scripts_are_two_languages() -> None:
    text = make_srt("我们开始吧。\nLet us\nbegin.", "[Music]", "然后继续。\nThen go on.", "好。\nGood.", "对。\nYes.")
    read = parse_subtitles(text)
    assert [cue.text for cue in read.cues] == ["我们开始吧。", "[Music]", "然后继续。", "好。", "对。"]
    assert read.issues == (LineIssue(2, "each cue is also in LATIN: 5 lines are left out"),)


def test_cues_of_two_lines_are_not_two_languages() -> None:
    text = make_srt("We start with\nthe budget.", "Then we go\non to the rest.")
    assert parse_subtitles(text, detect_language).issues == ()
    assert read_texts(text) == ["We start with the budget.", "Then we go on to the rest."]


# --- rolling captions ---


def read_rolling_cues(*cues: tuple[float, float, str]) -> Subtitles:
    return parse_subtitles(
        "\n\n".join(
            f"{i}\n00:00:{start:06.3f} --> 00:00:{end:06.3f}\n{text}".replace(".", ",", 2)
            for i, (start, end, text) in enumerate(cues, 1)
        )
    )


A, B, C = "good morning all today", "we look at costs", "and then at plans"
YOUTUBE = [(0.8, 2.86, A), (2.86, 2.87, A), (2.87, 4.07, f"{A}\n{B}"), (4.07, 4.08, B), (4.08, 6.0, f"{B}\n{C}")]


@pytest.mark.parametrize(
    ("cues", "expected"),
    [
        (YOUTUBE, [A, B, C]),
        # The same line said twice.
        ([*YOUTUBE[:-1], (4.08, 6.0, f"{B}\n{B}"), (6.0, 6.01, B), (6.01, 7.0, f"{B}\n{C}")], [A, B, B, C]),
        # A pause, after which the last line is still shown.
        ([*YOUTUBE[:-1], (14.0, 16.0, f"{B}\n{C}"), (16.0, 16.01, C)], [A, B, C]),
        # A pause, after which the speaker repeats the last line.
        ([*YOUTUBE, (6.0, 6.01, C), (16.0, 17.0, C)], [A, B, C, C]),
        # A line that grows word by word.
        ([(1, 2, "good"), (2, 3, "good morning"), (3, 4, A), (4, 5, f"{A}\nwe look"), (5, 6, f"{A}\n{B}")], [A, B]),
        # Three lines that scroll.
        (
            [
                (1, 2, A),
                (2, 3, f"{A}\n{B}"),
                (3, 4, f"{A}\n{B}\n{C}"),
                (4, 5, f"{B}\n{C}\nso"),
                (5, 6, f"{C}\nso\nyes"),
            ],
            [A, B, C, "so", "yes"],
        ),
    ],
)
def test_rolling_captions_yield_each_word_once(cues: list[tuple[float, float, str]], expected: list[str]) -> None:
    read = read_rolling_cues(*cues)
    assert " ".join(cue.text for cue in read.cues) == " ".join(expected)
    assert [remark.lost_speech for remark in read.issues] == [False]


def test_rolling_captions_keep_the_times_of_their_words() -> None:
    read = read_rolling_cues(*YOUTUBE)
    assert list(read.cues) == [
        Cue(UNKNOWN_SPEAKER, A, 0.8, 2.86),
        Cue(UNKNOWN_SPEAKER, B, 2.87, 4.07),
        Cue(UNKNOWN_SPEAKER, C, 4.08, 6.0),
    ]
    assert read.issues == (
        LineIssue(6, "rolling captions: repeated words are dropped; 2 cues had no new words", lost_speech=False),
    )


def test_rolling_captions_as_youtube_sends_them() -> None:
    text = (
        "WEBVTT\nKind: captions\nLanguage: en\n\n00:00:00.800 --> 00:00:02.860 align:start position:0%\n \n"
        "good<00:00:01.100><c> morning</c>\n\n00:00:02.860 --> 00:00:02.870 align:start position:0%\ngood morning\n \n\n"
        "00:00:02.870 --> 00:00:04.070 align:start position:0%\ngood morning\nwe<00:00:03.100><c> look</c>\n\n"
        "00:00:04.070 --> 00:00:04.080 align:start position:0%\nwe look\n \n"
    )
    assert read_texts(text) == ["good morning", "we look"]


@pytest.mark.parametrize(
    "cues",
    [
        ["No.", "No.", "No.", "No."],
        ["Yes.", "Yes. I know.", "Good.", "Fine."],
        ["♪ na na ♪", "♪ na na ♪", "Bye."],
        ["Ann: So", "Ann: So we", "Fine."],
        ["Ann: So", "Bob: So we", "Ann: So we agree."],
        ["Ann: Yes.", "Ann: Yes.", "Ann: Yes.", "Bob: Yes.", "Bob: Yes."],
    ],
)
def test_words_that_a_speaker_repeats_are_kept(cues: list[str]) -> None:
    assert read_texts(make_srt(*cues)) == [cue.removeprefix("Ann: ").removeprefix("Bob: ") for cue in cues]


def read_growing_cues(name: str, *, others: bool) -> Subtitles:
    cues = [(1, 2, f"{name}we look"), (2, 3, f"{name}we look at costs"), (3, 4, f"{name}we look at costs and plans")]
    more = [
        (5 + 2 * k, 6 + 2 * k, f"{name}{word}.") for k, word in enumerate(("Fine", "Good", "Yes", "Bye", "See you"))
    ]
    return read_rolling_cues(*cues, *(more if others else []))


@pytest.mark.parametrize("others", [False, True], ids=["alone", "among others"])
@pytest.mark.parametrize(
    ("name", "speaker"),
    [("<v Ann>", "Ann"), ("Ann: ", "Ann"), ("[ANN] ", "ANN"), ("田中：", "田中"), ("", UNKNOWN_SPEAKER)],
)
def test_growing_cues_yield_each_word_once(name: str, speaker: str, others: bool) -> None:
    read = read_growing_cues(name, others=others)
    assert [(cue.speaker, cue.text) for cue in read.cues][:3] == [
        (speaker, "we look"),
        (speaker, "at costs"),
        (speaker, "and plans"),
    ]
    assert len(read.cues) == (8 if others else 3)
    assert [issue.lost_speech for issue in read.issues] == [False]


@pytest.mark.parametrize("name", ["", "<v Ann>", "Ann: "])
def test_a_cue_repeated_for_a_moment_is_no_speech(name: str) -> None:
    cues = [(1.0, 2.0, "Yes."), (2.0, 2.01, "Yes."), (2.01, 3.0, "No."), (3.0, 3.01, "No."), (3.01, 4.0, "No.")]
    read = read_rolling_cues(*((start, end, name + text) for start, end, text in cues))
    assert [(cue.text, cue.start) for cue in read.cues] == [("Yes.", 1.0), ("No.", 2.01), ("No.", 3.01)]
    assert [issue.lost_speech for issue in read.issues] == [False]


# --- speakers ---


@pytest.mark.parametrize("form", [make_vtt, make_srt])
@pytest.mark.parametrize(
    ("payloads", "expected", "speakers"),
    [
        (["Ann Lee: Hi.", "Bob: Hi: you."], [("Ann Lee", "Hi."), ("Bob", "Hi: you.")], NAMED),
        (["Ann:\nHi.", "Bob: Yes."], [("Ann", "Hi."), ("Bob", "Yes.")], NAMED),
        # A cue without speech, or with a sound, has no effect on the others.
        (["Ann: Hi.", "Ann: ", "Bob: No."], [("Ann", "Hi."), ("Bob", "No.")], NAMED),
        (["Ann: Hi.", "[Music]", "Bob: No."], [("Ann", "Hi."), (UNKNOWN_SPEAKER, "[Music]"), ("Bob", "No.")], NAMED),
        (["Ann: Hi.", "♪ la la ♪", "Bob: No."], [("Ann", "Hi."), (UNKNOWN_SPEAKER, "♪ la la ♪"), ("Bob", "No.")], NAMED),
        # Names where the speaker changes.
        (
            ["Speaker 1: Good day.", "The first point.", "Speaker 2: When?", "Speaker 1: Later."],
            [("Speaker 1", "Good day."), ("Speaker 1", "The first point."), ("Speaker 2", "When?"), ("Speaker 1", "Later.")],
            GUESSED,
        ),
        (
            ["Ann: Hi.", "and", "Ann: bye", "Note: this matters."],
            [("Ann", "Hi."), ("Ann", "and"), ("Ann", "bye"), ("Ann", "Note: this matters.")],
            GUESSED,
        ),
        # The first speaker has no name.
        (["Well.", "Ann: Hi.", "Ann: Bye."], [(UNKNOWN_SPEAKER, "Well."), ("Ann", "Hi."), ("Ann", "Bye.")], NAMED),
        # Words before a colon that are not a name.
        (
            ["So", "Note: this matters.", "At 10:30."],
            [(UNKNOWN_SPEAKER, "So"), (UNKNOWN_SPEAKER, "Note: this matters."), (UNKNOWN_SPEAKER, "At 10:30.")],
            UNKNOWN,
        ),
        (
            ["My mother told me: be brave.", "My father said nothing.", "My mother told me: be kind.", "That is all."],
            [(UNKNOWN_SPEAKER, "My mother told me: be brave."), (UNKNOWN_SPEAKER, "My father said nothing."),
             (UNKNOWN_SPEAKER, "My mother told me: be kind."), (UNKNOWN_SPEAKER, "That is all.")],
            UNKNOWN,
        ),
        (
            ["Mein Vater sagte: geh.", "Dann ging ich.", "Mein Vater sagte: bleib.", "Das ist alles."],
            [
                (UNKNOWN_SPEAKER, "Mein Vater sagte: geh."),
                (UNKNOWN_SPEAKER, "Dann ging ich."),
                (UNKNOWN_SPEAKER, "Mein Vater sagte: bleib."),
                (UNKNOWN_SPEAKER, "Das ist alles."),
            ],
            UNKNOWN,
        ),
        # Two speakers in a cue, on lines of their own.
        (
            ["MAN 1: Got it? Now!\nMAN 2: Yeah.", "MAN 2: Where to?", "Go left.\nMAN 1: No, right."],
            [("MAN 1", "Got it? Now!"), ("MAN 2", "Yeah."), ("MAN 2", "Where to?"), ("MAN 2", "Go left."),
             ("MAN 1", "No, right.")],
            GUESSED,
        ),
        (["- ANN: Ready?\n- BOB: Yes.", "ANN: Go."], [("ANN", "Ready?"), ("BOB", "Yes."), ("ANN", "Go.")], NAMED),
        (["ANN: Ready to\ngo?\nBOB: Yes.", "BOB: Go."], [("ANN", "Ready to go?"), ("BOB", "Yes."), ("BOB", "Go.")], NAMED),
        (["-ANN: Ready?\n-BOB: Yes.", "It is late."], [("ANN", "Ready?"), ("BOB", "Yes."), ("BOB", "It is late.")], GUESSED),
        (["ANN: Ready? BOB: Yes.", "Go.", "BOB: So."], [("ANN", "Ready?"), ("BOB", "Yes."), ("BOB", "Go."), ("BOB", "So.")],
         GUESSED),
        (["ANN: You got it? BOB: Yeah.", "BOB: Where to?", "ANN: Go left. BOB: No."],
         [("ANN", "You got it?"), ("BOB", "Yeah."), ("BOB", "Where to?"), ("ANN", "Go left."), ("BOB", "No.")], GUESSED),
        (["Ann: Ready? Bob Ray: Yes.", "Bob Ray: Go."], [("Ann", "Ready?"), ("Bob Ray", "Yes."), ("Bob Ray", "Go.")], GUESSED),
        # Neither name begins a line.
        (["Ann: Ready? Bob: Yes.", "Ann: Go. Bob: No."], [("Ann", "Ready?"), ("Bob", "Yes."), ("Ann", "Go."), ("Bob", "No.")],
         GUESSED),
        (["ANN: yeah so BOB: where to", "BOB: left"], [("ANN", "yeah so"), ("BOB", "where to"), ("BOB", "left")], GUESSED),
        (["ANN: You got it?\nBOB: Yeah. ANN: Good.", "BOB: Where?"],
         [("ANN", "You got it?"), ("BOB", "Yeah."), ("ANN", "Good."), ("BOB", "Where?")], GUESSED),
        (["Dr. Lee: I see. Mr. Ray: Yes.", "Mr. Ray: Good."], [("Dr. Lee", "I see."), ("Mr. Ray", "Yes."), ("Mr. Ray", "Good.")],
         GUESSED),
        (["- ANN: Ready? - BOB: Yes.", "ANN: Go."], [("ANN", "Ready?"), ("BOB", "Yes."), ("ANN", "Go.")], GUESSED),
        (["[ANN] Ready? [BOB] Yes.", "[BOB] Go."], [("ANN", "Ready?"), ("BOB", "Yes."), ("BOB", "Go.")], GUESSED),
        (["田中：はい。佐藤：いいえ。", "佐藤：そう。"], [("田中", "はい。"), ("佐藤", "いいえ。"), ("佐藤", "そう。")], GUESSED),
        # It may be a name. It may also be a part of the speech.
        (["Ann: So. Paris: it is fine.", "Bob: Yes."], [("Ann", "So. Paris: it is fine."), ("Bob", "Yes.")], GUESSED),
        (["Ann: So. Note: it is fine.", "Bob: Yes."], [("Ann", "So. Note: it is fine."), ("Bob", "Yes.")], NAMED),
        # A sound before a name.
        (["Bob: Hi.", "[Music] Ann: Thanks.", "Bob: Bye."],
         [("Bob", "Hi."), (UNKNOWN_SPEAKER, "[Music]"), ("Ann", "Thanks."), ("Bob", "Bye.")], NAMED),
        (["Bob: Hi.", "(door slams) Ann: Thanks.", "♪ la la ♪ Bob: Bye."],
         [("Bob", "Hi."), (UNKNOWN_SPEAKER, "(door slams)"), ("Ann", "Thanks."), (UNKNOWN_SPEAKER, "♪ la la ♪"), ("Bob", "Bye.")],
         NAMED),
        (["[BOB] Hi.", "[Music] [ANN] Thanks.", "[BOB] Bye."],
         [("BOB", "Hi."), (UNKNOWN_SPEAKER, "[Music]"), ("ANN", "Thanks."), ("BOB", "Bye.")], GUESSED),
        # The arrows of live captioning.
        (["&gt;&gt; Ann: One.", "two.", "&gt;&gt; Bob: Three.", "&gt;&gt; Four.", "five."],
         [("Ann", "One."), ("Ann", "two."), ("Bob", "Three."), (UNKNOWN_SPEAKER, ">> Four."), (UNKNOWN_SPEAKER, "five.")], GUESSED),
        (["&gt;&gt; Ann: One.", "&gt;&gt; Bob: Two."], [("Ann", "One."), ("Bob", "Two.")], NAMED),
        (["1: first", "2: second"], [("1", "first"), ("2", "second")], GUESSED),
        # Lowercase names.
        (["ann: one", "bob: two", "ann: three\nmore"], [("ann", "one"), ("bob", "two"), ("ann", "three more")], GUESSED),
        (["Anne : Oui.", "Paul\u00a0: Non."], [("Anne", "Oui."), ("Paul", "Non.")], NAMED),
        (["<b>Ann:</b><br>Hi.", "<b>Bob:</b> Yes."], [("Ann", "Hi."), ("Bob", "Yes.")], NAMED),
        # No name follows a line break within a sentence.
        (
            ["ANN: I told him of\nParis: it is fine.", "BOB: Yes.", "ANN: So?"],
            [("ANN", "I told him of Paris: it is fine."), ("BOB", "Yes."), ("ANN", "So?")],
            GUESSED,
        ),
        # Another speaker, without a name.
        (["ANN: Ready?", "- Yes.", "ANN: Go."], [("ANN", "Ready?"), (UNKNOWN_SPEAKER, "- Yes."), ("ANN", "Go.")], NAMED),
        (["[ANN] One.", "(Bob) Two.", "[ANN] Three."], [("ANN", "One."), ("Bob", "Two."), ("ANN", "Three.")], GUESSED),
        (["【田中】はい。", "【佐藤】いいえ。"], [("田中", "はい。"), ("佐藤", "いいえ。")], GUESSED),
        *((
            [f"{form[0]}田中{form[1]}はい。", f"{form[0]}佐藤{form[1]}いいえ。", f"{form[0]}田中{form[1]}うん。"],
            [("田中", "はい。"), ("佐藤", "いいえ。"), ("田中", "うん。")],
            GUESSED,
        ) for form in ("＜＞", "〈〉", "｛｝", "［］", "（）", "〔〕", "{}")),
        (["{Ann} One.", "{Bob} Two.", "{Ann} Three."], [("Ann", "One."), ("Bob", "Two."), ("Ann", "Three.")], GUESSED),
        # Names without a space behind the colon.
        (["Ann:Hello.", "Bob:Hi.", "Ann:Bye."], [("Ann", "Hello."), ("Bob", "Hi."), ("Ann", "Bye.")], NAMED),
        (["Ann:Hello.", "Bob: Hi.", "Ann: Bye."], [("Ann", "Hello."), ("Bob", "Hi."), ("Ann", "Bye.")], NAMED),
        (["田中:はい。", "佐藤:いいえ。"], [("田中", "はい。"), ("佐藤", "いいえ。")], NAMED),
        (["Ann:Hello.", "We go.", "Bob:Hi.", "At 10:30.", "Ann:Bye.", "Bob:Bye."],
         [("Ann", "Hello."), ("Ann", "We go."), ("Bob", "Hi."), ("Bob", "At 10:30."), ("Ann", "Bye."), ("Bob", "Bye.")], GUESSED),
        (["We use Re:Invent.", "Re:Invent is great.", "See C:\\x, http://a.b and std::x."],
         [(UNKNOWN_SPEAKER, "We use Re:Invent."), (UNKNOWN_SPEAKER, "Re:Invent is great."),
          (UNKNOWN_SPEAKER, "See C:\\x, http://a.b and std::x.")], UNKNOWN),
        (["田中：はい。", "佐藤：いいえ。"], [("田中", "はい。"), ("佐藤", "いいえ。")], NAMED),
        (["他说：好。", "我们走吧。", "他说：走。"],
         [(UNKNOWN_SPEAKER, "他说：好。"), (UNKNOWN_SPEAKER, "我们走吧。"), (UNKNOWN_SPEAKER, "他说：走。")], UNKNOWN),
        (["[laughs] I know.", "[Sighs] Yes.", "[Laughs] No."],
         [(UNKNOWN_SPEAKER, "[laughs] I know."), (UNKNOWN_SPEAKER, "[Sighs] Yes."), (UNKNOWN_SPEAKER, "[Laughs] No.")], UNKNOWN),
    ],
)  # fmt: skip
def test_speakers_without_voice_tags(
    form: object, payloads: list[str], expected: list[tuple[str, str]], speakers: Attribution
) -> None:
    read = parse_subtitles((make_vtt if form is make_vtt else make_srt)(*payloads))
    assert [(cue.speaker, cue.text) for cue in read.cues] == expected
    assert read.attribution is speakers


def test_names_of_off_screen_speakers_are_not_carried_over() -> None:
    """Only speakers off screen have names. A line without a name continues a named speaker only within a sentence."""
    lines = ["It is late."] * 20 + [
        "JOHN: Where are",
        "you going?",
        "I don't know.",
        "Look: a car.",
        "MARY: Out.",
        "JOHN: So?",
    ]
    read = parse_subtitles(
        "\n\n".join(
            f"{i}\n00:0{i // 6}:{i % 6}0,000 --> 00:0{i // 6}:{i % 6}5,000\n{line}" for i, line in enumerate(lines)
        )
    )
    assert [(cue.speaker, cue.text) for cue in read.cues[20:]] == [
        ("JOHN", "Where are"),
        ("JOHN", "you going?"),
        (UNKNOWN_SPEAKER, "I don't know."),
        (UNKNOWN_SPEAKER, "Look: a car."),
        ("MARY", "Out."),
        ("JOHN", "So?"),
    ]
    assert {cue.speaker for cue in read.cues[:20]} == {UNKNOWN_SPEAKER}
    assert read.attribution is GUESSED


@pytest.mark.parametrize(
    ("payloads", "expected", "speakers"),
    [
        (["<v Ann>Note: one", "<v Bob>Note: two"], [("Ann", "Note: one"), ("Bob", "Note: two")], NAMED),
        # A voice tag without a name is not the last speaker's.
        (["<v Ann>One.", "<v >Two.", "Three.", "<v Ann>Four."],
         [("Ann", "One."), (UNKNOWN_SPEAKER, "Two."), (UNKNOWN_SPEAKER, "Three."), ("Ann", "Four.")], NAMED),
        (["<v Ann>One.", "two", "<v>Three."], [("Ann", "One."), ("Ann", "two"), (UNKNOWN_SPEAKER, "Three.")], GUESSED),
        (["<v Ann>One.", "[Music]", "<v Bob>Two."], [("Ann", "One."), (UNKNOWN_SPEAKER, "[Music]"), ("Bob", "Two.")], NAMED),
        (["<v >Ann: One.", "<v >Bob: Two."], [("Ann", "One."), ("Bob", "Two.")], NAMED),
        (["<v >One.", "<v >Two."], [(UNKNOWN_SPEAKER, "One."), (UNKNOWN_SPEAKER, "Two.")], UNKNOWN),
    ],
)  # fmt: skip
def test_speakers_with_voice_tags(payloads: list[str], expected: list[tuple[str, str]], speakers: Attribution) -> None:
    read = parse_subtitles(make_vtt(*payloads))
    assert [(cue.speaker, cue.text) for cue in read.cues] == expected
    assert read.attribution is speakers


def test_long_name_is_truncated() -> None:
    ((name, text),) = read_speakers_and_texts(make_vtt(f"<v {'x' * 300}>Hi."))
    assert (name, text) == ("x" * 200, "Hi.")


# --- any text ---

PARTS = [
    *(
        "WEBVTT",
        "NOTE",
        "NOTE x",
        "STYLE",
        "1",
        "2",
        "3",
        "",
        "",
        " ",
        "\u200b",
        "Ann: Hi.",
        "Bob:",
        "[ANN] Yes.",
        "[Music]",
    ),
    *("00:00:01,000 --> 00:00:02,000", "00:03.000 --> 00:02.000", "0:soon --> 1", "-->", "<v Ann>Hi", "</v>", "<v >x"),
    *(
        "♪",
        ">> Ann: Hi",
        "- Yes.",
        "我们开始。",
        "We start.",
        "{\\an8}",
        "&gt;",
        "<i>x</i>",
        "<lang pt>x</lang>",
        "Hi.",
        "\0",
    ),
]


@given(st.lists(st.sampled_from(PARTS) | st.text(max_size=12), max_size=40).map("\n".join))
def test_any_text_is_parsed_or_rejected(text: str) -> None:
    try:
        read = parse_subtitles(text, detect_language)
    except InvalidInputError:
        return
    lines = len(re.split(r"\r+\n|\r|\n", text))
    for cue in read.cues:
        assert cue.end >= cue.start
        assert is_visible(cue.text)
        assert is_visible(cue.speaker)
    assert all(1 <= remark.line <= lines for remark in read.issues)
    assert list(read.issues) == sorted(read.issues)
