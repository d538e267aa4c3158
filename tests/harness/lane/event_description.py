"""The description of live events in docs/live-events.md, to check real events against it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, StrictBool, StrictFloat, StrictInt, StrictStr, create_model

PAGE = Path(__file__).parents[3] / "docs" / "live-events.md"
_TYPES: Mapping[str, Any] = {
    "text": StrictStr,
    "text or null": StrictStr | None,
    "integer": StrictInt,
    "boolean": StrictBool,
    "number": StrictFloat | StrictInt,
    "list of text": list[StrictStr],
    "texts": dict[str, StrictStr],
    "counts": dict[str, StrictInt],
}


def _read_description() -> dict[str, type[BaseModel]]:
    models: dict[str, type[BaseModel]] = {}
    for section in PAGE.read_text().split("\n## ")[1:]:
        kind, body = section.split("\n", 1)
        fields: dict[str, Any] = {}
        for name, words in re.findall(r"^\| `(\w+)` \| ([^|]+) \|", body, re.MULTILINE):
            described_type, _, optional = words.partition(", ")
            fields[name] = (_TYPES[described_type], None if optional == "optional" else ...)
        models[kind] = create_model(f"{kind}Payload", __config__=ConfigDict(extra="forbid"), **fields)
    return models


DESCRIBED_PAYLOADS = _read_description()
"""A model of the payload for each described kind of event. It accepts the described fields only."""


def check_events(events: Iterable[Mapping[str, Any]]) -> set[str]:
    """Check events against the description, and return their kinds.

    Args:
        events: events with `kind` and `payload`, as clients receive them.

    Raises:
        pydantic.ValidationError: a payload has a field too many or too few, or one of another type.
    """
    kinds: set[str] = set()
    for event in events:
        DESCRIBED_PAYLOADS[event["kind"]].model_validate(event["payload"])
        kinds.add(event["kind"])
    return kinds
