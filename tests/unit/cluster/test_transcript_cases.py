"""Subtitle files as people have them (`tests/cases/transcripts`), read as recordings, with what is wanted of each."""

from __future__ import annotations

import json

import pytest

from cluster.recording import read_recording
from operators.errors import Invalid
from operators.model import MeetingConfig
from operators.subtitles import NOBODY, Attribution
from serve.names import missing_names
from tests.harness.cases import BESIDE, OWN
from tests.harness.speech import chunk, log, run

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
    "s33_lrm_en.srt": (
        [(NOBODY, "Hello all.\u200e"), (NOBODY, "We start now.\ufeff"), (NOBODY, "Good.\u2060 Then go.\u200b Bye.")],
        Attribution.UNKNOWN,
    ),
    "s35_music_end.srt": (
        [
            (NOBODY, "We did it. 🎉"),
            (NOBODY, "Great job!👏👏"),
            (NOBODY, "Thank you.*"),
            (NOBODY, "♪ We are one. ♪"),
            (NOBODY, "See you.[1]"),
            (NOBODY, "Bye.—"),
        ],
        Attribution.UNKNOWN,
    ),
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


SENTENCES = {
    "s33_lrm_en.srt": ["Hello all.\u200e", "We start now.\ufeff", "Good.\u2060", "Then go.\u200b", "Bye."],
    "s35_music_end.srt": ["We did it. 🎉", "Great job!👏👏", "Thank you.*", "♪ We are one. ♪", "See you.[1]", "Bye.—"],
    # What was said of a closed chunk under another name, or later, is late and changes nothing.
    "q12_rename_after_horizon.jsonl": ["We should ship it.", "I agree with that.", "On Friday then."],
    "q12c_late_same_start.jsonl": ["We should ship it.", "On Friday then."],
    # Words that two chunks share are kept: nothing tells them from words that were said twice.
    "q02_overlap_words.jsonl": [
        "The quick brown fox jumps over fox jumps over the lazy dog.",
        "That is what kept me me going.",
    ],
}
LATE = {"q12_rename_after_horizon.jsonl": 2, "q12c_late_same_start.jsonl": 1}


@pytest.mark.parametrize("name", SENTENCES)
def test_a_recording_has_its_sentences(name: str) -> None:
    events = read_recording(OWN / name).events
    outcome = run(log([(event.at, event.chunk) for event in events], config=MeetingConfig(source_language="en")))
    standing = sorted(outcome.standing.values(), key=lambda sentence: (sentence.start, sentence.end))
    assert [sentence.text for sentence in standing] == SENTENCES[name]
    assert sum(update.late is not None for update, _ in outcome.steps) == LATE.get(name, 0)


def test_an_address_that_was_changed_is_doubted() -> None:
    texts = json.loads((OWN / "a20_addresses.json").read_text(encoding="utf-8"))["texts"]
    changes = [("aaa now", "aaaa now"), ("@bob_ray", "-bob_ray"), ("plan_v2.docx", "plan_v3.docx")]
    for said, change in zip(texts, changes, strict=True):
        assert change[0] in said
        assert missing_names(said, said, "en", "pt") == []
        assert missing_names(said, said.replace(*change), "en", "pt") != []


def test_one_endless_word_is_cut() -> None:
    case = json.loads((OWN / "a22_one_word.json").read_text(encoding="utf-8"))
    assert case["want"] == "pieces of bounded length"
    pieces = run(log([(60.0, chunk("1", "ha" * 5_000, end=60))])).texts()
    assert "".join(pieces) == "ha" * 5_000
    assert max(map(len, pieces)) <= 600


SUBTITLES = sorted(path for path in BESIDE.glob("*") if path.suffix in (".srt", ".vtt"))


@pytest.mark.skipif(not SUBTITLES, reason=f"no transcripts are at {BESIDE} (set PARLEY_CASES)")
def test_every_case_at_hand_is_read() -> None:
    """None of them is refused, and none loses all that was said."""
    assert all(read_recording(path).events for path in SUBTITLES)
