"""Objects of JSON with any keys, as far as they can be stored and read back: in Postgres' jsonb, and by other programs."""

from __future__ import annotations

import math
from typing import Annotated, Any, cast

from pydantic import AfterValidator

from operators.characters import storable

MAX_DEPTH = 32
"""Levels an object may have. Writers of JSON give up at some 200, Postgres at its stack's end."""
MAX_VALUES = 10_000
"""Values an object may have, over all levels."""
_MOST = 2**63
"""Whole numbers lie below it: many programs hold them in 64 bits."""


def _storable_object(value: dict[str, Any]) -> dict[str, Any]:
    level: list[Any] = [value]
    count = depth = 0
    while level:
        count += len(level)
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError(f"must have no more than {MAX_DEPTH} levels")
        if count > MAX_VALUES:
            raise ValueError(f"must have no more than {MAX_VALUES} values")
        level = [inner for one in level for inner in _inside(one)]
    return value


def _inside(value: Any) -> list[Any]:
    """The values in a value. Raises ValueError where it can't be stored itself."""
    match value:
        case str():
            storable(value)
        case float() if not math.isfinite(value):
            raise ValueError("must hold no number that is NaN or infinite")
        case int() if not -_MOST <= value < _MOST:
            raise ValueError("must hold no whole number of more than 64 bits")
        case dict():
            found = cast(dict[Any, Any], value)
            return [*found.keys(), *found.values()]
        case list():
            return cast(list[Any], value)
        case _:
            pass
    return []


JsonObject = Annotated[dict[str, Any], AfterValidator(_storable_object)]
