"""Subtitles: what was said, and how it reads translated, as WebVTT and SubRip files; and what such files say.

Both formats are written and read here side by side, so that what Parley writes reads back as it was:

- The speaker is a voice in VTT, `<v Name>text</v>`, and a prefix in SRT, `Name: text`.
- A translation is the second line of its cue: `<lang pt>…</lang>` in VTT, `<i>…</i>` in SRT. All cues of a file have
  one, or none has. So a file in which every cue is made like that is read without its translations, and anywhere else
  these tags are only tags.
- Text and names are one line with single spaces, so that neither a blank line nor a line break ends a cue.
- Times are whole milliseconds. Players drop a cue without length, so each lasts a millisecond at least.

Files by others are read, too: prefixes for voices, cues of several lines or several voices, tags, settings, comments.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import reduce
from typing import NamedTuple

import srt
from webvtt import WebVTT
from webvtt.models import Caption, Timestamp

from operators.boundaries import joined
from operators.errors import Invalid

NOBODY = "Speaker"
"""Who speaks in a file that names nobody."""

_HOURS = r"(?:(\d{1,6}):)?(\d{1,2}):(\d{2})[.,](\d{3})"
_TIMES = re.compile(rf"\s*{_HOURS}\s*-->\s*{_HOURS}(?:\s.*)?")
_ASIDE = re.compile(r"(?:NOTE|STYLE|REGION)(?:\s|$)")
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?(?:\s([^>]*))?>")
_VTT_TAG = re.compile(r"<rt[^>]*>.*?</rt>|</?[a-zA-Z][^<>]*>|<[\d:.]+>")
_VTT_TRANSLATED = re.compile(r"(.+)\n<lang [^>]*>.*</lang>(?:</v>)?")
_SRT_TAG = re.compile(r"</?(?:b|i|u|s|font)\b[^<>]*>|\{\\[^{}]*\}", re.IGNORECASE)
_SRT_TRANSLATED = re.compile(r"(.+)\n<i>.*</i>")
_REFERENCE = re.compile(r"&(?:#\d+|#[xX][\da-fA-F]+|\w+);")
# SRT has no escapes, and few players read any: only what would be taken for a tag or a reference is written as one.
_SRT_ESCAPED = re.compile(rf"<(?=/?(?:b|i|u|s|font)\b)|\{{(?=\\)|(?={_REFERENCE.pattern})&", re.IGNORECASE)
_PREFIX = re.compile(r"(.{1,200}?): (.+)")


class Translated(NamedTuple):
    """How a cue reads in another language. `language` is its tag."""

    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Cue:
    """What one speaker said, from `start` to `end` in seconds, and its translation where a file is to show it."""

    speaker: str
    text: str
    start: float
    end: float
    translation: Translated | None = None


def write_vtt(cues: Sequence[Cue], about: str) -> str:
    """Write cues as WebVTT.

    Args:
        cues: in order of their start.
        about: what the file is, for its first comment. The format has no place for a language any more.

    Raises:
        Invalid: some cues have a translation and others don't.
    """
    _check_translations(cues)
    captions: list[Caption] = []
    for cue in cues:
        spoken = f"<v {_escaped(cue.speaker)}>{_escaped(cue.text)}"
        if cue.translation is None:
            caption = Caption(text=[f"{spoken}</v>"])
        else:
            language, text = cue.translation
            caption = Caption(text=[spoken, f"<lang {language}>{_escaped(text)}</lang></v>"])
        # Set as numbers: as text webvtt-py takes no hours past the 99th.
        caption.start_time, caption.end_time = (_timestamp(ms) for ms in _milliseconds(cue))
        captions.append(caption)
    return WebVTT(captions=captions, header_comments=[_line(about).replace("-->", "-- >")]).content


def write_srt(cues: Sequence[Cue]) -> str:
    """Write cues as SubRip.

    A speaker's name ends at the first `: `, so one that holds it reads back with a comma there: `Ann: Sales` is written
    `Ann, Sales`. All else reads back as it was.

    Args:
        cues: in the order they are to have.

    Raises:
        Invalid: some cues have a translation and others don't.
    """
    _check_translations(cues)
    subtitles: list[srt.Subtitle] = []
    for number, cue in enumerate(cues, 1):
        start, end = (timedelta(milliseconds=ms) for ms in _milliseconds(cue))
        content = _srt_escaped(f"{_line(cue.speaker).replace(': ', ', ')}: {_line(cue.text)}")
        if cue.translation is not None:
            content += f"\n<i>{_srt_escaped(_line(cue.translation.text))}</i>"
        subtitles.append(srt.Subtitle(number, start, end, content))
    # Its own numbering would sort them anew.
    return srt.compose(subtitles, reindex=False)


def read_vtt(text: str) -> list[Cue]:
    """Read the cues of a WebVTT file, in their order and without translations. Cues that hold no text are left out.

    A cue in which several voices speak becomes one for each.

    Raises:
        Invalid: names the line and the fix.
    """
    # webvtt-py leaves out cues that it can't make out, joins two that no blank line parts, and gives no line for what it
    # refuses: so the few lines that find the cues are here.
    lines = _lines(text)
    if not re.match(r"WEBVTT(?:\s|$)", lines[0]):
        raise Invalid("line 1", "must begin with WEBVTT, as every VTT file does")
    payloads: list[str] = []
    times: list[tuple[float, float]] = []
    for number, block in _blocks(lines):
        arrows = [i for i, line in enumerate(block) if "-->" in line]
        if _ASIDE.match(block[0]) or (number == 1 and not arrows):
            continue
        if not arrows:
            raise Invalid(f"line {number}", "belongs to no cue: remove the blank line above it, or begin it with NOTE")
        if len(arrows) > 1 or arrows[0] > 1:
            raise Invalid(f"line {number + arrows[-1]}", "begins a cue: leave a blank line above it")
        times.append(_vtt_times(f"line {number + arrows[0]}", block[arrows[0]]))
        payloads.append("\n".join(block[arrows[0] + 1 :]))
    cues = [
        cue
        for payload, (start, end) in zip(_untranslated(payloads, _VTT_TRANSLATED), times, strict=True)
        for cue in _voices(payload, start, end)
    ]
    return _spoken(cues)


def read_srt(text: str) -> list[Cue]:
    """Read the cues of a SubRip file, in their order and without translations. Cues that hold no text are left out.

    Raises:
        Invalid: names the line or the cue, and the fix.
    """
    text = "\n".join(_lines(text))
    subtitles: list[srt.Subtitle] = []
    try:
        subtitles.extend(srt.parse(text))
    except srt.SRTParseError as error:
        line = text.count("\n", 0, error.expected_start) + 1
        raise Invalid(
            f"line {line}", "must begin a cue: a number, then a line `00:00:01,000 --> 00:00:02,500`"
        ) from error
    except (OverflowError, ValueError) as error:
        raise Invalid(f"cue {len(subtitles) + 1}", "must have times such as 00:00:01,000") from error
    payloads = _untranslated([subtitle.content.strip() for subtitle in subtitles], _SRT_TRANSLATED)
    cues: list[Cue] = []
    for number, (subtitle, payload) in enumerate(zip(subtitles, payloads, strict=True), 1):
        # srt takes a cue whose times it can't read for text of the cue before.
        if re.search(r"\n\s*\n.*-->", payload, re.DOTALL):
            raise Invalid(f"cue {number + 1}", "must have times such as 00:00:01,000 --> 00:00:02,500")
        start, end = subtitle.start.total_seconds(), subtitle.end.total_seconds()
        _check_order(f"cue {number}", start, end)
        if said := _plain(_SRT_TAG.sub("", payload)):
            cues.append(Cue("", said, start, end))
    return _spoken(cues)


# --- writing ---


def _check_translations(cues: Sequence[Cue]) -> None:
    if len({cue.translation is None for cue in cues}) > 1:
        raise Invalid("translation", "must be there for every cue or for none")


def _milliseconds(cue: Cue) -> tuple[int, int]:
    """When a cue starts and ends, with a length that players show."""
    start = round(cue.start * 1000)
    return start, max(round(cue.end * 1000), start + 1)


def _timestamp(ms: int) -> Timestamp:
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    return Timestamp(*divmod(minutes, 60), seconds, ms)


def _line(text: str) -> str:
    return " ".join(text.split())


def _escaped(text: str) -> str:
    return html.escape(_line(text), quote=False)


def _srt_escaped(line: str) -> str:
    return _SRT_ESCAPED.sub(lambda found: f"&#{ord(found[0])};", line)


# --- reading ---


def _lines(text: str) -> list[str]:
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _blocks(lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """The lines between blank ones, with the number of the first."""
    block: list[str] = []
    for number, line in enumerate([*lines, ""], 1):
        if line.strip():
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []


def _vtt_times(place: str, line: str) -> tuple[float, float]:
    found = _TIMES.fullmatch(line)
    if found is None:
        raise Invalid(place, "must be the times of a cue, such as 00:00:01.000 --> 00:00:02.500")
    numbers = [int(group or 0) for group in found.groups()]
    start, end = (
        (((hours * 60 + minutes) * 60 + seconds) * 1000 + ms) / 1000
        for hours, minutes, seconds, ms in (numbers[:4], numbers[4:])
    )
    _check_order(place, start, end)
    return start, end


def _check_order(place: str, start: float, end: float) -> None:
    if end < start:
        raise Invalid(place, "must not end before it starts")


def _untranslated(payloads: Sequence[str], translated: re.Pattern[str]) -> Sequence[str]:
    """The payloads without their translations, if they have any."""
    found = [translated.fullmatch(payload) for payload in payloads]
    sources = [match[1] for match in found if match is not None]
    return sources if len(sources) == len(payloads) else payloads


def _voices(payload: str, start: float, end: float) -> Iterator[Cue]:
    """What each voice says in a cue; that of nobody comes first."""
    unnamed, *named = _VOICE.split(payload)
    for voice, said in (("", unnamed), *zip(named[::2], named[1::2], strict=True)):
        if text := _plain(_VTT_TAG.sub("", said)):
            yield Cue(_plain(voice or ""), text, start, end)


def _plain(text: str) -> str:
    """Text without references, on one line."""
    # Only those that are closed: `R&notes` isn't `R¬es`.
    text = _REFERENCE.sub(lambda found: html.unescape(found[0]), text)
    return reduce(joined, (_line(line) for line in text.split("\n")), "")


def _spoken(cues: Sequence[Cue]) -> list[Cue]:
    """The cues with their speakers.

    In a file without voices, prefixes are names where every cue has one; else those are that come again, so that
    `Note: this matters` stays text. A cue without a speaker goes on with the last one.
    """
    if not cues:
        raise Invalid("cues", "the file holds none with text")
    if not any(cue.speaker for cue in cues):
        prefixes = [_PREFIX.fullmatch(cue.text) for cue in cues]
        times = Counter(prefix[1] for prefix in prefixes if prefix is not None)
        least = 1 if all(prefixes) else 2
        cues = [
            replace(cue, speaker=prefix[1], text=prefix[2]) if prefix and times[prefix[1]] >= least else cue
            for cue, prefix in zip(cues, prefixes, strict=True)
        ]
    speaker = NOBODY
    spoken: list[Cue] = []
    for cue in cues:
        speaker = cue.speaker or speaker
        spoken.append(replace(cue, speaker=speaker))
    return spoken
