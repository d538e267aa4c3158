"""The markup of cues: tags, voices and character references."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

_VOICE = re.compile(r"<v(?:\.[^\s>]*)?(?:\s([^<>]*))?>|(</v>)")
_VTT_TAG = re.compile(r"<rt[^>]*>.*?</rt>|</?[a-zA-Z][^<>]*>|<[\d:.]+>")
_SRT_TAGS = "b|i|u|s|font|c|v|lang|br"
_SRT_TAG = re.compile(rf"</?(?:{_SRT_TAGS})\b[^<>]*>|\{{\\[^{{}}]*\}}", re.IGNORECASE)
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
# The line break of ASS, in subtitles converted from it. The lookarounds exclude paths.
_ASS_BREAK = re.compile(r"(?<![:\\])\\N(?!\w*\\)")
_BRACES = re.compile(r"\{\\[^{}]*\}")
_REFERENCE = re.compile(r"&(?:#\d+|#[xX][\da-fA-F]+|\w+);")
# SRT has no escapes, and few players decode any, so only text that looks like a tag or a reference is escaped.
_SRT_ESCAPED = re.compile(rf"<(?=/?(?:{_SRT_TAGS})\b)|\{{(?=\\)|\\(?=N)|(?={_REFERENCE.pattern})&", re.IGNORECASE)


class CueLine(NamedTuple):
    """A line of a cue, without markup.

    Attributes:
        voice: the speaker's name from the voice tag; empty if the tag has no name, None if there is no tag.
        text: the visible text.
    """

    voice: str | None
    text: str


def visible_lines(payload: str, *, vtt: bool, lacks_header: bool) -> list[CueLine]:
    """Return the lines of a cue without markup and without invisible lines.

    Args:
        payload: the cue's lines in the file.
        vtt: whether the tags are VTT's; otherwise they are SRT's.
        lacks_header: whether the file has no VTT header, so it may contain SRT's tags as well.
    """
    lines: list[CueLine] = []
    for voice, text in _voices(payload):
        broken = _BREAK.sub("\n", text if vtt else _ASS_BREAK.sub("\n", text))
        bare = (_VTT_TAG if vtt else _SRT_TAG).sub("", broken)
        if lacks_header:
            bare = _BRACES.sub("", bare)
        lines += [CueLine(voice, line) for part in bare.split("\n") if is_visible(line := _without_references(part))]
    return lines


def is_visible(text: str) -> bool:
    """Return whether a text contains more than white space, format and control characters."""
    return any(not letter.isspace() and unicodedata.category(letter) not in ("Cf", "Cc") for letter in text)


def to_single_line(text: str) -> str:
    """Return a text on one line, with single spaces."""
    return " ".join(text.split())


def escape_srt(line: str) -> str:
    """Escape a line for SRT, so that no part of it is read as a tag or a character reference."""
    return _SRT_ESCAPED.sub(lambda match: f"&#{ord(match[0])};", line)


def _voices(payload: str) -> Iterator[tuple[str | None, str]]:
    """Yield each voice and its text, in the cue's order."""
    voice, at = None, 0
    for tag in _VOICE.finditer(payload):
        yield voice, payload[at : tag.start()]
        voice, at = (None if tag[2] else _without_references(tag[1] or "")), tag.end()
        if voice is not None and not is_visible(voice):
            voice = ""
    yield voice, payload[at:]


def _without_references(text: str) -> str:
    """Decode the character references of a text, and put it on one line."""
    # Only references with a semicolon: `R&notes` is not `R¬es`.
    return to_single_line(_REFERENCE.sub(lambda match: html.unescape(match[0]), text))
