"""Leaves the translations of a file out: those that Parley wrote, and those of files in two languages."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

from operators.subtitles.markup import CueLine

DetectLanguage = Callable[[str], str | None]
"""Tells the language of a text, as a tag; None where it is not clear."""

_VTT_TRANSLATED = re.compile(r"(.+)\n<lang [^>]*>.*</lang>(?:</v>)?")
_SRT_TRANSLATED = re.compile(r"(.+)\n<i>.*</i>")
_MIN_CUES, _MIN_BILINGUAL_SHARE = 2, 0.66
"""Cues that a file in two languages has at least, and the share of them that has both."""


def drop_parley_translations(payloads: Sequence[str], *, vtt: bool) -> Sequence[str]:
    """The cues without the translations that Parley wrote, if all of them have one."""
    pattern = _VTT_TRANSLATED if vtt else _SRT_TRANSLATED
    matches = [pattern.fullmatch(payload) for payload in payloads]
    sources = [match[1] for match in matches if match is not None]
    return sources if len(sources) == len(payloads) else payloads


def find_source_lines(
    cues: Sequence[Sequence[CueLine]], language_of: DetectLanguage, spoken_language: str | None
) -> tuple[list[slice], str] | None:
    """Which lines of each cue are in the language that was said, in a file that repeats each cue in another one.

    A file is in two languages where most cues change the script once, or have two lines each, of which all the first are
    in one language and all the second in another. The first is taken for the source text, unless that is known.

    Args:
        cues: their lines.
        language_of: tells the language of a text.
        spoken: the language that was said, if it is known.

    Returns:
        The lines to keep of each cue, and the language or the script of the others; None where the file is in one language.
    """
    scripts = [[_main_script(line.text) for line in cue] for cue in cues]
    cuts = [_script_change(each) for each in scripts]
    pairs = Counter((each[0], each[-1]) for each, cut in zip(scripts, cuts, strict=True) if cut)
    of_scripts = len(cues) >= _MIN_CUES and bool(pairs) and max(pairs.values()) >= _MIN_BILINGUAL_SHARE * len(cues)
    if not of_scripts:
        cuts = [1 if len(cue) == 2 else 0 for cue in cues]
        if len(cues) < _MIN_CUES or sum(cuts) < _MIN_BILINGUAL_SHARE * len(cues):
            return None
    above = [cue[:cut] for cue, cut in zip(cues, cuts, strict=True) if cut]
    below = [cue[cut:] for cue, cut in zip(cues, cuts, strict=True) if cut]
    first, second = (language_of(" ".join(line.text for cue in part for line in cue)) for part in (above, below))
    if of_scripts:
        (upper, lower), _ = pairs.most_common(1)[0]
        first, second = first or upper, second or lower
    if first is None or second is None or first == second:
        return None
    if second == spoken_language:
        return [slice(cut, None) for cut in cuts], first
    return [slice(cut or None) for cut in cuts], second


def _main_script(text: str) -> str:
    """The script that most letters of a text are in, by the first word of their names; empty where it has none."""
    names = Counter(unicodedata.name(letter, "").partition(" ")[0] for letter in text if letter.isalpha())
    # Japanese is written in three at once.
    for kana in ("HIRAGANA", "KATAKANA"):
        names["CJK"] += names.pop(kana, 0)
    return names.most_common(1)[0][0] if names.total() else ""


def _script_change(scripts: Sequence[str]) -> int:
    """After how many lines of a cue the script changes, if it does so once; else 0."""
    changes = [k for k in range(1, len(scripts)) if scripts[k] != scripts[k - 1]]
    return changes[0] if len(changes) == 1 and all(scripts) else 0
