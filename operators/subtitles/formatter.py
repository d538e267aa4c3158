"""Formatting of cues as WebVTT and SubRip files."""

from __future__ import annotations

import html
from collections.abc import Sequence
from datetime import timedelta

import srt
from webvtt import WebVTT
from webvtt.models import Caption, Timestamp

from operators.errors import InvalidInputError
from operators.subtitles.cue import Cue
from operators.subtitles.markup import escape_srt, to_single_line


def write_vtt(cues: Sequence[Cue], about: str) -> str:
    """Write cues as WebVTT.

    Args:
        cues: the cues in order of their start.
        about: description of the file, for its first comment. The format no longer has a header field for the language.

    Raises:
        InvalidInputError: some cues have a translation and others don't.
    """
    _check_translations(cues)
    captions: list[Caption] = []
    for cue in cues:
        spoken = f"<v {_escape_vtt(cue.speaker)}>{_escape_vtt(cue.text)}"
        if cue.translation is None:
            caption = Caption(text=[f"{spoken}</v>"])
        else:
            language, text = cue.translation
            caption = Caption(text=[spoken, f"<lang {language}>{_escape_vtt(text)}</lang></v>"])
        # Set as numbers, because webvtt-py parses no text with more than 99 hours.
        caption.start_time, caption.end_time = (_timestamp(ms) for ms in _milliseconds(cue))
        captions.append(caption)
    return WebVTT(captions=captions, header_comments=[to_single_line(about).replace("-->", "-- >")]).content


def write_srt(cues: Sequence[Cue]) -> str:
    """Write cues as SubRip.

    A speaker's name ends at the first `: `, so a name that contains it is written with a comma instead: `Ann: Sales` as
    `Ann, Sales`. A text that has another speaker's name and a colon, `I asked. Bob: No.`, is read back as two cues. Everything else
    is read back unchanged.

    Args:
        cues: the cues in their order in the file.

    Raises:
        InvalidInputError: some cues have a translation and others don't.
    """
    _check_translations(cues)
    subtitles: list[srt.Subtitle] = []
    for number, cue in enumerate(cues, 1):
        start, end = (timedelta(milliseconds=ms) for ms in _milliseconds(cue))
        content = escape_srt(f"{to_single_line(cue.speaker).replace(': ', ', ')}: {to_single_line(cue.text)}")
        if cue.translation is not None:
            content += f"\n<i>{escape_srt(to_single_line(cue.translation.text))}</i>"
        subtitles.append(srt.Subtitle(number, start, end, content))
    # Reindexing would sort the cues.
    return srt.compose(subtitles, reindex=False)


def _check_translations(cues: Sequence[Cue]) -> None:
    if len({cue.translation is None for cue in cues}) > 1:
        raise InvalidInputError("translation", "must be present for every cue or for none")


def _milliseconds(cue: Cue) -> tuple[int, int]:
    """Return the start and the end of a cue in ms, at least 1 ms apart. Players drop a cue without length."""
    start = round(cue.start * 1000)
    return start, max(round(cue.end * 1000), start + 1)


def _timestamp(ms: int) -> Timestamp:
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    return Timestamp(*divmod(minutes, 60), seconds, ms)


def _escape_vtt(text: str) -> str:
    return html.escape(to_single_line(text), quote=False)
