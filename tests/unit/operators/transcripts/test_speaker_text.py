"""Text with names and times, in the forms of several programs."""

from __future__ import annotations

import pytest

from operators.errors import InvalidInputError
from operators.subtitles import UNKNOWN_SPEAKER, Attribution
from operators.transcripts import ParsedTranscript, TranscriptFormat, TranscriptIssue, parse_transcript


def parse(text: str, name: str = "m.txt") -> ParsedTranscript:
    return parse_transcript(text.encode(), name)


def speech(transcript: ParsedTranscript) -> list[tuple[str, str, float]]:
    return [(chunk.speaker, chunk.text, chunk.start) for _, chunk in transcript.events]


TIMED = [("Ann Lee", "Good morning.", 3.0), ("Bob", "Hello there.", 67.0), ("Ann Lee", "We begin.", 3723.0)]


@pytest.mark.parametrize(
    "text",
    [
        "Ann Lee  0:03 \nGood morning.\n\nBob  1:07 \nHello there.\n\nAnn Lee  1:02:03 \nWe begin.\n\n"
        "Transcribed by https://otter.ai\n",
        "Ann Lee 00:03\nGood morning.\nBob 01:07\nHello there.\nAnn Lee 01:02:03\nWe begin.",
        "Ann Lee (00:03):\nGood morning.\n\nBob (01:07):\nHello there.\n\nAnn Lee (01:02:03):\nWe begin.",
        "00:03 Ann Lee\nGood morning.\n01:07 Bob\nHello there.\n01:02:03 Ann Lee\nWe begin.",
        "[00:03] Ann Lee: Good morning.\n[01:07] Bob: Hello there.\n[01:02:03] Ann Lee: We begin.",
        "00:03 - Ann Lee: Good morning.\n01:07 - Bob: Hello there.\n01:02:03 - Ann Lee: We begin.",
        "Ann Lee [00:03]: Good morning.\nBob [01:07]: Hello there.\nAnn Lee [01:02:03]: We begin.",
        "0:03\nAnn Lee: Good morning.\n\n1:07\nBob: Hello there.\n\n1:02:03\nAnn Lee: We begin.",
        "Ann Lee | 00:03\r\nGood morning.\r\nBob | 01:07\r\nHello there.\r\nAnn Lee | 01:02:03\r\nWe begin.\r\n",
        "[Ann Lee] 00:00:03\nGood morning.\n\n[Bob] 00:01:07\nHello there.\n\n[Ann Lee] 01:02:03\nWe begin.",
        "\ufeffAnn Lee\t0:03\nGood morning.\nBob\t1:07\nHello there.\nAnn Lee\t1:02:03\nWe begin.",
    ],
)
def test_names_and_times(text: str) -> None:
    transcript = parse(text)
    assert speech(transcript) == TIMED
    assert transcript.format is TranscriptFormat.TEXT
    assert (transcript.times_estimated, transcript.attribution, transcript.issues) == (False, Attribution.NAMED, ())


def test_names_alone_get_estimated_times() -> None:
    transcript = parse("Ann: One two three four five.\nBob: Yes.\nAnn: Six seven.\n")
    assert [(c.speaker, c.text, c.start, c.end) for _, c in transcript.events] == [
        ("Ann", "One two three four five.", 0.0, 2.0),
        ("Bob", "Yes.", 2.0, 2.4),
        ("Ann", "Six seven.", 2.4, 3.2),
    ]
    assert transcript.times_estimated
    assert transcript.attribution is Attribution.NAMED


def test_speech_in_several_lines_belongs_to_the_name_above() -> None:
    otter = parse("Ann Lee  0:03\nGood morning.\nSecond line.\n\nBob  0:05\nHello.\n")
    # The second line has no time of its own; the next time is its limit.
    assert speech(otter) == [
        ("Ann Lee", "Good morning.", 3.0),
        ("Ann Lee", "Second line.", 3.8),
        ("Bob", "Hello.", 5.0),
    ]
    assert otter.times_estimated
    named = parse("Ann: Good morning and\nwelcome all.\nBob: Hello.\nAnn: So.")
    assert [said[:2] for said in speech(named)][:2] == [("Ann", "Good morning and"), ("Ann", "welcome all.")]
    assert named.attribution is Attribution.GUESSED


def test_times_alone() -> None:
    transcript = parse("[00:00:01] good morning\n[00:00:04] we begin\n")
    assert speech(transcript) == [(UNKNOWN_SPEAKER, "good morning", 1.0), (UNKNOWN_SPEAKER, "we begin", 4.0)]
    assert transcript.attribution is Attribution.UNKNOWN


def test_speech_is_compressed_between_two_times() -> None:
    transcript = parse("Ann  0:01\n" + "word " * 100 + "\nBob  0:11\nYes.")
    assert [(chunk.start, chunk.end) for _, chunk in transcript.events] == [(1.0, 11.0), (11.0, 11.4)]


def test_a_time_that_goes_back_is_estimated() -> None:
    transcript = parse("Ann  0:10\nOne.\nBob  0:05\nTwo.\nAnn  0:20\nThree.")
    assert [said[2] for said in speech(transcript)] == [10.0, 10.4, 20.0]
    assert transcript.issues == (
        TranscriptIssue("line 3", "its time is before the time above: it is estimated", lost_speech=False),
    )
    assert transcript.times_estimated


def test_a_title_above_the_first_speaker_is_left_out() -> None:
    transcript = parse("Weekly meeting\nAttendees\n\nAnn: Hello.\nBob: Yes.\nAnn: We begin.")
    assert [said[:2] for said in speech(transcript)] == [("Ann", "Hello."), ("Bob", "Yes."), ("Ann", "We begin.")]
    assert transcript.issues == (TranscriptIssue("line 1", "2 lines above the first speaker are left out"),)


MEET_HEADER = "Weekly (2026-05-04 09:00 GMT+1) - Transcript\nAttendees\nAnn Lee, Bob Ray, Eve Doe\nTranscript\n"
MEET_TRAILER = (
    "Meeting ended after 00:32:10 👋\n\nThis editable transcript was computer generated and might contain errors.\n"
)


@pytest.mark.parametrize("time", ["", "00:00:00\n"], ids=["without times", "with times"])
@pytest.mark.parametrize(
    "turns",
    [
        [("Ann Lee", "Good morning."), ("Bob Ray", "Hi."), ("Ann Lee", "We begin.")],
        [("Ann Lee", "Good morning."), ("Ann Lee", "We begin."), ("Bob Ray", "Hi.")],
        [("Bob Ray", "Hi."), ("Ann Lee", "Good morning.")],
    ],
)
def test_the_lines_around_a_transcript_of_google_meet_are_not_speech(turns: list[tuple[str, str]], time: str) -> None:
    spoken = "\n".join(f"{name}: {text}" for name, text in turns)
    transcript = parse(f"{MEET_HEADER}\n{time}{spoken}\n{MEET_TRAILER}")
    assert [said[:2] for said in speech(transcript)] == turns
    assert transcript.attribution is Attribution.NAMED
    assert [(issue.message, issue.lost_speech) for issue in transcript.issues] == [
        ("4 lines above the first speaker are left out", True),
        ("2 lines that Google Meet adds are left out", False),
    ]


def test_times_of_the_day_count_from_the_first() -> None:
    zoom = parse("[Ann Lee] 09:01:23\nGood morning.\n\n[Bob Ray] 09:01:30\nHi.\n\n[Ann Lee] 10:01:23\nWe begin.\n")
    assert speech(zoom) == [
        ("Ann Lee", "Good morning.", 0.0),
        ("Bob Ray", "Hi.", 7.0),
        ("Ann Lee", "We begin.", 3600.0),
    ]


@pytest.mark.parametrize("name", ["captions.sbv", "captions.txt"])
@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
def test_sbv_is_read_as_subtitles(name: str, line_break: str) -> None:
    lines = [
        "0:00:04.160,0:00:06.770",
        "Ann: Good morning",
        "all.",
        "",
        "0:00:06.770,0:01:09.100",
        "Bob: Hi.[br]We begin.",
    ]
    transcript = parse(line_break.join([*lines, ""]), name)
    assert [(chunk.speaker, chunk.text, chunk.start, chunk.end) for _, chunk in transcript.events] == [
        ("Ann", "Good morning all.", 4.16, 6.77),
        ("Bob", "Hi. We begin.", 6.77, 69.1),
    ]
    assert (transcript.format, transcript.issues) == (TranscriptFormat.SBV, ())


def test_a_time_within_speech_is_speech() -> None:
    text = "Ann: We meet at\n10:30 or so.\nBob: Fine.\nAnn: Lunch 12:30\nBob: Yes."
    assert [said[1] for said in speech(parse(text))] == ["We meet at", "10:30 or so.", "Fine.", "Lunch 12:30", "Yes."]
    otter = "Ann  0:01\n10:30 is fine.\nBob  0:09\nNote: I agree."
    assert [said[1] for said in speech(parse(otter))] == ["10:30 is fine.", "Note: I agree."]


def test_an_arrow_within_speech_makes_no_subtitles() -> None:
    assert [said[1] for said in speech(parse("Ann: go a --> b\nBob: Yes."))] == ["go a --> b", "Yes."]


@pytest.mark.parametrize(
    ("content", "line"),
    [("\n\nDear all,\nthis is a letter.\n", 3), ("%PDF-1.7\n%\x01\x02\n1 0 obj\n", 1)],
)
def test_text_without_names_and_times_is_rejected_with_its_line(content: str, line: int) -> None:
    with pytest.raises(InvalidInputError, match="must name a speaker or a time") as caught:
        parse(content)
    assert caught.value.field == f"m.txt: line {line}"
    assert "Dear" not in str(caught.value)


@pytest.mark.parametrize("content", ["", " \n\t\n", "\ufeff", "\u200b\n", "\x01\x02"])
def test_an_empty_file_is_rejected(content: str) -> None:
    with pytest.raises(InvalidInputError, match=r"m\.txt: holds no event, cue or line of speech"):
        parse(content)
