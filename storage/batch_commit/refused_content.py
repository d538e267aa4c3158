"""Distinguishes refused content from an unreachable store, and writes everything except the refused content.

A transaction with refused content is halved until the refused part is alone. So writes stay in batches without a savepoint
for each part, and a bad part fails alone.
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
    """Return whether Postgres or a codec refused the written content. Writing the same content again would fail again."""
    if isinstance(error, DataError | IntegrityError | orjson.JSONEncodeError | UnicodeError):
        return True
    state = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
    return state is not None and state[:2] in _CONTENT_SQLSTATE_CLASSES


def write_bisecting(
    parts: Sequence[Part],
    write: Callable[[Sequence[Part]], list[OutboxEvent]],
    on_refused: Callable[[Part, Exception], list[OutboxEvent]],
) -> list[OutboxEvent]:
    """Write parts in one transaction, or in as few as possible if some parts have refused content.

    Args:
        parts: the parts, which are written in order and never split.
        write: writes parts in one transaction.
        on_refused: called with each refused part and its error; it may write a replacement.

    Returns:
        The live events that were written.

    Raises:
        Exception: `write` failed for another reason, such as an unreachable store; some parts may be written.
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
    r"""Escape the characters of a text that Postgres can't store (`\x00`, `\ud83d`)."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
