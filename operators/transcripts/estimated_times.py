"""Times of text files: clock times such as `1:02:03`, and estimates for speech without times."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

WORDS_PER_SECOND = 2.5
"""Rate of speech by which times are estimated."""
LETTERS_PER_WORD = 12
"""Letters that count as a word at least, because some scripts put no spaces between words."""
CLOCK_TIME = r"(?:\d{1,3}:)?\d{1,3}:\d{2}(?:[.,]\d{1,9})?"
"""Pattern of a clock time: minutes and seconds, perhaps with hours and fractions."""
_CLOCK_TIME = re.compile(r"(?:(\d{1,3}):)?(\d{1,3}):(\d{2})(?:[.,](\d{1,9}))?", re.ASCII)


def parse_clock_time(text: str) -> float | None:
    """Parse a clock time, such as `0:07`, `75:00` or `1:02:03.5`.

    Returns:
        Seconds, or None if the text is not a clock time.
    """
    match = _CLOCK_TIME.fullmatch(text.strip())
    if match is None:
        return None
    hours, minutes, seconds, fraction = match.groups()
    return int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{fraction or 0}")


def estimate_duration(text: str) -> float:
    """Estimate how long a text takes to say, in seconds, from its number of words."""
    return max(1.0, len(text.split()), len(text) / LETTERS_PER_WORD) / WORDS_PER_SECOND


def estimate_times(texts: Sequence[str], starts: Sequence[float | None]) -> list[tuple[float, float]]:
    """Estimate the missing times of consecutive texts.

    Speech between two known starts is compressed if it would take longer than the time between them.

    Args:
        texts: the texts, in their order.
        starts: the known starts, in seconds; None where a start is not known. They must not decrease.

    Returns:
        Start and end of each text, in seconds.
    """
    known = [k for k, start in enumerate(starts) if start is not None]
    bounds = sorted({0, *known, len(texts)})
    times: list[tuple[float, float]] = []
    for first, after in pairwise(bounds):
        start = starts[first] or 0.0
        times += _spread(texts[first:after], start, starts[after] if after < len(texts) else None)
    return times


def _spread(texts: Sequence[str], start: float, limit: float | None) -> Iterator[tuple[float, float]]:
    """Yield the times of texts that follow each other from a start. They end by the limit."""
    durations = [estimate_duration(text) for text in texts]
    scale = 1.0 if limit is None else min(1.0, max(0.0, limit - start) / sum(durations))
    for duration in durations:
        end = start + duration * scale
        yield round(start, 3), round(end, 3)
        start = end
