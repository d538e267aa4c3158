"""Rolling captions, as live captioning and YouTube make them: each cue repeats words of the cue before.

A cue repeats the last lines of the cue before. It adds a line, or adds words to the last line. Between two such cues YouTube
puts a cue of ten milliseconds that adds nothing. Only the words that a cue adds are its speech.

People repeat themselves as well. So a whole file has to be made like this, or several cues in a row have to grow, or a
repetition has to be too short for speech.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from operators.subtitles.cue_blocks import CueBlock
from operators.subtitles.markup import CueLine
from operators.subtitles.speaker_attribution import has_named_cues, name_length

_GAP_S = 2.0
"""Maximum seconds between two cues of which the second may repeat words of the first."""
_FLASH_S = 0.05
"""Maximum seconds of a cue that nobody can have said, and between it and the cue that it repeats."""
_MIN_REPEATED_WORDS = 4
"""Minimum number of equal words that count as a repetition even if they don't begin a line."""
_MAX_REPEATED_WORDS = 200
"""Maximum number of words that a cue repeats. It bounds the time for a cue of a whole book."""
_MIN_PAIRS = 2
_CUES_PER_ADDITION, _NAMED_CUES_PER_ADDITION = 4, 2
"""At least one in this many cues must add words to the repeated ones. Otherwise the text itself repeats, as in a song."""
_MIN_GROWING_CUES = 3
"""Minimum number of cues in a row of which each begins with all words of the one before."""


class _Line(NamedTuple):
    """A line of a cue: the name before its words, as it is written, and each word with the speaker that the file names."""

    name: str
    words: list[tuple[str | None, str]]


def unroll(blocks: Sequence[CueBlock], cues: Sequence[list[CueLine]]) -> list[list[CueLine]] | None:
    """Remove the repeated words from rolling captions.

    Args:
        blocks: the times of the cues.
        cues: the lines of the cues.

    Returns:
        The new lines of each cue, empty if the cue adds no words; None if the file has no rolling captions.
    """
    named = has_named_cues(cues)
    lines = [[_split_name(line, named=named) for line in cue] for cue in cues]
    words = [[line.words for line in cue] for cue in lines]
    repeated_counts = _count_in_rolling_file(blocks, words, _NAMED_CUES_PER_ADDITION if named else _CUES_PER_ADDITION)
    if not repeated_counts:
        repeated_counts = dict(_count_in_growing_cues(blocks, words)) | dict(_count_in_flashes(blocks, words))
    if not repeated_counts:
        return None
    return [
        _drop_first_words(cue, cue_lines, repeated_counts.get(k, 0))
        for k, (cue, cue_lines) in enumerate(zip(cues, lines, strict=True))
    ]


_Words = Sequence[list[tuple[str | None, str]]]
"""The words of a cue, by line."""


def _split_name(line: CueLine, *, named: bool) -> _Line:
    length = name_length(line.text, is_certain=named) if line.voice is None else 0
    name = line.text[:length]
    return _Line(name, [(name or line.voice, word) for word in line.text[length:].split()])


def _near_pairs(blocks: Sequence[CueBlock], cues: Sequence[_Words]) -> Iterator[tuple[int, int]]:
    """Yield the indices of consecutive cues with words, if the second may repeat words of the first.

    Cues that begin at the same time are the speech of several people.
    """
    for before, after in pairwise(k for k, cue in enumerate(cues) if cue):
        if blocks[after].start - blocks[before].end <= _GAP_S and blocks[after].start > blocks[before].start:
            yield before, after


def _count_in_rolling_file(
    blocks: Sequence[CueBlock], cues: Sequence[_Words], cues_per_addition: int
) -> dict[int, int]:
    """Return how many words each cue repeats, in a file that consists of rolling captions; empty for any other file."""
    repeated_counts = {
        after: _repeated_word_count(cues[before], cues[after]) for before, after in _near_pairs(blocks, cues)
    }
    repeating = [k for k, count in repeated_counts.items() if count]
    adding = sum(repeated_counts[k] < sum(map(len, cues[k])) for k in repeating)
    if (
        len(repeated_counts) < _MIN_PAIRS
        or len(repeating) * 2 <= len(repeated_counts)
        or adding * cues_per_addition < len(repeated_counts)
    ):
        return {}
    # After a pause the last line may still be shown above a new one.
    for before, after in pairwise(k for k, cue in enumerate(cues) if cue):
        words = cues[after]
        if after not in repeated_counts and len(words) > 1 and words[:-1] == cues[before][1 - len(words) :]:
            repeated_counts[after] = sum(map(len, words[:-1]))
    return repeated_counts


def _count_in_growing_cues(blocks: Sequence[CueBlock], cues: Sequence[_Words]) -> Iterator[tuple[int, int]]:
    """Yield the cues that grow, each with the number of words that it repeats."""
    run: list[tuple[int, int]] = []
    last = -1
    for before, after in [*_near_pairs(blocks, cues), (-1, -1)]:
        old, new = (_flatten(cues[k]) if k >= 0 else [] for k in (before, after))
        grows = bool(old) and len(new) > len(old) and new[: len(old)] == old
        if (not grows or before != last) and run:
            if len(run) >= _MIN_GROWING_CUES - 1:
                yield from run
            run = []
        if grows:
            run.append((after, len(old)))
        last = after


def _count_in_flashes(blocks: Sequence[CueBlock], cues: Sequence[_Words]) -> Iterator[tuple[int, int]]:
    """Yield the cues that repeat all words of a cue beside them for a moment, with the number of their words."""
    for before, after in _near_pairs(blocks, cues):
        words = _flatten(cues[before])
        # Cues at the same time are speech of their own, however short they are.
        gap = blocks[after].start - blocks[before].end
        flashes = [k for k in (before, after) if blocks[k].end - blocks[k].start <= _FLASH_S]
        if len(flashes) == 1 and 0 <= gap <= _FLASH_S and words == _flatten(cues[after]):
            yield flashes[0], len(words)


def _flatten(cue: _Words) -> list[tuple[str | None, str]]:
    return [word for line in cue for word in line]


def _repeated_word_count(before: _Words, after: _Words) -> int:
    """Return how many words at the beginning of a cue are the last words of the cue before."""
    old, new = _flatten(before), _flatten(after)
    begins = {len(old) - at for at in accumulate((len(line) for line in before), initial=0)}
    for count in range(min(len(old), len(new), _MAX_REPEATED_WORDS), 0, -1):
        if (count in begins or count >= _MIN_REPEATED_WORDS) and old[-count:] == new[:count]:
            return count
    return 0


def _drop_first_words(cue: Sequence[CueLine], lines: Sequence[_Line], count: int) -> list[CueLine]:
    """Return a cue's lines without their first `count` words. A line with words left keeps its name."""
    rest: list[CueLine] = []
    for line, (name, words) in zip(cue, lines, strict=True):
        if count == 0:
            rest.append(line)
        elif count < len(words):
            rest.append(line._replace(text=name + " ".join(word for _, word in words[count:])))
        count = max(0, count - len(words))
    return rest
