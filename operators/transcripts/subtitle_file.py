"""Subtitle files as transcripts: VTT, SRT and SBV, by Parley, Zoom, Teams, YouTube and other programs.

SBV is YouTube's. It differs from SRT in its timing line, `0:00:04.160,0:00:06.770`, and in its line break, `[br]`.
"""

from __future__ import annotations

import re

from operators.errors import InvalidInputError
from operators.subtitles import DetectLanguage, parse_subtitles
from operators.transcripts.parsed_transcript import ParsedTranscript, TranscriptFormat, TranscriptIssue
from operators.transcripts.segments import TranscriptSegment, build_transcript

_SUFFIXES = (".vtt", ".srt", ".sbv")
_HEADER = "WEBVTT"
_TIMING_LINE = re.compile(r"^\W{0,3}\d[^\n]{0,60}-->", re.MULTILINE)
_SBV_TIMING_LINE = re.compile(
    r"^[ \t\ufeff]*(\d{1,3}:\d{2}:\d{2}\.\d{1,3})[ \t]*,[ \t]*(\d{1,3}:\d{2}:\d{2}\.\d{1,3})[ \t]*\r?$", re.MULTILINE
)


def is_subtitles(text: str, suffix: str) -> bool:
    """Return whether a file has subtitles, by its timing lines and header. The suffix decides for a file without them."""
    return (
        suffix in _SUFFIXES
        or text.startswith(_HEADER)
        or _TIMING_LINE.search(text) is not None
        or _SBV_TIMING_LINE.search(text) is not None
    )


def parse_subtitle_file(
    text: str, name: str, language_of: DetectLanguage, spoken_language: str | None
) -> ParsedTranscript:
    """Parse a VTT, SRT or SBV file. Arguments are as for `parse_subtitles`; `name` is the file's name, for errors.

    Raises:
        InvalidInputError: no cue can be parsed. The error names the first line with a problem.
    """
    is_sbv = _TIMING_LINE.search(text) is None and _SBV_TIMING_LINE.search(text) is not None
    if is_sbv:
        text = _SBV_TIMING_LINE.sub(r"\1 --> \2", text).replace("[br]", "<br>")
    try:
        subtitles = parse_subtitles(text, language_of, spoken_language)
    except InvalidInputError as error:
        raise InvalidInputError(f"{name}: {error.field}", error.fix) from error
    if is_sbv:
        transcript_format = TranscriptFormat.SBV
    else:
        transcript_format = TranscriptFormat.VTT if text.lstrip().startswith(_HEADER) else TranscriptFormat.SRT
    return build_transcript(
        transcript_format,
        [TranscriptSegment(f"line {cue.line}", cue.speaker, cue.text, cue.start, cue.end) for cue in subtitles.cues],
        [TranscriptIssue(f"line {line}", message, lost) for line, message, lost in subtitles.issues],
        attribution=subtitles.attribution,
        unit="cue",
    )
