"""Splits a long text into parts that fit a model's window. Joined together, the parts are the whole text."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise

from serve.engines.protocol import NonRetryableError

FitCheck = Callable[[str], Awaitable[bool]]
"""Decides whether a text fits as one part."""

_SPLIT_POINTS = (
    re.compile(r"""[.!?…]["'”’»)\]]*\s+|[。！？]["'”’」』）]*"""),
    re.compile(r"\s+"),
)
"""Where to split a line that is too long: after a sentence, otherwise after a word."""


async def split_text(units: Sequence[str], fits: FitCheck) -> list[str]:
    """Split a text into parts, each as long as possible.

    Args:
        units: the text, split where a part should preferably end: in lines, each with its line end.
        fits: decides whether a text fits. If a text doesn't fit, neither does any longer text that contains it.

    Returns:
        The parts in order. A unit that doesn't fit by itself is split after sentences, after words, or anywhere.

    Raises:
        NonRetryableError: not even a single character fits.
    """
    rest, parts, index = list(units), list[str](), 0
    while index < len(rest):
        count = await _count_fitting(rest, index, fits)
        if count:
            parts.append("".join(rest[index : index + count]))
            index += count
        else:
            rest[index : index + 1] = _split_unit(rest[index])
    return parts


async def _count_fitting(units: Sequence[str], start: int, fits: FitCheck) -> int:
    """Return how many units from `start` on fit together. The search checks few texts much longer than the result."""
    remaining = len(units) - start
    fitting, too_many = 0, remaining + 1
    while too_many - fitting > 1:
        probe = min(2 * fitting or 1, remaining) if too_many > remaining else (fitting + too_many) // 2
        if await fits("".join(units[start : start + probe])):
            fitting = probe
        else:
            too_many = probe
    return fitting


def _split_unit(text: str) -> list[str]:
    for pattern in _SPLIT_POINTS:
        ends = [end for match in pattern.finditer(text) if (end := match.end()) < len(text)]
        if ends:
            return [text[start:end] for start, end in pairwise([0, *ends, len(text)])]
    if len(text) < 2:
        raise NonRetryableError("the model's window has no room for the transcript")
    return [text[: len(text) // 2], text[len(text) // 2 :]]
