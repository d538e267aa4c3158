"""Removal of the translations in a subtitle file: Parley's own, and those of bilingual files."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from operators.subtitles.markup import CueLine

DetectLanguage = Callable[[str], str | None]
"""Returns the language tag of a text; None if the language is not clear."""

_VTT_TRANSLATED = re.compile(r"(<v [^<>]+>.+)\n<lang [^>]*>.*</lang></v>")
_SRT_TRANSLATED = re.compile(r"(?=.+?: .)(.+)\n<i>.*</i>")
_MIN_CUES, _MIN_BILINGUAL_SHARE = 2, 0.66
"""Minimum number of cues of a bilingual file, and the minimum share of cues in both languages."""
_MAX_CUE_LINES = 8
"""Maximum number of lines of a cue with two languages in one script. No screen shows more."""


def drop_parley_translations(payloads: Sequence[str], *, vtt: bool) -> Sequence[str]:
    """Return the cues without Parley's translations, if all cues have one; otherwise the cues unchanged.

    A cue with a translation names its speaker as well. Without a name, the second line is speech: `We watched`, `<i>Titanic</i>`.
    """
    pattern = _VTT_TRANSLATED if vtt else _SRT_TRANSLATED
    matches = [pattern.fullmatch(payload) for payload in payloads]
    sources = [match[1] for match in matches if match is not None]
    return sources if sources and len(sources) == len(payloads) else payloads


def find_source_lines(
    cues: Sequence[Sequence[CueLine]], language_of: DetectLanguage, spoken_language: str | None
) -> tuple[list[slice], str] | None:
    """Find the lines in the spoken language, in a file that repeats each cue in a second language.

    A file is bilingual if most cues change the script once. It is also bilingual if most cues have two lines or more, and their
    first lines are in one language and their other lines in another. The first language is the source, unless the second one is
    known to be spoken.

    Args:
        cues: the lines of each cue.
        language_of: detects the language of a text.
        spoken_language: the spoken language's tag, if known.

    Returns:
        The lines to keep of each cue, and the language or script of the other lines; None if the file is not bilingual.
    """
    scripts = [[_main_script(line.text) for line in cue] for cue in cues]
    cuts = [_script_change(cue) for cue in scripts]
    pairs = Counter((cue[0], cue[-1]) for cue, cut in zip(scripts, cuts, strict=True) if cut)
    of_scripts = len(cues) >= _MIN_CUES and bool(pairs) and max(pairs.values()) >= _MIN_BILINGUAL_SHARE * len(cues)
    if not of_scripts:
        if len(cues) < _MIN_CUES or sum(len(cue) > 1 for cue in cues) < _MIN_BILINGUAL_SHARE * len(cues):
            return None
        cuts = _language_changes(cues, language_of)
    first, second = _languages_of_parts(cues, cuts, language_of)
    if of_scripts:
        (upper, lower), _ = pairs.most_common(1)[0]
        first, second = first or upper, second or lower
    if first is None or second is None or first == second:
        return None
    if second == spoken_language:
        return [slice(cut, None) for cut in cuts], first
    return [slice(cut or None) for cut in cuts], second


def _languages_of_parts(
    cues: Sequence[Sequence[CueLine]], cuts: Sequence[int], language_of: DetectLanguage
) -> tuple[str | None, str | None]:
    """Return the language of all lines before the cuts, and that of all lines after them."""
    above = [cue[:cut] for cue, cut in zip(cues, cuts, strict=True) if cut]
    below = [cue[cut:] for cue, cut in zip(cues, cuts, strict=True) if cut]
    return language_of(_join(above)), language_of(_join(below))


def _join(parts: Sequence[Sequence[CueLine]]) -> str:
    return " ".join(line.text for part in parts for line in part)


def _language_changes(cues: Sequence[Sequence[CueLine]], language_of: DetectLanguage) -> list[int]:
    """Return the number of lines of each cue before its language changes; 0 for a cue of one line.

    A text and its translation have a similar length, so most cues are cut near their middle. The languages of the cues so cut
    decide on the cuts of the others.
    """
    places = [range(1, len(cue)) if len(cue) <= _MAX_CUE_LINES else range(0) for cue in cues]
    choices = [sorted(place, key=partial(_imbalance, cue)) or [0] for cue, place in zip(cues, places, strict=True)]
    cuts = [choice[0] for choice in choices]
    if all(len(choice) == 1 for choice in choices):
        return cuts
    detected = [
        [(language_of(_join([cue[:cut]])), language_of(_join([cue[cut:]]))) if cut else (None, None) for cut in choice]
        for cue, choice in zip(cues, choices, strict=True)
    ]
    votes = Counter(pair for pairs in detected for pair in set(pairs) if None not in pair and pair[0] != pair[1])
    pair = votes.most_common(1)[0][0] if votes else _languages_of_parts(cues, cuts, language_of)
    return [
        max(choice, key=partial(_agreement, _line_languages(cue, language_of), pair))
        for cue, choice in zip(cues, choices, strict=True)
    ]


def _line_languages(cue: Sequence[CueLine], language_of: DetectLanguage) -> list[tuple[str | None, int]]:
    """Return the language and the length of each line of a cue."""
    # A detector wants more words than a line has. A line is enough to choose between two languages, so it is repeated.
    return [(language_of(_join([[line] * 3])), len(line.text)) for line in cue]


def _imbalance(cue: Sequence[CueLine], cut: int) -> int:
    """Return by how many characters the parts of a cue differ."""
    return abs(len(_join([cue[:cut]])) - len(_join([cue[cut:]])))


def _agreement(lines: Sequence[tuple[str | None, int]], expected: tuple[str | None, str | None], cut: int) -> int:
    """Return how many characters are on their language's side of a cut, less those on the other side."""
    first, second = expected
    agreement = 0
    for k, (found, length) in enumerate(lines):
        wanted, other = (first, second) if k < cut else (second, first)
        agreement += length * ((found == wanted) - (found == other)) if found else 0
    return agreement


def _main_script(text: str) -> str:
    """Return the script of most letters of a text, as the first word of their Unicode names; empty if it has no letters."""
    names = Counter(unicodedata.name(letter, "").partition(" ")[0] for letter in text if letter.isalpha())
    # Japanese mixes three scripts.
    for kana in ("HIRAGANA", "KATAKANA"):
        names["CJK"] += names.pop(kana, 0)
    return names.most_common(1)[0][0] if names.total() else ""


def _script_change(scripts: Sequence[str]) -> int:
    """Return the number of lines of a cue before its script changes, if it changes once; otherwise 0."""
    changes = [k for k in range(1, len(scripts)) if scripts[k] != scripts[k - 1]]
    return changes[0] if len(changes) == 1 and all(scripts) else 0
