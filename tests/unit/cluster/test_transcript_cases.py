"""Subtitle files as people have them (`tests/cases/transcripts`), read as recordings, with what is wanted of each."""

from __future__ import annotations

import pytest

from cluster.recording import read_recording
from operators.errors import Invalid
from operators.subtitles import NOBODY, Attribution
from tests.harness.cases import BESIDE, OWN

WANTED = {
    "s12_two_names_in_cue.srt": (
        [
            ("MAN 1", "You got it? Now!"),
            ("MAN 2", "Yeah."),
            ("MAN 2", "Where to?"),
            ("MAN 2", "Go left."),
            ("MAN 1", "No, right."),
        ],
        Attribution.GUESSED,
    ),
    "s16_utf16.srt": ([(NOBODY, "Ça va très bien.")], Attribution.UNKNOWN),
    "s24_name_only_on_change.srt": (
        [
            ("Speaker 1", "Good day, let us start with the agenda."),
            ("Speaker 1", "The first point is the budget."),
            ("Speaker 2", "I have a question on dates."),
            ("Speaker 1", "I will answer after the break."),
        ],
        Attribution.GUESSED,
    ),
    "s25_colon_twice.srt": (
        [
            (NOBODY, "My mother told me: be brave."),
            (NOBODY, "And my father said nothing."),
            (NOBODY, "My mother told me: be kind."),
            (NOBODY, "That is all I know."),
        ],
        Attribution.UNKNOWN,
    ),
    "s28_bracket_names.srt": (
        [("ANN", "One here."), ("Bob", "Two here."), ("ANN", "Three here.")],
        Attribution.GUESSED,
    ),
    "s29_vtt_in_srt.srt": ([("Ann", "One here.")], Attribution.NAMED),
    "s36_zoom_empty_cue.vtt": (
        [("Ann Lee", "Good morning."), ("Bob Ray", "I vote no."), ("Ann Lee", "Thank you, Bob.")],
        Attribution.NAMED,
    ),
    "s40_bilingual_lines.srt": (
        [(NOBODY, "We start with the budget."), (NOBODY, "Then we go on.")],
        Attribution.UNKNOWN,
    ),
    "v03_rolling.srt": (
        [(NOBODY, "good morning all today"), (NOBODY, "we look at costs"), (NOBODY, "and then at plans")],
        Attribution.UNKNOWN,
    ),
    "v04_end_before_start.vtt": (
        [(NOBODY, "One is here."), (NOBODY, "Two is here."), (NOBODY, "Three is here.")],
        Attribution.UNKNOWN,
    ),
    "v31_teams_graph_unattributed.vtt": ([(NOBODY, "One here."), (NOBODY, "Two here.")], Attribution.UNKNOWN),
    "v35_space_line_in_cue.vtt": ([("Ann", "First part second part."), ("Bob", "Then this.")], Attribution.NAMED),
    "v38_cueid_note.vtt": ([("Ann", "First part."), ("Bob", "Then this."), ("Bob", "And this.")], Attribution.NAMED),
    "v39_zwsp_cue_only.vtt": ([("Bob", "Then this.")], Attribution.NAMED),
}


def test_each_case_is_wanted() -> None:
    assert {path.name for path in OWN.iterdir() if path.suffix in {".srt", ".vtt"}} == WANTED.keys()


@pytest.mark.parametrize("name", WANTED)
def test_a_case_is_read_as_it_is_wanted(name: str) -> None:
    recording = read_recording(OWN / name)
    cues, speakers = WANTED[name]
    assert [(event.chunk.speaker, event.chunk.text) for event in recording.events] == cues
    assert recording.speakers is speakers


def test_what_is_left_out_and_mended_is_told_with_its_line() -> None:
    told = {name: read_recording(OWN / name).remarks for name in WANTED}
    assert {name: [(r.line, r.left_out) for r in remarks] for name, remarks in told.items() if remarks} == {
        "s40_bilingual_lines.srt": [(2, True)],
        "v03_rolling.srt": [(6, False)],
        "v04_end_before_start.vtt": [(6, False)],
    }


def test_strict_refuses_what_leaves_something_out_and_nothing_else() -> None:
    for name in WANTED.keys() - {"s40_bilingual_lines.srt"}:
        assert read_recording(OWN / name, strict=True) == read_recording(OWN / name)
    path = OWN / "s40_bilingual_lines.srt"
    with pytest.raises(Invalid, match="each cue is there in pt as well: 2 lines are left out") as caught:
        read_recording(path, strict=True)
    assert caught.value.field == f"{path}: line 2"


SUBTITLES = sorted(path for path in BESIDE.glob("*") if path.suffix in (".srt", ".vtt"))


@pytest.mark.skipif(not SUBTITLES, reason=f"no transcripts are at {BESIDE} (set PARLEY_CASES)")
def test_every_case_at_hand_is_read() -> None:
    """None of them is refused, and none loses all that was said."""
    assert all(read_recording(path).events for path in SUBTITLES)
