"""Rolling captions, as live captioning and YouTube make them: each cue shows the words before it again.

A cue repeats the last lines of the cue before and adds a line, or adds words to its last line; between two such cues
YouTube puts one of ten milliseconds that adds nothing. The words that a cue adds are its speech.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

from operators.subtitles.blocks import Block
from operators.subtitles.markup import Line

_GAP_S = 2.0
"""Between cues of which one may show the words of the other again."""
_ANYWHERE = 4
"""Words that are taken for a repetition even if they don't begin a line."""
_LEAST_PAIRS = 2
_ADDING = 4
"""One in so many cues adds words to those it shows again. Without such, a file only repeats itself, as a song does."""


def unrolled(blocks: Sequence[Block], cues: Sequence[list[Line]]) -> list[list[Line]] | None:
    """The cues of a file of rolling captions with each word once. A cue that adds none has no line.

    Args:
        blocks: the times of the cues.
        cues: their lines.

    Returns:
        None where the file holds no rolling captions.
    """
    words = [[line.text.split() for line in cue] for cue in cues]
    shown = [k for k, cue in enumerate(cues) if cue]
    again = {
        after: _repeated(words[before], words[after])
        for before, after in pairwise(shown)
        if blocks[after].start - blocks[before].end <= _GAP_S
    }
    repeating = [k for k, count in again.items() if count]
    adding = sum(again[k] < sum(map(len, words[k])) for k in repeating)
    if len(again) < _LEAST_PAIRS or len(repeating) * 2 <= len(again) or adding * _ADDING < len(again):
        return None
    # After a pause the last line may still stand above a new one.
    for before, after in pairwise(shown):
        if after not in again and len(words[after]) > 1 and words[after][:-1] == words[before][1 - len(words[after]) :]:
            again[after] = sum(map(len, words[after][:-1]))
    return [_without(cue, again.get(k, 0)) for k, cue in enumerate(cues)]


def _repeated(before: Sequence[list[str]], after: Sequence[list[str]]) -> int:
    """How many words at the beginning of a cue are the last ones of the cue before."""
    old, new = [word for line in before for word in line], [word for line in after for word in line]
    begins = {len(old) - at for at in accumulate((len(line) for line in before), initial=0)}
    for count in range(min(len(old), len(new)), 0, -1):
        if (count in begins or count >= _ANYWHERE) and old[-count:] == new[:count]:
            return count
    return 0


def _without(cue: list[Line], count: int) -> list[Line]:
    """A cue's lines without their first words."""
    lines: list[Line] = []
    for line in cue:
        words = line.text.split()
        if count < len(words):
            lines.append(line._replace(text=" ".join(words[count:])))
        count = max(0, count - len(words))
    return lines
