"""Tells content that can't be stored from a store that is away, and writes all but that content.

A transaction whose content is refused is halved until the part at fault is alone. So writes stay in batches, without a
savepoint for each part, and what is bad fails alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import orjson
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from storage.records import OutboxEvent

Part = TypeVar("Part")

_CONTENT_SQLSTATE_CLASSES = ("22", "23", "54")
"""Classes of SQLSTATE: data exception, integrity constraint violation, program limit exceeded (PostgreSQL, appendix A)."""


def is_refused_content(error: BaseException) -> bool:
    """Whether Postgres or a codec refused what was to be written. To write the same again would give the same."""
    if isinstance(error, DataError | IntegrityError | orjson.JSONEncodeError | UnicodeError):
        return True
    state = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
    return state is not None and state[:2] in _CONTENT_SQLSTATE_CLASSES


def write_bisecting(
    parts: Sequence[Part],
    write: Callable[[Sequence[Part]], list[OutboxEvent]],
    on_refused: Callable[[Part, Exception], list[OutboxEvent]],
) -> list[OutboxEvent]:
    """Write parts in one transaction, or in as few as it takes to leave out those whose content is refused.

    Args:
        parts: what is to be written; a part is never split, and the order is kept.
        write: writes parts in a transaction of its own.
        refuse: called with each part whose content is refused, and why; it may write something else in its place.

    Returns:
        The live events that were written.

    Raises:
        Exception: what `write` raised for another reason, such as a store that is away; some parts may be written.
    """
    if not parts:
        return []
    try:
        return write(parts)
    except Exception as error:
        if not is_refused_content(error):
            raise
        if len(parts) == 1:
            return on_refused(parts[0], error)
    middle = len(parts) // 2
    return [*write_bisecting(parts[:middle], write, on_refused), *write_bisecting(parts[middle:], write, on_refused)]


def escape_unstorable(text: str) -> str:
    """A text in which what Postgres can't store is spelled out (`\\x00`, `\\ud83d`)."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
