"""VTT and SRT files of Parley are read back unchanged, by Parley and by other parsers."""

from __future__ import annotations

import html
from dataclasses import replace
from io import StringIO

import pytest
import srt
from hypothesis import given
from hypothesis import strategies as st
from webvtt import WebVTT

from operators.errors import InvalidInputError
from operators.subtitles import Cue, CueTranslation, parse_subtitles, write_srt, write_vtt
from operators.subtitles.markup import is_visible

# --- round trip ---

HOSTILE_TEXTS = [
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
RAW = st.lists(
    st.sampled_from(HOSTILE_TEXTS) | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
)
# A text of format characters alone is invisible.
SHOWN_TEXTS = RAW.map(" ".join).filter(is_visible)
NAMES = SHOWN_TEXTS.map(lambda name: name.strip()[:200]).filter(is_visible)


@st.composite
def cue_lists(draw: st.DrawFn, hours: int = 99) -> list[Cue]:
    """Draw cues in order of their start, all with a translation or all without."""
    translated = draw(st.booleans())
    seconds = st.floats(0, hours * 3600, allow_nan=False)
    cues: list[Cue] = []
    for start in sorted(draw(st.lists(seconds, min_size=1, max_size=5))):
        end = start + draw(st.sampled_from([0.0, 0.0004, 0.001, 1.5]) | st.floats(0, 100))
        translation = CueTranslation("pt-BR", draw(SHOWN_TEXTS)) if translated else None
        cues.append(Cue(draw(NAMES), draw(SHOWN_TEXTS), start, end, translation))
    return cues


def read_cues(text: str) -> list[Cue]:
    return list(parse_subtitles(text).cues)


def join_lines(text: str) -> str:
    return " ".join(text.split())


def expected_cue(cue: Cue, speaker: str | None = None) -> Cue:
    """Return the cue to expect after a round trip: on one line, in whole ms, at least 1 ms long, without translation."""
    start = round(cue.start * 1000)
    end = max(round(cue.end * 1000), start + 1)
    return Cue(join_lines(cue.speaker if speaker is None else speaker), join_lines(cue.text), start / 1000, end / 1000)


def srt_speaker(cue: Cue) -> str:
    return join_lines(cue.speaker).replace(": ", ", ")


@given(cue_lists())
def test_vtt_round_trip_and_other_parsers(cues: list[Cue]) -> None:
    text = write_vtt(cues, "Monday\n\n00:00 --> 00:01 (en)")
    assert read_cues(text) == [expected_cue(cue) for cue in cues]
    others = WebVTT.from_string(text)
    assert len(others.header_comments) == 1
    assert [
        (caption.voice, caption.lines, caption.start_time.in_seconds(), caption.start_time.milliseconds)
        for caption in others
    ] == [
        (
            html.escape(join_lines(cue.speaker), quote=False),
            _vtt_lines(cue),
            *divmod(round(cue.start * 1000), 1000),
        )
        for cue in cues
    ]
    assert all(caption.end_time > caption.start_time for caption in others)


def _vtt_lines(cue: Cue) -> list[str]:
    name, said = (html.escape(join_lines(text), quote=False) for text in (cue.speaker, cue.text))
    if cue.translation is None:
        return [f"<v {name}>{said}</v>"]
    return [f"<v {name}>{said}", f"<lang pt-BR>{html.escape(join_lines(cue.translation.text), quote=False)}</lang></v>"]


@given(cue_lists())
def test_srt_round_trip_and_other_parsers(cues: list[Cue]) -> None:
    text = write_srt(cues)
    assert read_cues(text) == [expected_cue(cue, srt_speaker(cue)) for cue in cues]
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
    assert read_cues(write_vtt(plain, "Week")) == read_cues(write_srt(plain)) == [expected_cue(cue) for cue in plain]


def test_vtt_output() -> None:
    cues = [
        Cue("Ann <Sales>", "R&D --> done.\n\nNext?", 1.0, 3661.5, CueTranslation("pt", "P&D --> feito. E agora?")),
        Cue("Bob", "Yes.", 100 * 3600, 100 * 3600, CueTranslation("pt", "Sim.")),
    ]
    assert write_vtt(cues, "Monday (en, pt)") == (
        "WEBVTT\n\nNOTE Monday (en, pt)\n\n"
        "00:00:01.000 --> 01:01:01.500\n"
        "<v Ann &lt;Sales&gt;>R&amp;D --&gt; done. Next?\n<lang pt>P&amp;D --&gt; feito. E agora?</lang></v>\n\n"
        "100:00:00.000 --> 100:00:00.001\n<v Bob>Yes.\n<lang pt>Sim.</lang></v>\n"
    )


def test_srt_output() -> None:
    cues = [
        Cue("Ann: Sales", "R&D < 3, AT&T; <b>no</b> {\\an8}\n\nNext?", 1.0, 3661.5, CueTranslation("pt", "<3")),
        Cue("Bob", "Yes.", 2.0, 2.0, CueTranslation("pt", "Sim.")),
    ]
    assert write_srt(cues) == (
        "1\n00:00:01,000 --> 01:01:01,500\n"
        "Ann, Sales: R&D < 3, AT&#38;T; &#60;b>no&#60;/b> &#123;\\an8} Next?\n<i><3</i>\n\n"
        "2\n00:00:02,000 --> 00:00:02,001\nBob: Yes.\n<i>Sim.</i>\n\n"
    )


def test_file_without_cues_can_be_written() -> None:
    assert write_vtt([], "Monday") == "WEBVTT\n\nNOTE Monday\n"
    assert write_srt([]) == ""


def test_a_file_has_all_translations_or_none() -> None:
    cues = [Cue("Ann", "One.", 0, 1, CueTranslation("pt", "Um.")), Cue("Ann", "Two.", 1, 2)]
    for write in (lambda: write_vtt(cues, "x"), lambda: write_srt(cues)):
        with pytest.raises(InvalidInputError, match="translation: must be present for every cue or for none"):
            write()
