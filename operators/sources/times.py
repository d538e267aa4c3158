"""Conversion of sources' times to seconds from the meeting's start.

Sources count from the start of their own stream, or give an absolute clock, in seconds, milliseconds or ISO 8601.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from operators.errors import InvalidInputError
from operators.fields import MAX_INSTANT_MS, MAX_SPEECH_S, StrictModel
from operators.sources.adapter import AdapterContext

MAX_STREAMS = 16
"""Most streams of a session that are remembered. The oldest one is forgotten first."""
PUNCTUAL_S = 5.0
"""A stream that begins within this time of its meeting counts from the meeting's start: the rest is latency (s)."""
_MIN_EPOCH_S = 1e9
"""Smallest number of seconds that is read as an absolute time. It is far beyond a week, the latest speech time."""
_MIN_EPOCH_MS = 1e11
"""Smallest number that is read as milliseconds since the Unix epoch."""


def _to_number(value: Any) -> Any:
    """Convert numbers and numeric strings to floats, and ISO 8601 times to seconds since the Unix epoch."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("must be a number, or a string with a number or an ISO 8601 time")  # noqa: TRY004 - pydantic reports ValueErrors
    try:
        return float(value)
    except (ValueError, OverflowError):
        pass
    try:
        instant = datetime.fromisoformat(str(value).strip())
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError("must be a number, or a string with a number or an ISO 8601 time") from None


SourceTime = Annotated[
    float, BeforeValidator(_to_number), Field(ge=-MAX_SPEECH_S, le=MAX_INSTANT_MS, allow_inf_nan=False)
]
"""A time as a source sends it: seconds of its stream, seconds or milliseconds since the Unix epoch, or ISO 8601."""


def is_absolute(time: float) -> bool:
    """Return whether a source's time is an absolute clock's."""
    return time >= _MIN_EPOCH_S


def is_epoch_ms(time: float) -> bool:
    """Return whether a number is milliseconds since the Unix epoch, not since the start of a recording."""
    return time >= _MIN_EPOCH_MS


class StreamTimes(StrictModel):
    """The times of a session's streams.

    Attributes:
        offsets: seconds from the meeting's start to the start of each stream, by the stream's id.
        origin_ms: the meeting's start on the source's absolute clock (ms since the Unix epoch); None before its first time.
        last_end: the latest end of speech, in seconds from the meeting's start.
    """

    offsets: dict[str, float] = {}  # noqa: RUF012 - pydantic copies it
    origin_ms: float | None = None
    last_end: float = 0.0


def convert_times(
    times: StreamTimes, stream: str, start: float, end: float, context: AdapterContext
) -> tuple[StreamTimes, float, float]:
    """Convert the start and the end of a piece of speech.

    A stream has its place by `anchor_stream` if the source gives an instant on both clocks. Otherwise, one that starts with the
    meeting counts from the meeting's start. A later one continues after the earlier ones, at the time at which its first
    message arrived.

    Args:
        times: the session's times.
        stream: id of the source's stream.
        start, end: the source's times.
        context: the message's context.

    Returns:
        The next times, and start and end in seconds from the meeting's start. The end is not before the start.

    Raises:
        InvalidInputError: the time is more than a week after the meeting's start.
    """
    if is_absolute(start):
        start_ms, end_ms = (time if is_epoch_ms(time) else time * 1000 for time in (start, max(start, end)))
        origin_ms = times.origin_ms
        if origin_ms is None:
            # The first words are spoken before the message that opens the meeting arrives.
            origin_ms = start_ms if context.began_at_ms is None else min(start_ms, float(context.began_at_ms))
        first, last = max(0.0, (start_ms - origin_ms) / 1000), max(0.0, (end_ms - origin_ms) / 1000)
        times = times.model_copy(update={"origin_ms": origin_ms})
    else:
        offset = times.offsets.get(stream)
        if offset is None:
            offset = _first_offset(times, end, context)
            times = _add_offset(times, stream, offset)
        first, last = max(0.0, start + offset), end + offset
    last = max(first, last)
    if last > MAX_SPEECH_S:
        raise InvalidInputError(
            "start" if first > MAX_SPEECH_S else "end", "must be within a week of the meeting's start"
        )
    if last > times.last_end:
        times = times.model_copy(update={"last_end": last})
    return times, round(first, 3), round(last, 3)


def anchor_stream(
    times: StreamTimes, stream: str, relative: float, absolute: float | None, context: AdapterContext
) -> StreamTimes:
    """Place a stream by an instant that the source gives on both of its clocks, however late its messages arrive.

    Args:
        times: the session's times.
        stream: id of the source's stream.
        relative: the instant in seconds of the stream.
        absolute: the instant on the source's absolute clock; None if the source doesn't give it.
        context: the message's context.

    Returns:
        The next times. A stream that has its place already keeps it.
    """
    if absolute is None or not is_absolute(absolute) or is_absolute(relative):
        return times
    start_ms = (absolute if is_epoch_ms(absolute) else absolute * 1000) - relative * 1000
    offset, origin_ms = times.offsets.get(stream), times.origin_ms
    if origin_ms is None:
        if offset is not None:
            origin_ms = start_ms - offset * 1000
        else:
            origin_ms = start_ms if context.began_at_ms is None else min(start_ms, float(context.began_at_ms))
        times = times.model_copy(update={"origin_ms": origin_ms})
    if offset is not None:
        return times
    return _add_offset(times, stream, round((start_ms - origin_ms) / 1000, 3))


def _add_offset(times: StreamTimes, stream: str, offset: float) -> StreamTimes:
    offsets = dict(list(times.offsets.items())[1 - MAX_STREAMS :]) | {stream: offset}
    return times.model_copy(update={"offsets": offsets})


def _first_offset(times: StreamTimes, end: float, context: AdapterContext) -> float:
    elapsed = 0.0
    if context.began_at_ms is not None and context.received_at_ms is not None:
        elapsed = (context.received_at_ms - context.began_at_ms) / 1000 - end
    if not times.offsets:
        return round(elapsed, 3) if elapsed > PUNCTUAL_S else 0.0
    return round(max(elapsed, times.last_end), 3)
