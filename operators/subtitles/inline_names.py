"""Speaker names within a line: behind a sound (`[Music] Ann: Hi`), or behind another speaker's speech (`ANN: Ready? BOB: Yes.`)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Set

from operators.subtitles.speaker_names import (
    LEAD_IN_WORDS,
    OPENING_BRACKETS,
    SpeakerPrefix,
    is_like_name,
    numbered_family,
    parse_prefix,
)

_SOUND_BEFORE_SPEECH = re.compile(
    r"(?P<sound>[-–—‐>\s]*(?:[\[(【（［〔](?P<words>[^\[\]()【】（）［］〔〕]{1,60})[\])】）］〕]|[♪♫](?:[^♪♫]*[♪♫])?))\s*(?=\S)"
)
_SENTENCE_BREAK = re.compile(r"(?:(?<=[.!?…—–\])）♪♫])|(?<=--)|(?<=[.!?…][\"'”’»]))\s+|(?<=[。！？])[”」』]?\s*")
_SPACE = re.compile(r"\s+")
_NAME_MARK = re.compile(rf"[:：{OPENING_BRACKETS}]")
_FULL_STOP = re.compile(r"(\w+)\.\s")
_TITLES = frozenset({"dr", "dra", "fr", "hr", "jr", "mme", "mr", "mrs", "ms", "prof", "rev", "sr", "sra", "st"})
_MAX_PREFIX_CHARS = 100
"""Maximum length of a name with the marks around it. The search for a name reads no more of a line."""


def split_leading_sounds(line: str) -> list[str]:
    """Return a line with the sounds before a speaker's name apart: `[Music]` and `Ann: Hi`. Any other line stays whole."""
    sounds: list[str] = []
    at = 0
    while match := _SOUND_BEFORE_SPEECH.match(line, at):
        if (words := match["words"]) and (is_like_name(words, bracketed=True) or not any(map(str.isalpha, words))):
            break
        sounds.append(match["sound"].strip())
        at = match.end()
        if _find_name(line, at) is not None:
            return [*sounds, line[at:]]
    return [line]


def add_inline_names(lines: Iterable[str], names: Set[str], *, bracketed: bool) -> frozenset[str]:
    """Add the names that only appear within lines to those at their beginnings.

    Args:
        lines: the lines of a file.
        names: the names at the beginning of its lines.
        bracketed: whether its names are in brackets. Brackets within a line may have any text, so they add no name.
    """
    if bracketed:
        return frozenset(names)
    counts = Counter(prefix.name for line in lines for _, prefix in _inline_names(line) if not prefix.bracketed)
    families = {numbered_family(name) for name in names}
    capitals = _are_capitals(names)
    return frozenset(names) | {
        name
        for name, count in counts.items()
        if count > 1 or (capitals and name.isupper() and len(name) > 1) or numbered_family(name) in families
    }


def split_turns(line: str, names: Set[str], *, bracketed: bool) -> list[str]:
    """Split a line before each of the names within it.

    A name within a line follows the end of a sentence. If all names are in capitals, it may follow any word.
    """
    parts: list[str] = []
    begin = 0
    for at, prefix in _inline_names(line, _SPACE if _are_capitals(names) else _SENTENCE_BREAK, names):
        if prefix.bracketed == bracketed and any(map(str.isalnum, line[begin:at])):
            parts.append(line[begin:at].strip())
            begin = at
    return [*parts, line[begin:].strip()]


def may_have_turns(line: str) -> bool:
    """Return whether words within a line look like the name of another speaker."""
    return any(not prefix.bracketed for _, prefix in _inline_names(line))


def _are_capitals(names: Set[str]) -> bool:
    return bool(names) and all(name.isupper() for name in names)


def _inline_names(
    line: str, boundary: re.Pattern[str] = _SENTENCE_BREAK, names: Set[str] | None = None
) -> Iterator[tuple[int, SpeakerPrefix]]:
    """Yield the possible names within a line that have speech after them, or only some names, each with its place."""
    after = 0
    for match in boundary.finditer(line):
        at = match.end()
        if at <= after or (prefix := _find_name(line, at)) is None:
            continue
        is_wanted = prefix.name in names if names is not None else not _spans_sentences(prefix.name)
        if is_wanted:
            after = at + len(prefix.name)
            yield at, prefix


def _spans_sentences(name: str) -> bool:
    """Return whether a full stop within words ends a sentence: in `Yes. ANN`, but not in `Dr. Lee` and `J. Lee`."""
    return any(match[1].casefold() not in _TITLES and len(match[1]) > 1 for match in _FULL_STOP.finditer(name))


def _find_name(line: str, at: int) -> SpeakerPrefix | None:
    """Return the possible name at a place in a line, if speech follows it."""
    beginning = line[at : at + _MAX_PREFIX_CHARS]
    if _NAME_MARK.search(beginning) is None:
        return None
    prefix = parse_prefix(beginning)
    if prefix is None or not prefix.rest or prefix.name.casefold() in LEAD_IN_WORDS:
        return None
    return prefix if is_like_name(prefix.name, bracketed=prefix.bracketed) else None
