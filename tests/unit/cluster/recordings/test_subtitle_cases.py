"""Real-world subtitle files (`tests/cases/transcripts`), read as recordings and compared with the expected results."""

from __future__ import annotations

import json

import pytest

from cluster.recordings.reader import read_recording
from operators.errors import InvalidInputError
from operators.meeting_config import MeetingConfig
from operators.subtitles import UNKNOWN_SPEAKER, Attribution
from serve.translation.quality.named_entities import missing_names
from tests.harness.data.regression_cases import EXTERNAL_TRANSCRIPTS, PROJECT_TRANSCRIPTS
from tests.harness.lane.operator_runs import make_chunk, make_items, run_operators

EXPECTED = {
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
    "s16_utf16.srt": ([(UNKNOWN_SPEAKER, "Ça va très bien.")], Attribution.UNKNOWN),
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
            (UNKNOWN_SPEAKER, "My mother told me: be brave."),
            (UNKNOWN_SPEAKER, "And my father said nothing."),
            (UNKNOWN_SPEAKER, "My mother told me: be kind."),
            (UNKNOWN_SPEAKER, "That is all I know."),
        ],
        Attribution.UNKNOWN,
    ),
    "s28_bracket_names.srt": (
        [("ANN", "One here."), ("Bob", "Two here."), ("ANN", "Three here.")],
        Attribution.GUESSED,
    ),
    "s29_vtt_in_srt.srt": ([("Ann", "One here.")], Attribution.NAMED),
    "s33_lrm_en.srt": (
        [
            (UNKNOWN_SPEAKER, "Hello all.\u200e"),
            (UNKNOWN_SPEAKER, "We start now.\ufeff"),
            (UNKNOWN_SPEAKER, "Good.\u2060 Then go.\u200b Bye."),
        ],
        Attribution.UNKNOWN,
    ),
    "s35_music_end.srt": (
        [
            (UNKNOWN_SPEAKER, "We did it. 🎉"),
            (UNKNOWN_SPEAKER, "Great job!👏👏"),
            (UNKNOWN_SPEAKER, "Thank you.*"),
            (UNKNOWN_SPEAKER, "♪ We are one. ♪"),
            (UNKNOWN_SPEAKER, "See you.[1]"),
            (UNKNOWN_SPEAKER, "Bye.—"),
        ],
        Attribution.UNKNOWN,
    ),
    "s36_zoom_empty_cue.vtt": (
        [("Ann Lee", "Good morning."), ("Bob Ray", "I vote no."), ("Ann Lee", "Thank you, Bob.")],
        Attribution.NAMED,
    ),
    "s40_bilingual_lines.srt": (
        [(UNKNOWN_SPEAKER, "We start with the budget."), (UNKNOWN_SPEAKER, "Then we go on.")],
        Attribution.UNKNOWN,
    ),
    "v03_rolling.srt": (
        [
            (UNKNOWN_SPEAKER, "good morning all today"),
            (UNKNOWN_SPEAKER, "we look at costs"),
            (UNKNOWN_SPEAKER, "and then at plans"),
        ],
        Attribution.UNKNOWN,
    ),
    "v04_end_before_start.vtt": (
        [(UNKNOWN_SPEAKER, "One is here."), (UNKNOWN_SPEAKER, "Two is here."), (UNKNOWN_SPEAKER, "Three is here.")],
        Attribution.UNKNOWN,
    ),
    "v31_teams_graph_unattributed.vtt": (
        [(UNKNOWN_SPEAKER, "One here."), (UNKNOWN_SPEAKER, "Two here.")],
        Attribution.UNKNOWN,
    ),
    "v35_space_line_in_cue.vtt": ([("Ann", "First part second part."), ("Bob", "Then this.")], Attribution.NAMED),
    "v38_cueid_note.vtt": ([("Ann", "First part."), ("Bob", "Then this."), ("Bob", "And this.")], Attribution.NAMED),
    "v39_zwsp_cue_only.vtt": ([("Bob", "Then this.")], Attribution.NAMED),
}


def test_each_case_has_an_expected_result() -> None:
    assert {path.name for path in PROJECT_TRANSCRIPTS.iterdir() if path.suffix in {".srt", ".vtt"}} == EXPECTED.keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_a_case_gives_its_expected_result(name: str) -> None:
    recording = read_recording(PROJECT_TRANSCRIPTS / name)
    cues, speakers = EXPECTED[name]
    assert [(event.chunk.speaker, event.chunk.text) for event in recording.events] == cues
    assert recording.speaker_attribution is speakers


def test_omissions_and_repairs_are_reported_with_their_lines() -> None:
    told = {name: read_recording(PROJECT_TRANSCRIPTS / name).remarks for name in EXPECTED}
    assert {name: [(r.place, r.lost_speech) for r in remarks] for name, remarks in told.items() if remarks} == {
        "s40_bilingual_lines.srt": [("line 2", True)],
        "v03_rolling.srt": [("line 6", False)],
        "v04_end_before_start.vtt": [("line 6", False)],
    }


def test_strict_rejects_only_files_with_omissions() -> None:
    for name in EXPECTED.keys() - {"s40_bilingual_lines.srt"}:
        assert read_recording(PROJECT_TRANSCRIPTS / name, strict=True) == read_recording(PROJECT_TRANSCRIPTS / name)
    path = PROJECT_TRANSCRIPTS / "s40_bilingual_lines.srt"
    with pytest.raises(InvalidInputError, match="each cue is also in pt: 2 lines are left out") as caught:
        read_recording(path, strict=True)
    assert caught.value.field == f"{path}: line 2"


SENTENCES = {
    "s33_lrm_en.srt": ["Hello all.\u200e", "We start now.\ufeff", "Good.\u2060", "Then go.\u200b", "Bye."],
    "s35_music_end.srt": ["We did it. 🎉", "Great job!👏👏", "Thank you.*", "♪ We are one. ♪", "See you.[1]", "Bye.—"],
    # A revision of a closed chunk, even with another speaker, is late and changes nothing.
    "q12_rename_after_horizon.jsonl": ["We should ship it.", "I agree with that.", "On Friday then."],
    "q12c_late_same_start.jsonl": ["We should ship it.", "On Friday then."],
    # Words that two chunks share are kept, because the speaker may have repeated them.
    "q02_overlap_words.jsonl": [
        "The quick brown fox jumps over fox jumps over the lazy dog.",
        "That is what kept me me going.",
    ],
}
LATE = {"q12_rename_after_horizon.jsonl": 2, "q12c_late_same_start.jsonl": 1}


@pytest.mark.parametrize("name", SENTENCES)
def test_a_recording_has_its_sentences(name: str) -> None:
    events = read_recording(PROJECT_TRANSCRIPTS / name).events
    outcome = run_operators(
        make_items([(event.at, event.chunk) for event in events], config=MeetingConfig(source_language="en"))
    )
    standing = sorted(outcome.current_sentences.values(), key=lambda sentence: (sentence.start, sentence.end))
    assert [sentence.text for sentence in standing] == SENTENCES[name]
    assert sum(update.late_chunk is not None for update, _ in outcome.steps) == LATE.get(name, 0)


def test_a_changed_address_is_a_missing_name() -> None:
    texts = json.loads((PROJECT_TRANSCRIPTS / "a20_addresses.json").read_text(encoding="utf-8"))["texts"]
    changes = [("aaa now", "aaaa now"), ("@bob_ray", "-bob_ray"), ("plan_v2.docx", "plan_v3.docx")]
    for said, change in zip(texts, changes, strict=True):
        assert change[0] in said
        assert missing_names(said, said, "en", "pt") == []
        assert missing_names(said, said.replace(*change), "en", "pt") != []


def test_an_endless_word_is_split() -> None:
    case = json.loads((PROJECT_TRANSCRIPTS / "a22_one_word.json").read_text(encoding="utf-8"))
    assert case["want"] == "pieces of bounded length"
    pieces = run_operators(make_items([(60.0, make_chunk("1", "ha" * 5_000, end=60))])).texts()
    assert "".join(pieces) == "ha" * 5_000
    assert max(map(len, pieces)) <= 600


SUBTITLES = sorted(path for path in EXTERNAL_TRANSCRIPTS.glob("*") if path.suffix in (".srt", ".vtt"))


@pytest.mark.skipif(not SUBTITLES, reason=f"no transcripts are at {EXTERNAL_TRANSCRIPTS} (set PARLEY_CASES)")
def test_every_available_case_can_be_read() -> None:
    """No file is rejected, and each has at least one event."""
    assert all(read_recording(path).events for path in SUBTITLES)
