"""Text files with the names of speakers, with times, or with both.

- A name before the speech: `Ann: Hi`, `[00:03] Ann: Hi`, `Ann (00:03): Hi`.
- A name and a time above the speech, as in Otter's and Zoom's files: `Ann Lee  0:03`, `00:03 Ann Lee`, `[Ann Lee] 09:01:23`.
- Times alone, on a line of their own or before the speech: `00:05:00`.

Each line of speech becomes a segment. Missing times are estimated from the number of words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from operators.errors import InvalidInputError
from operators.subtitles import (
    UNKNOWN_SPEAKER,
    Attribution,
    CueLine,
    attribute_speakers,
    is_like_name,
    is_visible,
    parse_prefix,
)
from operators.transcripts.estimated_times import CLOCK_TIME, estimate_times, parse_clock_time
from operators.transcripts.parsed_transcript import ParsedTranscript, TranscriptFormat, TranscriptIssue
from operators.transcripts.segments import TranscriptSegment, build_transcript

_TIME = rf"(?P<bracket>[\[(<])?(?P<time>{CLOCK_TIME})[\])>]?"
_TIME_BEFORE = re.compile(rf"{_TIME}(?:\s*[-–—|,:]\s+|\s+|$)(?P<rest>.*)")
_TIME_WITHIN = re.compile(rf"(?P<name>[^:]{{1,100}}?)\s*[\[(](?P<time>{CLOCK_TIME})[\])]\s*:\s+(?P<rest>.+)")
_NAME_AND_TIME = re.compile(rf"(?P<name>[^:]{{1,100}}?)(?P<gap>\s*[-–—|,]?\s+){_TIME}:?")
_BRACKETED_NAME = re.compile(r"\[([^\[\]]+)\]")
_WIDE_GAP = re.compile(r"\s{2,}|\t")
_OTTER_GAP = "  "
_OTTER_TRAILER = re.compile(r"Transcribed by https?://otter\.ai/?", re.IGNORECASE)
_MEET_TRAILER = re.compile(
    r"(?:Meeting|Transcription) ended after \d{1,3}(?::\d{2}){1,2}\W{0,9}|This editable transcript was computer generated\b.*",
    re.IGNORECASE,
)
"""Lines that Google Meet adds to a transcript."""
_MAX_HEADER_LINES = 10
_CLOCK_OF_DAY_FROM = 3600.0
"""A first time (s) from which times are those of the day. No recording begins with an hour of silence."""
_FIX = (
    "must name a speaker or a time: write `Ann: Hello.`, or `Ann  0:03` above the speech."
    " Subtitles (VTT, SRT) and JSON are read as well"
)


class _Mark(NamedTuple):
    """A name or a time in a line, apart from the speech.

    Attributes:
        start: the time, in seconds.
        name: the speaker's name; None if the line has no name apart from the speech.
        rest: the speech; empty if it is in the lines below.
        is_certain: whether the form shows that the line begins with a time.
    """

    start: float
    name: str | None
    rest: str
    is_certain: bool = True


@dataclass(frozen=True, slots=True)
class _SpeechLine:
    """A line of speech: its number in the file, its start if the file has it, and the speaker if a mark names one."""

    number: int
    text: str
    start: float | None
    name: str | None


def parse_speaker_text(text: str, name: str) -> ParsedTranscript:
    """Parse a text file.

    Args:
        text: the file's content.
        name: the file's name, for errors.

    Raises:
        InvalidInputError: the file has neither names nor times. The error names the first line.
    """
    lines = list(_visible_lines(text))
    if not lines:
        raise InvalidInputError(name, "holds no event, cue or line of speech")
    issues: list[TranscriptIssue] = []
    trailer = [number for number, line in lines if _MEET_TRAILER.fullmatch(line)]
    if trailer:
        left_out = frozenset(trailer)
        lines = [line for line in lines if line[0] not in left_out]
        message = f"{len(trailer)} lines that Google Meet adds are left out"
        issues.append(TranscriptIssue(f"line {trailer[0]}", message, lost_speech=False))
    speech = list(_speech_lines(lines, issues))
    header = _count_header_lines(speech)
    cues, attribution = attribute_speakers(
        [[CueLine(line.name, " ".join(line.text.split()))] for line in speech[header:]]
    )
    if attribution is Attribution.UNKNOWN and all(line.start is None for line in speech):
        raise InvalidInputError(f"{name}: line {lines[0][0] if lines else 1}", _FIX)
    has_names = attribution is not Attribution.UNKNOWN
    turns: list[tuple[int, str, str, float | None]] = []
    above = [line.number for line in speech[:header]]
    for line, cue in zip(speech[header:], cues, strict=True):
        if has_names and not turns and line.start is None and all(turn.speaker == UNKNOWN_SPEAKER for turn in cue):
            above.append(line.number)
            continue
        for index, turn in enumerate(cue):
            turns.append((line.number, turn.speaker, " ".join(turn.lines), None if index else line.start))
    if above:
        issues.append(TranscriptIssue(f"line {above[0]}", f"{len(above)} lines above the first speaker are left out"))
    times = estimate_times([text for _, _, text, _ in turns], [start for *_, start in turns]) if turns else []
    return build_transcript(
        TranscriptFormat.TEXT,
        [
            TranscriptSegment(f"line {number}", speaker, spoken, start, end)
            for (number, speaker, spoken, _), (start, end) in zip(turns, times, strict=True)
        ],
        issues,
        attribution=attribution,
        times_estimated=any(start is None for *_, start in turns),
        unit="line",
    )


def _count_header_lines(speech: Sequence[_SpeechLine]) -> int:
    """Return the number of lines above the first name and the first time, such as a title; 0 if few lines have names.

    They say nothing about how the file names its speakers.
    """
    marked = [
        k
        for k, line in enumerate(speech)
        if line.name is not None
        or line.start is not None
        or ((prefix := parse_prefix(line.text)) is not None and bool(prefix.rest) and is_like_name(prefix.name))
    ]
    return marked[0] if len(marked) > 1 and marked[0] <= _MAX_HEADER_LINES else 0


def _visible_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that have visible text, with their numbers.

    A wide gap becomes two spaces, because the search for names takes long in a long gap. NUL can't be stored, so it is replaced.
    """
    normalized = re.sub(r"\r+\n|\r", "\n", text.replace("\0", "\ufffd"))
    for number, line in enumerate(normalized.split("\n"), 1):
        if is_visible(line) and not _OTTER_TRAILER.fullmatch(line.strip()):
            yield number, _WIDE_GAP.sub(_OTTER_GAP, line.strip())


def _speech_lines(lines: Sequence[tuple[int, str]], issues: list[TranscriptIssue]) -> Iterator[_SpeechLine]:
    """Yield the lines of speech with the names and times of the marks before them."""
    marks = _find_marks([text for _, text in lines])
    began_at = _start_of_day_times(marks, [text for _, text in lines])
    name: str | None = None
    start: float | None = None
    latest = 0.0
    for (number, text), mark in zip(lines, marks, strict=True):
        if mark is None:
            yield _SpeechLine(number, text, start, name)
            start = None
            continue
        name = mark.name
        start = mark.start - began_at
        if start < latest:
            message = "its time is before the time above: it is estimated"
            issues.append(TranscriptIssue(f"line {number}", message, lost_speech=False))
            start = None
        else:
            latest = start
        if mark.rest:
            yield _SpeechLine(number, mark.rest, start, name)
            start = None


def _start_of_day_times(marks: Sequence[_Mark | None], lines: Sequence[str]) -> float:
    """Return the first time (s) of a file in Zoom's format, whose times are those of the day; 0 for any other file."""
    first = next(((mark, line) for mark, line in zip(marks, lines, strict=True) if mark is not None), None)
    if first is None or first[0].start < _CLOCK_OF_DAY_FROM or not first[1].startswith("["):
        return 0.0
    return first[0].start if _BRACKETED_NAME.match(first[1]) and first[0].name else 0.0


def _find_marks(lines: Sequence[str]) -> list[_Mark | None]:
    """Find the mark of each line; None for a line that is speech only.

    A line such as `Lunch 12:30` or `10:30 is fine` may be speech. Such lines are marks only in some files: those with at
    least as many of them as lines with a name before a colon.
    """
    above = [_parse_name_and_time(line) for line in lines]
    before = [_parse_time_before(lines, k) for k in range(len(lines))]
    within = [_parse_time_within(line) for line in lines]
    named_count = sum(
        (prefix := parse_prefix(line)) is not None and bool(prefix.rest) and is_like_name(prefix.name)
        for line, mark in zip(lines, before, strict=True)
        if mark is None
    )
    above_count = sum(mark is not None for mark in above)
    before_marks = [mark for mark in before if mark is not None]
    starts = [mark.start for mark in before_marks]
    uses_above = above_count >= max(1, named_count, len(before_marks))
    uses_before = not uses_above and len(before_marks) >= max(1, named_count) and starts == sorted(starts)
    marks: list[_Mark | None] = []
    for name_and_time, time_before, time_within in zip(above, before, within, strict=True):
        if uses_above and name_and_time is not None:
            marks.append(name_and_time)
        elif time_before is not None and (uses_before or (time_before.is_certain and not uses_above)):
            marks.append(time_before)
        else:
            marks.append(time_within)
    return marks


def _parse_name_and_time(line: str) -> _Mark | None:
    match = _NAME_AND_TIME.fullmatch(line)
    if match is None:
        return None
    name = _BRACKETED_NAME.sub(r"\1", match["name"]).strip()
    if not is_like_name(name) and match["gap"] != _OTTER_GAP:
        return None
    return _to_mark(match, name, "")


def _parse_time_within(line: str) -> _Mark | None:
    match = _TIME_WITHIN.fullmatch(line)
    return _to_mark(match, match["name"].strip(), match["rest"]) if match and is_like_name(match["name"]) else None


def _parse_time_before(lines: Sequence[str], k: int) -> _Mark | None:
    match = _TIME_BEFORE.fullmatch(lines[k])
    if match is None:
        return None
    rest = match["rest"].strip()
    is_certain = match["bracket"] is not None or not rest
    below = lines[k + 1] if k + 1 < len(lines) else ""
    if rest and is_like_name(rest) and below and not _TIME_BEFORE.fullmatch(below):
        return _to_mark(match, rest, "", is_certain=is_certain)
    return _to_mark(match, None, rest, is_certain=is_certain)


def _to_mark(match: re.Match[str], name: str | None, rest: str, *, is_certain: bool = True) -> _Mark | None:
    start = parse_clock_time(match["time"])
    return None if start is None else _Mark(start, name, rest, is_certain)
