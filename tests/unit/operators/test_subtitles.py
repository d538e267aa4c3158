"""operators/subtitles.py: what is written reads back, here and elsewhere; files by others are read, or refused with the place."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import replace
from io import StringIO

import pytest
import srt
from hypothesis import given
from hypothesis import strategies as st
from webvtt import WebVTT

from operators.errors import Invalid
from operators.subtitles import NOBODY, Cue, Translated, read_srt, read_vtt, write_srt, write_vtt

# --- what is written reads back ---

NASTY = [
    *("-->", "00:00:01.000 --> 00:00:02.000", "1\n00:00:01,000 --> 00:00:02,000\nx", "WEBVTT", "NOTE", "STYLE"),
    *("<v Bob>", "</v>", "<b>", "</i>", "<i", "<i>x</i>", "<c.x>", "<lang pt>", "</lang>", "<00:00:01.000>", "{\\an8}"),
    *(
        "&",
        "&amp;",
        "&lt;i&gt;",
        "&#60;",
        "&notin;",
        "R&notes",
        "<",
        ">",
        "\n\n",
        "\r\n",
        "\t",
        "\u2028",
        "\x0b",
        "\x1c",
    ),
    *(
        ": ",
        ":",
        "Note: this",
        "A:",
        "12",
        "e\u0301",
        "שלום",
        "\u202eevil",
        "مرحبا",
        "日本語。",
        "👩‍👩‍👧",
        "\ufeff",
        "{",
        "\\",
    ),
]
RAW = st.lists(st.sampled_from(NASTY) | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8))
SPOKEN = RAW.map(" ".join).filter(lambda text: bool(text.strip()))
NAMES = SPOKEN.map(lambda name: name.strip()[:200])


@st.composite
def cue_lists(draw: st.DrawFn, hours: int = 99) -> list[Cue]:
    """Cues in order of their start, all with a translation or all without."""
    translated = draw(st.booleans())
    seconds = st.floats(0, hours * 3600, allow_nan=False)
    cues: list[Cue] = []
    for start in sorted(draw(st.lists(seconds, min_size=1, max_size=5))):
        end = start + draw(st.sampled_from([0.0, 0.0004, 0.001, 1.5]) | st.floats(0, 100))
        translation = Translated("pt-BR", draw(SPOKEN)) if translated else None
        cues.append(Cue(draw(NAMES), draw(SPOKEN), start, end, translation))
    return cues


def line(text: str) -> str:
    return " ".join(text.split())


def as_read(cue: Cue, speaker: str | None = None) -> Cue:
    """A cue as it must read back: on one line, in milliseconds, with a length, and without its translation."""
    start = round(cue.start * 1000)
    end = max(round(cue.end * 1000), start + 1)
    return Cue(line(cue.speaker if speaker is None else speaker), line(cue.text), start / 1000, end / 1000)


def srt_speaker(cue: Cue) -> str:
    return line(cue.speaker).replace(": ", ", ")


@given(cue_lists())
def test_vtt_reads_back_and_is_vtt_to_others(cues: list[Cue]) -> None:
    text = write_vtt(cues, "Monday\n\n00:00 --> 00:01 (en)")
    assert read_vtt(text) == [as_read(cue) for cue in cues]
    read = WebVTT.from_string(text)
    assert len(read.header_comments) == 1
    assert [
        (caption.voice, caption.lines, caption.start_time.in_seconds(), caption.start_time.milliseconds)
        for caption in read
    ] == [
        (
            html.escape(line(cue.speaker), quote=False),
            _vtt_lines(cue),
            *divmod(round(cue.start * 1000), 1000),
        )
        for cue in cues
    ]
    assert all(caption.end_time > caption.start_time for caption in read)


def _vtt_lines(cue: Cue) -> list[str]:
    name, said = (html.escape(line(text), quote=False) for text in (cue.speaker, cue.text))
    if cue.translation is None:
        return [f"<v {name}>{said}</v>"]
    return [f"<v {name}>{said}", f"<lang pt-BR>{html.escape(line(cue.translation.text), quote=False)}</lang></v>"]


@given(cue_lists())
def test_srt_reads_back_and_is_srt_to_others(cues: list[Cue]) -> None:
    text = write_srt(cues)
    assert read_srt(text) == [as_read(cue, srt_speaker(cue)) for cue in cues]
    subtitles = list(srt.parse(text))
    assert [subtitle.index for subtitle in subtitles] == list(range(1, len(cues) + 1))
    by_another = WebVTT.from_buffer(StringIO(text), format="srt")
    for cue, subtitle, caption in zip(cues, subtitles, by_another, strict=True):
        spoken, *translation = subtitle.content.split("\n")
        assert caption.lines == [spoken, *translation]
        assert len(translation) == (cue.translation is not None)
        assert subtitle.end > subtitle.start


@given(cue_lists(hours=7 * 24))
def test_a_meeting_may_last_a_week(cues: list[Cue]) -> None:
    plain = [replace(cue, speaker="Ann", translation=None) for cue in cues]
    assert read_vtt(write_vtt(plain, "Week")) == read_srt(write_srt(plain)) == [as_read(cue) for cue in plain]


def test_vtt_as_it_is_written() -> None:
    cues = [
        Cue("Ann <Sales>", "R&D --> done.\n\nNext?", 1.0, 3661.5, Translated("pt", "P&D --> feito. E agora?")),
        Cue("Bob", "Yes.", 100 * 3600, 100 * 3600, Translated("pt", "Sim.")),
    ]
    assert write_vtt(cues, "Monday (en, pt)") == (
        "WEBVTT\n\nNOTE Monday (en, pt)\n\n"
        "00:00:01.000 --> 01:01:01.500\n"
        "<v Ann &lt;Sales&gt;>R&amp;D --&gt; done. Next?\n<lang pt>P&amp;D --&gt; feito. E agora?</lang></v>\n\n"
        "100:00:00.000 --> 100:00:00.001\n<v Bob>Yes.\n<lang pt>Sim.</lang></v>\n"
    )


def test_srt_as_it_is_written() -> None:
    cues = [
        Cue("Ann: Sales", "R&D < 3, AT&T; <b>no</b> {\\an8}\n\nNext?", 1.0, 3661.5, Translated("pt", "<3")),
        Cue("Bob", "Yes.", 2.0, 2.0, Translated("pt", "Sim.")),
    ]
    assert write_srt(cues) == (
        "1\n00:00:01,000 --> 01:01:01,500\n"
        "Ann, Sales: R&D < 3, AT&#38;T; &#60;b>no&#60;/b> &#123;\\an8} Next?\n<i><3</i>\n\n"
        "2\n00:00:02,000 --> 00:00:02,001\nBob: Yes.\n<i>Sim.</i>\n\n"
    )


def test_no_cues_are_a_file_too() -> None:
    assert write_vtt([], "Monday") == "WEBVTT\n\nNOTE Monday\n"
    assert write_srt([]) == ""


def test_a_file_has_all_translations_or_none() -> None:
    cues = [Cue("Ann", "One.", 0, 1, Translated("pt", "Um.")), Cue("Ann", "Two.", 1, 2)]
    for write in (lambda: write_vtt(cues, "x"), lambda: write_srt(cues)):
        with pytest.raises(Invalid, match="translation: must be there for every cue or for none"):
            write()


# --- files by others ---


def said(cues: list[Cue]) -> list[tuple[str, str]]:
    return [(cue.speaker, cue.text) for cue in cues]


def vtt(*payloads: str) -> str:
    cues = (f"00:0{i}.000 --> 00:0{i}.900\n{payload}" for i, payload in enumerate(payloads))
    return "\n\n".join(["WEBVTT", *cues])


def subrip(*payloads: str) -> str:
    return "\n\n".join(f"{i}\n00:00:0{i},000 --> 00:00:0{i},900\n{payload}" for i, payload in enumerate(payloads, 1))


def test_vtt_with_all_that_may_be_in_it() -> None:
    text = "\r\n".join(
        [
            *("\ufeffWEBVTT - Weekly", "Kind: captions", "Language: en", ""),
            *(
                "STYLE",
                "::cue { color: red }",
                "",
                "REGION",
                "id:fred",
                "",
                "NOTE",
                "00:01.000 --> 00:02.000",
                "no",
                "",
            ),
            *(
                "1",
                "00:01.500 --> 01:00:02.000 align:start position:0%",
                "<v.loud Ann Lee>So <b>we</b>",
                "  agree.</v>",
                "",
            ),
            *(
                "00:03.000 --> 00:04.000",
                "<v Bob><c.x>R&amp;D&nbsp;is</c> <00:03.500><ruby>fun<rt>not said</rt></ruby></v>",
                "",
            ),
            *("NOTE in between", "", "00:05,000 --> 00:05,000", "<i>Goes</i> on &lt;here&gt;.", ""),
            *(
                "00:06.000 --> 00:07.000",
                "<v Ann Lee>Yes?</v>",
                "<v Bob>No: never.",
                "",
                "00:08.000 --> 00:09.000",
                "",
                "",
            ),
        ]
    )
    assert read_vtt(text) == [
        Cue("Ann Lee", "So we agree.", 1.5, 3602.0),
        Cue("Bob", "R&D is fun", 3.0, 4.0),
        Cue("Bob", "Goes on <here>.", 5.0, 5.0),
        Cue("Ann Lee", "Yes?", 6.0, 7.0),
        Cue("Bob", "No: never.", 6.0, 7.0),
    ]


def test_srt_with_all_that_may_be_in_it() -> None:
    text = (
        "\ufeff1\r\n00:00:01,500 --> 00:00:02,000 X1:40\r\n{\\an8}<font color=#fff>Ann:</font> So <b>we</b>\r\n"
        "agree.\r\n\r\n2\r\n00:00:03.000 --> 00:00:04.000\r\n<i>R&amp;D\r\n\r\nis fun.</i>\r\n\r\n"
        "3\r\n00:00:05,000 --> 00:00:06,000\r\n<i></i>\r\n\r\n4\r\n00:00:07,000 --> 00:00:08,000\r\nAnn: Bye."
    )
    assert read_srt(text) == [
        Cue("Ann", "So we agree.", 1.5, 2.0),
        Cue("Ann", "R&D is fun.", 3.0, 4.0),
        Cue("Ann", "Bye.", 7.0, 8.0),
    ]


@pytest.mark.parametrize(("file", "read"), [(vtt, read_vtt), (subrip, read_srt)])
def test_prefixes_are_speakers_where_they_are_a_habit(
    file: Callable[..., str], read: Callable[[str], list[Cue]]
) -> None:
    def speakers(*payloads: str) -> list[tuple[str, str]]:
        return said(read(file(*payloads)))

    assert speakers("Ann Lee: Hi.", "Bob: Hi: you.") == [("Ann Lee", "Hi."), ("Bob", "Hi: you.")]
    assert speakers("Ann: Hi.", "and", "Ann: bye", "Note: this matters.") == [
        ("Ann", "Hi."),
        ("Ann", "and"),
        ("Ann", "bye"),
        ("Ann", "Note: this matters."),
    ]
    assert speakers("So", "Note: this matters.", "At 10:30.") == [
        (NOBODY, "So"),
        (NOBODY, "Note: this matters."),
        (NOBODY, "At 10:30."),
    ]
    assert speakers("Well.", "Ann: Hi.", "Ann: Bye.") == [(NOBODY, "Well."), ("Ann", "Hi."), ("Ann", "Bye.")]
    assert speakers("Ann:\nHi.", "Bob: Yes.") == [("Ann", "Hi."), ("Bob", "Yes.")]


def test_voices_make_prefixes_text() -> None:
    assert said(read_vtt(vtt("<v Ann>Note: one", "<v>Note: two", "<v Bob>Note: three"))) == [
        ("Ann", "Note: one"),
        ("Ann", "Note: two"),
        ("Bob", "Note: three"),
    ]


def test_tags_of_a_translation_are_only_tags_where_not_every_cue_has_one() -> None:
    french = vtt("<v Ann>He said\n<lang fr>bonjour</lang></v>", "<v Ann>and <lang fr>adieu</lang></v>")
    assert said(read_vtt(french)) == [("Ann", "He said bonjour"), ("Ann", "and adieu")]
    italics = subrip("Ann: He said\n<i>a thing.</i>", "<i>All of it\nis in italics.</i>")
    assert said(read_srt(italics)) == [(NOBODY, "Ann: He said a thing."), (NOBODY, "All of it is in italics.")]


def test_lines_of_a_script_without_spaces_are_joined_without_one() -> None:
    assert said(read_srt(subrip("今日は\n天気です。"))) == [(NOBODY, "今日は天気です。")]


def test_only_closed_references_are_read() -> None:
    assert said(read_srt(subrip("R&notes, AT&T; &lt;ok&gt; &#x1F600; &copy;"))) == [
        (NOBODY, "R&notes, AT&T; <ok> 😀 ©")
    ]


@pytest.mark.parametrize(
    ("text", "place", "fix"),
    [
        ("", "line 1", "must begin with WEBVTT"),
        ("1\n00:00.000 --> 00:01.000\nHi", "line 1", "must begin with WEBVTT"),
        ("WEBVTTX\n", "line 1", "must begin with WEBVTT"),
        ("WEBVTT\n\nNOTE nothing\n", "cues", "none with text"),
        (vtt("Hi") + "\n\n00:01.0 --> 00:02.000\nBye", "line 6", "must be the times of a cue"),
        (vtt("Hi") + "\n\nthere", "line 6", "belongs to no cue"),
        (vtt("Hi") + "\n00:01.000 --> 00:02.000\nBye", "line 5", "leave a blank line above"),
        (vtt("Hi") + "\n2\n00:01.000 --> 00:02.000\nBye", "line 6", "leave a blank line above"),
        ("WEBVTT\nKind: x\n00:01.000 --> 00:02.000\nBye", "line 3", "leave a blank line above"),
        ("WEBVTT\n\n00:03.000 --> 00:02.000\nBye", "line 3", "must not end before it starts"),
    ],
)
def test_vtt_that_can_not_be_read_is_refused_with_its_line(text: str, place: str, fix: str) -> None:
    with pytest.raises(Invalid, match=fix) as caught:
        read_vtt(text)
    assert caught.value.field == place


@pytest.mark.parametrize(
    ("text", "place", "fix"),
    [
        ("", "cues", "none with text"),
        ("1\n00:00:01,000 --> 00:00:02,000\n<i> </i>", "cues", "none with text"),
        ("Dear all,\n\nhello", "line 1", "must begin a cue"),
        ("\n\n" + subrip("Hi").replace("-->", "->"), "line 1", "must begin a cue"),
        ("x\n\n" + subrip("Hi", "Bye"), "line 1", "must begin a cue"),
        (subrip("Hi", "there", "Bye").replace("00:00:02,000", "0:soon"), "cue 2", "must have times such as"),
        (subrip("Hi", "Bye").replace("00:00:02,900", "00:00:01,900"), "cue 2", "must not end before it starts"),
        (subrip("Hi", "Bye").replace("00:00:02,900", f"{'9' * 12}:00:00,000"), "cue 2", "must have times such as"),
    ],
)
def test_srt_that_can_not_be_read_is_refused_with_its_place(text: str, place: str, fix: str) -> None:
    with pytest.raises(Invalid, match=fix) as caught:
        read_srt(text)
    assert caught.value.field == place
