"""JSON objects with arbitrary keys, limited to values that Postgres' jsonb and other programs can store and read back."""

from __future__ import annotations

import math
from typing import Annotated, Any, cast

from pydantic import AfterValidator

from operators.characters import require_storable

MAX_JSON_DEPTH = 32
"""Maximum nesting depth of an object. JSON encoders fail at about 200 levels, Postgres at its stack limit."""
MAX_JSON_VALUES = 10_000
"""Maximum number of values of an object, over all levels."""
_INT64_LIMIT = 2**63
"""Exclusive upper bound of integers, because many programs store them in 64 bits."""


def _require_storable_object(value: dict[str, Any]) -> dict[str, Any]:
    level: list[Any] = [value]
    count = depth = 0
    while level:
        count += len(level)
        depth += 1
        if depth > MAX_JSON_DEPTH:
            raise ValueError(f"must have no more than {MAX_JSON_DEPTH} levels")
        if count > MAX_JSON_VALUES:
            raise ValueError(f"must have no more than {MAX_JSON_VALUES} values")
        level = [inner for parent in level for inner in _child_values(parent)]
    return value


def _child_values(value: Any) -> list[Any]:
    """Return the values that a value contains. Raises ValueError if the value itself can't be stored."""
    match value:
        case str():
            require_storable(value)
        case float() if not math.isfinite(value):
            raise ValueError("must not contain NaN or infinite numbers")
        case int() if not -_INT64_LIMIT <= value < _INT64_LIMIT:
            raise ValueError("must not contain integers of more than 64 bits")
        case dict():
            mapping = cast(dict[Any, Any], value)
            return [*mapping.keys(), *mapping.values()]
        case list():
            return cast(list[Any], value)
        case _:
            pass
    return []


JsonObject = Annotated[dict[str, Any], AfterValidator(_require_storable_object)]
