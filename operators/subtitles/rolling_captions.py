"""Rolling captions, as live captioning and YouTube make them: each cue repeats words of the cue before.

A cue repeats the last lines of the cue before. It adds a line, or adds words to the last line. Between two such cues YouTube
puts a cue of ten milliseconds that adds nothing. Only the words that a cue adds are its speech.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

from operators.subtitles.cue_blocks import CueBlock
from operators.subtitles.markup import CueLine

_GAP_S = 2.0
"""Maximum seconds between two cues of which the second may repeat words of the first."""
_MIN_REPEATED_WORDS = 4
"""Minimum number of equal words that count as a repetition even if they don't begin a line."""
_MIN_PAIRS = 2
_CUES_PER_ADDITION = 4
"""At least one in this many cues must add words to the repeated ones. Otherwise the text itself repeats, as in a song."""


def unroll(blocks: Sequence[CueBlock], cues: Sequence[list[CueLine]]) -> list[list[CueLine]] | None:
    """Remove the repeated words from a file of rolling captions.

    Args:
        blocks: the times of the cues.
        cues: the lines of the cues.

    Returns:
        The new lines of each cue, empty if the cue adds no words; None if the file has no rolling captions.
    """
    words = [[line.text.split() for line in cue] for cue in cues]
    visible = [k for k, cue in enumerate(cues) if cue]
    repeated_counts = {
        after: _repeated_word_count(words[before], words[after])
        for before, after in pairwise(visible)
        if blocks[after].start - blocks[before].end <= _GAP_S
    }
    repeating = [k for k, count in repeated_counts.items() if count]
    adding = sum(repeated_counts[k] < sum(map(len, words[k])) for k in repeating)
    if (
        len(repeated_counts) < _MIN_PAIRS
        or len(repeating) * 2 <= len(repeated_counts)
        or adding * _CUES_PER_ADDITION < len(repeated_counts)
    ):
        return None
    # After a pause the last line may still be shown above a new one.
    for before, after in pairwise(visible):
        if (
            after not in repeated_counts
            and len(words[after]) > 1
            and words[after][:-1] == words[before][1 - len(words[after]) :]
        ):
            repeated_counts[after] = sum(map(len, words[after][:-1]))
    return [_drop_first_words(cue, repeated_counts.get(k, 0)) for k, cue in enumerate(cues)]


def _repeated_word_count(before: Sequence[list[str]], after: Sequence[list[str]]) -> int:
    """Return how many words at the beginning of a cue are the last words of the cue before."""
    old, new = [word for line in before for word in line], [word for line in after for word in line]
    begins = {len(old) - at for at in accumulate((len(line) for line in before), initial=0)}
    for count in range(min(len(old), len(new)), 0, -1):
        if (count in begins or count >= _MIN_REPEATED_WORDS) and old[-count:] == new[:count]:
            return count
    return 0


def _drop_first_words(cue: list[CueLine], count: int) -> list[CueLine]:
    """Return a cue's lines without their first `count` words."""
    lines: list[CueLine] = []
    for line in cue:
        words = line.text.split()
        if count < len(words):
            lines.append(line._replace(text=" ".join(words[count:])))
        count = max(0, count - len(words))
    return lines
