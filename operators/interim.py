"""What a speaker is saying that no sentence holds yet: text that grows and doesn't flicker.

A word is shown once two successive revisions of its chunk agree on it and on all words before it (local agreement: Liu
et al. 2020, "Low-Latency Sequence-to-Sequence Speech Recognition and Translation by Partial Hypothesis Selection"; in
whisper_streaming, too), or once the chunk has been quiet. So the half words that end a growing chunk are not shown, and
an older revision that comes late takes nothing away.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

from operators.boundaries import bare, joined, words
from operators.lines import Line
from operators.pieces import Said

QUIET_MS = 1_000
"""After this much quiet a chunk's last words are shown too."""


class Shown(NamedTuple):
    """What is shown of a speaker: the text, and the sentence and revision (`base`) it goes on from."""

    base: str = ""
    text: str = ""
    start: float = 0.0

    def goes_on(self, line: Line) -> bool:
        """Whether it goes on from this line."""
        return self.base == _base(line)


def agreed(before: Said | None, text: str) -> int:
    """How many words of a chunk's new text its last revision agrees on.

    Args:
        before: the chunk until now.
        text: its text now.
    """
    if before is None:
        return 0
    if before.text == text:
        return before.agreed
    pairs = zip(_split(before.text), _split(text), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _split(text: str) -> list[str]:
    starts, stops, _ = words(text)
    return [text[a:b] for a, b in zip(starts, stops, strict=True)]


def grow(shown: Shown, said: Sequence[Said], lines: Sequence[Line], at: int) -> Shown:
    """What is to be shown now.

    Args:
        shown: what was shown until now.
        said: the speaker's chunks in order of speech.
        lines: what they read as, each as it was put out.
        at: the time (ms).
    """
    first = len(lines)
    while first > 0 and not lines[first - 1].current:
        first -= 1
    if first == len(lines):
        return Shown()
    pending = lines[first:]
    room = sum(len(words(line.piece.text).stops) for line in pending)
    room -= _unsure(said, room, at)
    text = ""
    for line in pending:
        whole = line.piece.text
        starts, stops, _ = words(whole)
        begin, stop = _put_out(line), min(room, len(stops))
        if begin < stop:
            text = joined(text, whole[starts[begin] : stops[stop - 1]])
        room -= stop
    base = _base(pending[0])
    so_far = _split(shown.text) if shown.base == base else []
    now = _split(text)
    if shown.base == base and so_far[: len(now)] == now:
        return shown
    return Shown(base, text, pending[0].shown.end if pending[0].shown else pending[0].piece.start)


def _base(line: Line) -> str:
    return f"{line.piece.id}/{line.revision}"


def _unsure(said: Sequence[Said], count: int, at: int) -> int:
    """How many of a speaker's last `count` words are not to be shown yet: all from the first that may still change."""
    later = unsure = 0
    for chunk in reversed(said):
        if later >= count:
            break
        length = len(words(chunk.text).stops)
        if at - chunk.at < QUIET_MS and chunk.agreed < length:
            unsure = later + length - chunk.agreed
        later += length
    return unsure


def _put_out(line: Line) -> int:
    """How many of a line's words its sentence shows already. A correction may have moved the last of them by one."""
    if line.shown is None or line.owner is not None:
        return 0
    old, new = _split(line.shown.text), _split(line.piece.text)
    for count in (len(old), len(old) + 1, len(old) - 1):
        if 0 < count <= len(new) and bare(new[count - 1]) == bare(old[-1]):
            return count
    return min(len(old), len(new))
