"""Subtitle files as transcripts: VTT and SRT, by Parley, Zoom, Teams, YouTube and other programs."""

from __future__ import annotations

import re

from operators.errors import InvalidInputError
from operators.subtitles import DetectLanguage, parse_subtitles
from operators.transcripts.parsed_transcript import ParsedTranscript, TranscriptFormat, TranscriptIssue
from operators.transcripts.segments import TranscriptSegment, build_transcript

_SUFFIXES = (".vtt", ".srt")
_HEADER = "WEBVTT"
_TIMING_LINE = re.compile(r"^\W{0,3}\d[^\n]{0,60}-->", re.MULTILINE)


def is_subtitles(text: str, suffix: str) -> bool:
    """Return whether a file has subtitles, by its timing lines and header. The suffix decides for a file without them."""
    return suffix in _SUFFIXES or text.startswith(_HEADER) or _TIMING_LINE.search(text) is not None


def parse_subtitle_file(
    text: str, name: str, language_of: DetectLanguage, spoken_language: str | None
) -> ParsedTranscript:
    """Parse a VTT or SRT file. Arguments are as for `parse_subtitles`; `name` is the file's name, for errors.

    Raises:
        InvalidInputError: no cue can be parsed. The error names the first line with a problem.
    """
    try:
        subtitles = parse_subtitles(text, language_of, spoken_language)
    except InvalidInputError as error:
        raise InvalidInputError(f"{name}: {error.field}", error.fix) from error
    return build_transcript(
        TranscriptFormat.VTT if text.lstrip().startswith(_HEADER) else TranscriptFormat.SRT,
        [TranscriptSegment(f"line {cue.line}", cue.speaker, cue.text, cue.start, cue.end) for cue in subtitles.cues],
        [TranscriptIssue(f"line {line}", message, lost) for line, message, lost in subtitles.issues],
        attribution=subtitles.attribution,
        unit="cue",
    )
