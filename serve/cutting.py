"""Cuts long text into parts that a model can read one by one. Nothing is lost: put together, the parts are the text."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise

from serve.engines.engine import Unanswerable

Fits = Callable[[str], Awaitable[bool]]
"""Whether a text can be a part."""

_ENDS = (
    re.compile(r"""[.!?…]["'”’»)\]]*\s+|[。！？]["'”’」』）]*"""),
    re.compile(r"\s+"),
)
"""Where a line that is too long is cut: after a sentence, else after a word."""


async def cut(units: Sequence[str], fits: Fits) -> list[str]:
    """Cut a text into parts, each as long as it may be.

    Args:
        units: the text, cut where a part may best end: in lines, each with its line end.
        fits: whether a part may be this long. What holds more than what doesn't fit doesn't fit either.

    Returns:
        The parts in order. A unit that is too long for itself is cut after sentences, after words, or anywhere.

    Raises:
        Unanswerable: not even a single character fits.
    """
    rest, parts, at = list(units), list[str](), 0
    while at < len(rest):
        count = await _most(rest, at, fits)
        if count:
            parts.append("".join(rest[at : at + count]))
            at += count
        else:
            rest[at : at + 1] = _smaller(rest[at])
    return parts


async def _most(units: Sequence[str], at: int, fits: Fits) -> int:
    """How many units from one on fit together. Little more is looked at than that."""
    left = len(units) - at
    good, bad = 0, left + 1
    while bad - good > 1:
        probe = min(2 * good or 1, left) if bad > left else (good + bad) // 2
        if await fits("".join(units[at : at + probe])):
            good = probe
        else:
            bad = probe
    return good


def _smaller(text: str) -> list[str]:
    for pattern in _ENDS:
        ends = [end for found in pattern.finditer(text) if (end := found.end()) < len(text)]
        if ends:
            return [text[start:end] for start, end in pairwise([0, *ends, len(text)])]
    if len(text) < 2:
        raise Unanswerable("the model's window has no room for what is to be read")
    return [text[: len(text) // 2], text[len(text) // 2 :]]
