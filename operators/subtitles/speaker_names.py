"""Detection of speaker names at the beginning of a line: `Ann: Hi`, `[ANN] Hi`, `田中：はい`.

The words by language are in `data/speaker_names.toml`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from operators.word_lists import all_words, any_of, read_word_lists

_WORDS = {name: all_words(lists) for name, lists in read_word_lists("operators.subtitles", "speaker_names").items()}
_CHANGE = r"\s*(?P<change>[-–—‐]\s*|(?:>>+|＞＞)\s*)?"
_TIME = r"\s*[(\[（]\d{1,2}:\d{2}(?::\d{2})?[)\]）]"
"""The time after each name in some files: `Ann (00:05): Hi`."""
_COLON = re.compile(_CHANGE + rf"(?P<name>[^:：]{{1,60}}?)(?:{_TIME})?" + r"\s*(?::(?:\s+|$)|：\s*)(?P<rest>.*)")
_UNSPACED = re.compile(_CHANGE + r"(?P<name>[^:：]{1,60}?):(?=[^\W\d_])")
"""A possible name before a colon without a space: `Ann:Hi`."""
OPENING_BRACKETS, CLOSING_BRACKETS = r"\[({<【（［〔〈＜｛", r"\])}>】）］〕〉＞｝"
"""Brackets around names and sounds, for a class of a pattern."""
_BRACKET = re.compile(
    _CHANGE
    + rf"[{OPENING_BRACKETS}](?P<name>[^{OPENING_BRACKETS}{CLOSING_BRACKETS}…♪♫]{{1,60}})[{CLOSING_BRACKETS}]"
    + r"\s*(?:[:：]\s*)?(?P<rest>.*)"
)
_SOUND_LINE = re.compile(
    rf"[\W\d_]*[{OPENING_BRACKETS}][^{OPENING_BRACKETS}{CLOSING_BRACKETS}]*[{CLOSING_BRACKETS}][\W\d_]*"
    + r"|\s*[♪♫#*](?:.*[♪♫#*])?\s*"
)
_SENTENCE_END = re.compile(r"[.!?…。！？؟।](?:[\W_]*)$")

MAX_NAME_WORDS, MAX_UNSPACED_NAME_CHARS = 5, 12
"""Maximum number of words of a name, and maximum length of a name in a script without capitals and spaces."""
_MAX_CASELESS_NAME_WORDS = 3
_PUNCTUATION = re.compile(r"[!?…;♪\[\]\"“”„«»。、，！？؛،]|\.\.|(?<!\w)['’]|\d:\d")
_ABBREVIATED = re.compile(r"(?:[^\W\d_]{1,4}\.)+|[^\W\d_]+\.?")
_NUMBERED = re.compile(rf"{any_of(_WORDS['numbered_speakers'])}[ _-]?\w{{1,3}}", re.IGNORECASE)
_PARTICLES = frozenset(_WORDS["name_particles"])
_CLAUSE_OPENERS = frozenset(_WORDS["clause_openers"])
_VERBS_OF_SPEECH = re.compile(rf"{any_of(_WORDS['verbs_of_speech'])}$")
LEAD_IN_WORDS = frozenset(_WORDS["lead_in_words"])
"""Common words before a colon that introduce a sentence. They count as names only if they repeat."""
_SOUND_WORDS = frozenset(_WORDS["sound_words"])


@dataclass(frozen=True, slots=True)
class SpeakerPrefix:
    """A possible name before the text of a line.

    Attributes:
        name: the name, without marks and brackets around it.
        rest: the text of the line; may be empty.
        bracketed: whether the name is in brackets.
        has_change_mark: whether live captioning's arrows mark a change of speaker: `>> Ann: Hi`.
    """

    name: str
    rest: str
    bracketed: bool
    has_change_mark: bool


def parse_prefix(line: str) -> SpeakerPrefix | None:
    """Return the possible name before a line, in brackets or before a colon; None if there is none."""
    bracketed = _BRACKET.fullmatch(line)
    match = bracketed or _COLON.fullmatch(line)
    if match is None or not (name := match["name"].strip()):
        return None
    announced = (match["change"] or "").startswith((">", "＞"))
    return SpeakerPrefix(name, match["rest"].strip(), bracketed is not None, announced)


def space_after_names(lines: Sequence[str]) -> list[str]:
    """Add the space between names and speech that some files lack: `Ann:Hi`.

    Words such as `Re:Invent` have a colon as well. So most lines of a file must begin like that, or two names must repeat, or
    the name must have its space in another line.
    """
    names = Counter(
        match["name"].strip()
        for line in lines
        if (match := _UNSPACED.match(line)) is not None
        and is_like_name(match["name"])
        and match["name"].casefold() not in LEAD_IN_WORDS
    )
    if not names:
        return list(lines)
    spaced = {prefix.name for line in lines if (prefix := parse_prefix(line)) is not None}
    repeated = {name for name, count in names.items() if count > 1}
    mostly = names.total() * 2 > sum(not is_sound(line) for line in lines)
    chosen = names.keys() if mostly else (names.keys() & spaced) | (repeated if len(repeated) > 1 else set())
    matches = [_UNSPACED.match(line) for line in lines]
    return [
        f"{line[: match.end()]} {line[match.end() :]}"
        if match is not None and match["name"].strip() in chosen
        else line
        for line, match in zip(lines, matches, strict=True)
    ]


def is_sound(line: str) -> bool:
    """Return whether a line only describes a sound, or is sung: `[Music]`, `♪ We are one ♪`."""
    return _SOUND_LINE.fullmatch(line) is not None


def changes_speaker(line: str) -> bool:
    """Return whether a line begins with a dash or arrows that mark a change of speaker."""
    match = re.match(_CHANGE, line)
    return match is not None and match["change"] is not None


def ends_sentence(line: str) -> bool:
    """Return whether a line ends with a mark that ends a sentence."""
    return _SENTENCE_END.search(line) is not None


def is_like_name(words: str, *, bracketed: bool = False) -> bool:
    """Return whether words look like a name: few, capitalized if their script has capitals, and not a clause."""
    if bracketed and any(word.casefold().strip(",.") in _SOUND_WORDS for word in words.split()):
        return False
    if _NUMBERED.fullmatch(words):
        return True
    # Brackets after a name may contain any text: `Ann Lee (Guest)`, `ANN [on the phone]`.
    bare = re.sub(r"\s*[\[(（].*[\])）]\s*$", "", words)
    parts = bare.replace(",", " ").split()
    if not parts or len(parts) > MAX_NAME_WORDS or _PUNCTUATION.search(bare) or _VERBS_OF_SPEECH.search(bare):
        return False
    if any("." in word and not _ABBREVIATED.fullmatch(word) for word in parts) or (
        parts[-1][-1:] == "." and len(parts[-1]) > 4
    ):
        return False
    if not words.isupper() and parts[0].casefold() in _CLAUSE_OPENERS:
        return False
    letters = [letter for letter in bare if letter.isalpha()]
    if not letters:
        return False
    if all(letter.lower() == letter.upper() for letter in letters):
        return len(parts) <= _MAX_CASELESS_NAME_WORDS and len(max(parts, key=len)) <= MAX_UNSPACED_NAME_CHARS
    return any(_is_capitalized(word) for word in parts) and all(
        _is_capitalized(word) or word in _PARTICLES for word in parts
    )


def is_short_enough(words: str) -> bool:
    """Return whether words may be a lowercase name."""
    return len(words.split()) < MAX_NAME_WORDS - 1 and not _PUNCTUATION.search(words)


def numbered_family(name: str) -> str:
    """Return a key that names with different numbers share. A name without a number has a key of its own."""
    return re.sub(r"\d+", "#", name) if re.search(r"\d", name) else f"={name}"


def _is_capitalized(word: str) -> bool:
    first = next((letter for letter in word if letter.isalnum()), "")
    # An apostrophe may come before the capital: d'Arc, O'Neill.
    return bool(first) and (first.upper() == first or bool(re.match(r"[a-z]{1,2}['’][A-Z]", word)))
